//! Where the benchmark works, and the installation that most parts kill: two apps, a visitor of the small one and load on
//! the guestbook.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tandem_kit::clock::{Clock, Moment};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::machine;
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::record::Record;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::load::{Load, Mix, Target};

use crate::Plan;

/// The app that is written to.
pub(crate) const GUESTBOOK: &str = "guestbook";
/// The small one.
pub(crate) const PLAIN: &str = "plain";

/// The folder that everything lies in. What watches over this process removes it.
#[derive(Debug)]
pub(crate) struct Ground {
    scratch: PathBuf,
    record: Record,
}

impl Ground {
    /// Makes it.
    pub(crate) fn prepare(bench: &BenchFolder, record: Record) -> anyhow::Result<Self> {
        let scratch = bench.scratch();
        std::fs::create_dir_all(&scratch).with_context(|| format!("make {}", scratch.display()))?;
        Ok(Self { scratch, record })
    }

    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// What lies below it, in words.
    pub(crate) fn describe(&self) -> String {
        format!("Data folders lie on {}.", machine::disk_of(&self.scratch))
    }

    /// A new data folder on which nothing runs yet.
    pub(crate) fn installation(&self, plan: &Plan) -> anyhow::Result<Installation> {
        let binary = plan.binary.canonicalize().context("find the binary")?;
        let parent = Some(self.scratch.clone());
        let installation = Installation::prepare(Setting { binary, parent, group: None, user: None });
        self.record.add_installation(installation.traces())?;
        Ok(installation)
    }
}

/// Tandem with both apps.
#[derive(Debug)]
pub(crate) struct Site {
    /// None once it has been finished.
    installation: Option<Installation>,
    pub(crate) binary: PathBuf,
    pub(crate) guestbook: AppFolder,
    pub(crate) plain: AppFolder,
    pub(crate) clock: Clock,
    /// From the first command of a build of the guestbook, whose packages are there, to its last.
    pub(crate) commands: Duration,
}

impl Site {
    /// Starts and deploys both.
    pub(crate) fn start(plan: &Plan, ground: &Ground) -> anyhow::Result<Self> {
        say("starting Tandem, first deploys");
        let binary = plan.binary.canonicalize().context("find the binary")?;
        let mut installation = ground.installation(plan)?;
        installation.start_again();
        let guestbook = AppFolder::guestbook_in(ground.scratch());
        let plain = AppFolder::fixture(PLAIN);
        plain.edit("server.py", "TEXT = \"one\"", "TEXT = \"<h1>start</h1>\"");
        installation.deploy(guestbook.path());
        installation.deploy(plain.path());
        let (clock, commands) = (Clock::system(), Duration::ZERO);
        let mut site = Self { installation: Some(installation), binary, guestbook, plain, clock, commands };
        // The first build fetched packages, so how long one takes is told by the next.
        site.commands = site.time_commands()?;
        Ok(site)
    }

    pub(crate) fn installation(&self) -> &Installation {
        self.installation.as_ref().expect("only finishing takes it")
    }

    pub(crate) fn installation_mut(&mut self) -> &mut Installation {
        self.installation.as_mut().expect("only finishing takes it")
    }

    /// Types `tandem down` and proves that nothing is left.
    pub(crate) fn finish(mut self) {
        self.installation.take().expect("only finishing takes it").finish();
    }

    /// A visitor of the small app who asks each 10 ms.
    pub(crate) fn visitor(&self) -> Poller {
        Poller::start(self.installation().ready().http, &format!("{PLAIN}.localhost"))
    }

    /// Load on the guestbook: pages, writes and kept connections.
    pub(crate) fn load(&self) -> Load {
        let address = self.installation().ready().http;
        Load::start(Target { address, host: format!("{GUESTBOOK}.localhost") }, mix())
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.monotonic()
    }

    pub(crate) fn since(&self, moment: Moment) -> Duration {
        self.now().elapsed_since(moment)
    }

    /// What a verb prints as JSON.
    pub(crate) fn told(&self, words: &[&str]) -> Value {
        self.installation().tandem(words).expect_success().json()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Something has failed and says so itself.
        if let Some(installation) = self.installation.take() {
            installation.abandon();
        }
    }
}

/// What is asked of the guestbook.
pub(crate) fn mix() -> Mix {
    Mix { pages: 10.0, writes: 5.0, slow: 0.0, kept_clients: 4, kept_pages: 2.0, ..Mix::default() }
}
