//! An installation on which one case follows the other, and the app that they are about.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::hold::Holds;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Running;

use crate::TANDEM;

/// What the journal says of a deploy without a flaw.
const SOUND: &str = "sound";
/// Time that a first deploy has, which may install a tool.
const FIRST: Duration = Duration::from_secs(120);
/// Control groups at which a rest is taken, and those that stay then: two releases, each with up to three web instances, a
/// worker and a clock, and the shims.
const MOST_GROUPS: usize = 20;
const FEW_GROUPS: usize = 11;

/// See the module.
pub(super) struct World {
    pub(super) installation: Installation,
    pub(super) holds: Holds,
    folder: AppFolder,
    source: Source,
    /// Grows with each case, so that each has something new to deploy and a log of its own.
    turn: u32,
    /// Shims of serving instances that were killed.
    killed: u32,
}

/// The app's files as they are before an operation changes them.
struct Source {
    server: String,
    worker: String,
    manifest: String,
}

/// What an operation deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// All is well.
    None,
    /// Its release phase fails.
    ReleasePhase,
    /// Its web instances never answer.
    Silent,
    /// Its clock ends at once. There is never a second one, so that is seen when the traffic has moved.
    Clock,
}

impl World {
    /// The app has two releases, of which the second serves and the first is warm.
    pub(super) fn start() -> Self {
        let installation = Installation::start(TANDEM);
        let folder = AppFolder::fixture("plain");
        let read =
            |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("the fixture has it");
        let source = Source {
            server: read("server.py"),
            worker: read("worker.py"),
            manifest: manifest(&read("tandem.toml")),
        };
        // With dependencies there is a virtual environment, and what the web command seems to serve is imported once.
        folder.write("requirements.txt", "# none\n");
        folder.write("probe.py", "app = None\n");
        let holds = Holds::of(installation.data());
        let mut world = Self { installation, holds, folder, source, turn: 0, killed: 0 };
        for _ in 0..2 {
            world.put_in_place();
        }
        world
    }

    /// Writes the app anew, with this flaw, other than it was ever before.
    pub(super) fn write(&mut self, flaw: Flaw) {
        self.turn += 1;
        let Source { server, worker, manifest } = &self.source;
        let text = server.replace("TEXT = \"one\"", &format!("TEXT = \"turn {}\"", self.turn));
        let silent = text.replace("def main():\n", "def main():\n    time.sleep(3600)\n");
        self.folder.write("server.py", if flaw == Flaw::Silent { &silent } else { &text });
        self.folder.write("clock.py", worker);
        // Not in Python: on a busy machine its start alone takes the second after which a worker counts as alive.
        let manifest = match flaw {
            Flaw::ReleasePhase => manifest.replace("/data/releases\"", "/data/releases; exit 5\""),
            Flaw::Clock => manifest.replace("\"python3 clock.py\"", "\"exit 3\""),
            Flaw::None | Flaw::Silent => manifest.clone(),
        };
        self.folder.write("tandem.toml", &manifest);
    }

    /// A number that no case had before.
    pub(super) fn turn(&mut self) -> u32 {
        self.turn += 1;
        self.turn
    }

    /// Starts a verb; what it writes is in [`World::told`].
    pub(super) fn client(&self, words: &[&str]) -> Running {
        let words = words.iter().chain(&["--app", "plain"]);
        self.installation.program(words).output(&self.client_log()).start()
    }

    /// Starts a deploy of the folder.
    pub(super) fn deploy(&self, flaw: Flaw) -> Running {
        let path = self.folder.path().to_str().expect("a plain path").to_owned();
        self.client(&["deploy", &path, "-m", if flaw == Flaw::None { SOUND } else { "flawed" }])
    }

    /// What the client of this turn has written.
    pub(super) fn told(&self) -> String {
        std::fs::read_to_string(self.client_log()).unwrap_or_default()
    }

    fn client_log(&self) -> PathBuf {
        self.installation.data().root().join(format!("../client-{}.log", self.turn))
    }

    /// All rollouts, the newest first; none where nobody answers.
    pub(super) fn rollouts(&self) -> Option<Vec<Value>> {
        let listed = self.installation.tandem(["rollout", "list", "--json", "--app", "plain"]);
        let is_answer = listed.code == Some(0);
        is_answer.then(|| listed.json().as_array().expect("a list").clone())
    }

    /// A release without a flaw that `rollback` can bring back; where there is none, one is made.
    pub(super) fn earlier_release(&mut self) -> String {
        self.sound_release().unwrap_or_else(|| {
            for _ in 0..2 {
                self.put_in_place();
            }
            self.sound_release().expect("the release before the last one is kept")
        })
    }

    fn sound_release(&self) -> Option<String> {
        let listed =
            self.installation.tandem(["releases", "--json", "--app", "plain"]).expect_success().json();
        let usable = |detail: &&Value| {
            let release = &detail["release"];
            let is_other = release["status"] != "current" && release["status"] != "failed";
            is_other && release["message"] == SOUND && detail["can_roll_back"] == true
        };
        let found = listed.as_array().expect("a list").iter().find(usable)?;
        Some(found["release"]["number"].as_str().expect("a number").to_owned())
    }

    /// Lets old releases go: for 15 s after a start the server cannot know whether a balancer routes to them, and cases follow
    /// each other quicker than that.
    pub(super) fn rest(&self) {
        let running = || self.installation.traces().units().len();
        if running() > MOST_GROUPS {
            tandem_testkit::wait::eventually("old releases go", || (running() <= FEW_GROUPS).then_some(()));
        }
    }

    /// Every third time puts new instances in the place of those whose shims were killed, and waits until they serve: a runner
    /// waits ever longer before it starts again what keeps ending.
    pub(super) fn renew(&mut self) {
        self.killed += 1;
        if !self.killed.is_multiple_of(3) {
            return;
        }
        self.put_in_place();
    }

    /// Deploys something without a flaw, between two cases.
    pub(super) fn put_in_place(&mut self) {
        self.write(Flaw::None);
        let ended = self.deploy(Flaw::None).wait(FIRST);
        assert!(ended.success(), "a deploy between two cases: {}", self.told());
        tandem_testkit::wait::eventually("its rollout ends", || {
            let rollouts = self.rollouts()?;
            (rollouts.first()?["state"] == "completed").then_some(())
        });
    }

    /// Ids of the instances that serve.
    pub(super) fn serving(&self) -> BTreeSet<String> {
        crate::screen::ids(&self.installation, "plain", "serving").into_iter().collect()
    }
}

/// The fixture's, with a clock, a server's name for the smoke check and a release phase that says whose it is.
fn manifest(fixture: &str) -> String {
    let changed = fixture
        .replace("\"python3 server.py\"", "\"exec python3 server.py # gunicorn probe:app\"")
        .replace("echo released", "echo $TANDEM_RELEASE")
        .replace(
            "[release]",
            "[processes.clock]\ncommand = \"python3 clock.py\"\nstop_timeout = \"10s\"\n\n[release]",
        );
    assert!(changed.contains("gunicorn") && changed.contains("TANDEM_RELEASE"), "{changed}");
    changed
}
