//! An installation on which one case follows the other, and the app that they are about.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::documents::Documents;
use tandem_testkit::hold::Holds;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Running;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::routing::RoutingDocument;

use super::moment::{self, Stage};
use super::victim::Victim;
use crate::TANDEM;
use crate::apart::{Apart, Role};

/// What the journal says of a deploy without a flaw.
const SOUND: &str = "sound";
/// Time that a first deploy has, which may install a tool.
const FIRST: Duration = Duration::from_secs(120);
/// Time between two looks at rollouts.
const AGAIN: Duration = Duration::from_millis(50);
/// Control groups at which a rest is taken, and those that stay then: two releases, each with up to three web instances, a
/// worker and a clock, and the shims.
const MOST_GROUPS: usize = 28;
const FEW_GROUPS: usize = 11;

/// See the module.
pub(super) struct World {
    roles: Roles,
    pub(super) holds: Holds,
    /// Where the next build is held, in the program that makes a package of its own.
    pub(super) build_held: Option<Stage>,
    folder: AppFolder,
    source: Source,
    /// Grows with each case, so that each has something new to deploy and a log of its own.
    turn: u32,
    /// Shims of serving instances that were killed.
    killed: u32,
}

/// How Tandem runs.
enum Roles {
    /// All in one `tandem up`, but for the balancer, which that looks after.
    Together(Installation),
    /// Each in a process of its own.
    Apart(Apart),
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
    /// One `tandem up`. The app has two releases, of which the second serves and the first is warm.
    pub(super) fn start() -> Self {
        Self::of(Roles::Together(Installation::start(TANDEM)))
    }

    /// The same with roles apart.
    pub(super) fn start_apart() -> Self {
        Self::of(Roles::Apart(Apart::start()))
    }

    fn of(roles: Roles) -> Self {
        let folder = AppFolder::fixture("plain");
        let read =
            |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("the fixture has it");
        let source = Source {
            server: in_one_go(&read("server.py")),
            worker: read("worker.py"),
            manifest: manifest(&read("tandem.toml")),
        };
        // With dependencies there is a virtual environment, and what the web command seems to serve is imported once.
        folder.write("probe.py", "app = None\n");
        let holds = Holds::of(roles.installation().data());
        let mut world = Self { roles, holds, build_held: None, folder, source, turn: 0, killed: 0 };
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
        self.folder
            .write("requirements.txt", if self.build_held.is_some() { "./held\n" } else { "# none\n" });
        // Left from an earlier one, the package would be held where nobody waits.
        let _ = std::fs::remove_dir_all(self.folder.path().join("held"));
        for (path, text) in self.build_held.iter().flat_map(|stage| moment::package(*stage, self.turn)) {
            self.folder.write(&path, &text);
        }
    }

    /// A number that no case had before.
    pub(super) fn turn(&mut self) -> u32 {
        self.turn += 1;
        self.turn
    }

    /// Starts a verb; what it writes is in [`World::told`].
    pub(super) fn client(&self, words: &[&str]) -> Running {
        let words = words.iter().chain(&["--app", "plain"]);
        self.installation().program(words).output(&self.client_log()).start()
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
        self.installation().data().root().join(format!("../client-{}.log", self.turn))
    }

    /// All rollouts, the newest last. Read without a process of its own: it is asked for again and again.
    pub(super) fn rollouts(&self) -> Vec<Rollout> {
        tandem_testkit::wait::pass(AGAIN);
        let mut rollouts: Vec<Rollout> = Documents::read(self.installation()).all();
        rollouts.sort_by_key(|rollout| rollout.number);
        rollouts
    }

    /// The number of the newest rollout.
    pub(super) fn newest(&self) -> u64 {
        self.rollouts().last().expect("something was deployed").number.0
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
            self.installation().tandem(["releases", "--json", "--app", "plain"]).expect_success().json();
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
        let running = || self.installation().traces().units().len();
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
        self.wait_until_completed();
    }

    /// Changes the number of web instances, between two cases.
    pub(super) fn scale_to(&mut self, web: usize) {
        let _ = self.turn();
        let before = self.serving();
        let ended = self.client(&["scale", &format!("web={web}")]).wait(FIRST);
        assert!(ended.success(), "a change of scale between two cases: {}", self.told());
        self.wait_until_completed();
        let after = self.serving();
        let gone: Vec<_> = before.difference(&after).collect();
        tandem_testkit::wait::eventually("those that are too many are gone", || {
            let units = self.installation().traces().units();
            gone.iter().all(|id| !units.contains(*id)).then_some(())
        });
    }

    fn wait_until_completed(&self) {
        tandem_testkit::wait::eventually("its rollout ends", || {
            (self.rollouts().last()?.state == RolloutState::Completed).then_some(())
        });
    }

    /// Ids of the instances that serve.
    pub(super) fn serving(&self) -> BTreeSet<String> {
        let routing: Vec<RoutingDocument> = Documents::read(self.installation()).all();
        let routes = routing.iter().flat_map(|routing| &routing.serving.routes);
        routes.flat_map(|route| &route.pool.members).map(|member| member.instance.to_string()).collect()
    }

    /// The data folder and its verbs.
    pub(super) fn installation(&self) -> &Installation {
        self.roles.installation()
    }

    /// Where the balancer serves.
    pub(super) fn http(&self) -> SocketAddr {
        match &self.roles {
            Roles::Together(installation) => installation.ready().http,
            Roles::Apart(apart) => apart.http(),
        }
    }

    /// Who may be there at a point.
    pub(super) fn victims(&self) -> &'static [Victim] {
        match &self.roles {
            Roles::Together(_) => &Victim::TOGETHER,
            Roles::Apart(_) => &Victim::APART,
        }
    }

    /// Kills the process of a role.
    pub(super) fn kill_role(&mut self, victim: Victim) {
        match &mut self.roles {
            Roles::Together(installation) => drop(installation.end(Signal::SIGKILL)),
            Roles::Apart(apart) => drop(apart.end(role(victim), Signal::SIGKILL)),
        }
    }

    /// Starts again what was killed, and waits until it is ready.
    pub(super) fn start_again(&mut self, victim: Victim) {
        match &mut self.roles {
            Roles::Together(installation) => installation.start_again(),
            Roles::Apart(apart) => apart.start_again(role(victim)),
        }
    }

    /// Stops everything and proves that nothing is left.
    pub(super) fn finish(self) {
        match self.roles {
            Roles::Together(installation) => installation.finish(),
            Roles::Apart(apart) => apart.finish(),
        }
    }
}

impl Roles {
    fn installation(&self) -> &Installation {
        match self {
            Self::Together(installation) => installation,
            Self::Apart(apart) => &apart.installation,
        }
    }
}

fn role(victim: Victim) -> Role {
    if victim == Victim::Runner { Role::Runner } else { Role::Server }
}

/// An app that writes each answer in one go: a kill leaves the whole of it or nothing.
fn in_one_go(server: &str) -> String {
    let changed = server.replace("    timeout = 2\n", "    timeout = 2\n    wbufsize = -1\n");
    assert!(changed.contains("wbufsize"), "{changed}");
    changed
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
