//! The real binary on a data folder of its own: `tandem up`, its verbs, and the ways in which it ends.
//!
//! A scenario ends with [`Installation::finish`], which types `tandem down` and fails when anything is left. Where a
//! scenario panics before, everything is ended by its id and the log of `tandem up` is printed.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_kit::env;
use tandem_kit::paths::DataDir;
use tandem_kit::points;
use tandem_types::api::Ready;
use tempfile::TempDir;

use crate::app_folder::repository;
use crate::hold;
use crate::leftovers::Traces;
use crate::program::{Outcome, Program, Running};
use crate::site::Site;
use crate::wait::eventually;

mod setting;
mod told;

pub use setting::Setting;

/// Time `tandem up` has to end after a signal: apps get their stop time-outs.
const END: Duration = Duration::from_secs(150);

/// `tandem up` on a temporary data folder.
#[derive(Debug)]
pub struct Installation {
    setting: Setting,
    folder: TempDir,
    data: DataDir,
    up: Option<Running>,
    ready: Option<Ready>,
    /// The version that the binary takes itself for.
    claim: Option<String>,
    /// Where the balancer is told to serve besides.
    more_http: Vec<SocketAddr>,
    /// What `tandem up` is told besides.
    arguments: Vec<OsString>,
    /// What `tandem up` finds in its environment, besides what the tests have in theirs.
    environment: Vec<(String, OsString)>,
    /// Ends everything when this process is killed and cannot do it itself.
    heir: Option<Running>,
    finished: bool,
}

impl Installation {
    /// Starts the binary on a new data folder and waits until everything answers.
    ///
    /// # Panics
    ///
    /// Where it does not get ready.
    #[must_use]
    pub fn start(binary: &str) -> Self {
        let mut installation = Self::prepare(Setting::of(binary));
        installation.take_tools();
        installation.start_again();
        installation
    }

    /// The same for an ordinary user, who has no way to keep apps apart. Needs root to become that user.
    ///
    /// # Panics
    ///
    /// Where it does not get ready.
    #[must_use]
    pub fn start_as(user: u32, binary: &str) -> Self {
        let mut installation = Self::prepare(Setting { user: Some(user), ..Setting::of(binary) });
        installation.take_tools();
        installation.give_to(user);
        installation.start_again();
        installation
    }

    /// Lets the user reach the binary and own the rest.
    fn give_to(&mut self, user: u32) {
        let own = self.folder.path().join("tandem");
        fs::copy(&self.setting.binary, &own).expect("the folder takes files");
        self.setting.binary = own;
        let (owner, folder) = (format!("{user}:{user}"), self.folder.path().as_os_str().to_owned());
        let _ = Program::new("chown").arguments(["-R".into(), owner.into(), folder]).run().expect_success();
    }

    /// A new data folder on which nothing runs yet.
    ///
    /// # Panics
    ///
    /// Where the temporary folder takes no files.
    #[must_use]
    pub fn prepare(setting: Setting) -> Self {
        let folder = match &setting.parent {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let folder = folder.expect("the folder takes files");
        let data = DataDir::open(&folder.path().join("data")).expect("a new data folder opens");
        let (claim, more_http, arguments, environment) = (None, Vec::new(), Vec::new(), Vec::new());
        let (up, ready, heir) = (None, None, None);
        Self {
            setting,
            folder,
            data,
            up,
            ready,
            claim,
            more_http,
            arguments,
            environment,
            heir,
            finished: false,
        }
    }

    /// Starts `tandem up` where none runs: at the addresses it had before, if it had any.
    ///
    /// # Panics
    ///
    /// Where it does not get ready.
    pub fn start_again(&mut self) {
        assert!(self.up.is_none(), "tandem up runs already");
        let file = self.folder.path().join("ready.json");
        // It is not there at the first start.
        let _ = fs::remove_file(&file);
        self.name_heir();
        let mut up = self.up_program(&file).start();
        let ready = eventually("tandem up gets ready", || {
            if let Some(status) = up.ended() {
                panic!("tandem up ended with {status}:\n{}", self.log());
            }
            read_ready(&file)
        });
        self.up = Some(up);
        self.ready = Some(ready);
    }

    /// Another binary and version for the next start and for all verbs from now on.
    pub fn change_to(&mut self, binary: &Path, version: &str) {
        self.setting.binary = binary.to_owned();
        self.claim = Some(version.to_owned());
    }

    /// A copy of the binary in a folder of this installation: the same program, but not the same file.
    ///
    /// # Panics
    ///
    /// Where the folder takes no copy.
    #[must_use]
    pub fn copy_of_binary(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        fs::copy(&self.setting.binary, &copy).expect("the folder takes files");
        copy
    }

    /// From now on everything ends with this process, also where it is killed; for who starts other things than
    /// `tandem up`.
    pub fn name_heir(&mut self) {
        if self.heir.is_none() {
            self.heir = Some(self.heir_program().start());
        }
    }

    /// Waits for the end of this process, whichever way it comes, and ends what it started.
    fn heir_program(&self) -> Program {
        let script = "cat; \"$1\" down --data \"$2\"; rm -rf \"$3\"";
        let binary = self.setting.binary.as_os_str();
        let words = [binary, self.data.root().as_os_str(), self.folder.path().as_os_str()];
        let program = Program::new("sh").arguments(["-c", script, "heir"]).arguments(words);
        program.hold_input().silent()
    }

    fn up_program(&self, ready_file: &Path) -> Program {
        let (http, api) = match &self.ready {
            Some(ready) => (ready.http.to_string(), ready.api.to_string()),
            None => ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()),
        };
        let arguments = ["up", "--http", &http, "--api", &api, "--ready-file"].map(OsStr::new);
        let own = self.arguments.iter().map(OsString::as_os_str);
        let arguments = arguments.into_iter().chain([ready_file.as_os_str()]).chain(own);
        let more: Vec<_> = self.more_http.iter().map(SocketAddr::to_string).collect();
        let more = more.iter().flat_map(|address| [OsStr::new("--http"), OsStr::new(address)]);
        let arguments = arguments.chain(more);
        let program = match &self.setting.group {
            Some(group) => {
                let script = "echo $$ > \"$1\"; shift; exec \"$@\"";
                let shell = ["-c", script, "sh"].map(OsStr::new);
                let words = [group.as_os_str(), self.setting.binary.as_os_str()];
                let words = shell.into_iter().chain(words).chain(arguments);
                self.at_home(Program::new("sh").arguments(words))
            }
            None => self.program(arguments),
        };
        let set = |program: Program, (name, value): &(String, OsString)| program.set(name, value);
        self.environment.iter().fold(program, set).output(&self.log_path())
    }

    /// A verb of the binary for this installation, not started yet.
    #[must_use]
    pub fn program<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Program {
        let binary = &self.setting.binary;
        let program = match self.setting.user {
            Some(user) => {
                let ids = [format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()];
                let home = self.folder.path();
                Program::new("setpriv").arguments(ids).arguments([binary]).set("HOME", home)
            }
            None => Program::new(binary),
        };
        let program = self.at_home(program.arguments(arguments));
        // What the command line remembers of sources goes with the installation, not into somebody's home.
        program.set(env::XDG_CACHE_HOME, self.folder.path().join("client"))
    }

    fn at_home(&self, program: Program) -> Program {
        let program = program.arguments([OsStr::new("--data"), self.data.root().as_os_str()]);
        // What the person who runs the tests has set is about another installation.
        let program = program.unset(env::TANDEM_SERVER).unset(env::TANDEM_TOKEN).unset(env::TANDEM_DATA);
        let program = match &self.claim {
            Some(claim) => program.set(env::TANDEM_CLAIM_VERSION, claim),
            None => program,
        };
        // Read by debug builds only, and heeded once somebody asked for the holds.
        let program = program.set(points::VARIABLE, hold::folder(&self.data));
        program.set(env::NO_COLOR, "1").folder(self.folder.path())
    }

    /// Types a verb and waits for its end.
    #[must_use]
    pub fn tandem<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.program(arguments).run()
    }

    /// Deploys a folder; the last line of `--json`.
    ///
    /// # Panics
    ///
    /// With all output, where the deploy failed.
    #[track_caller]
    pub fn deploy(&self, folder: &Path) -> Value {
        let folder = folder.to_str().expect("scenarios use plain paths");
        self.tandem(["deploy", folder, "--json"]).expect_success().json()
    }

    /// The site with this host name at its balancer.
    #[must_use]
    pub fn site(&self, host: &str) -> Site {
        Site::new(self.ready().http, host)
    }

    /// Where it answers.
    ///
    /// # Panics
    ///
    /// Where it was never ready.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        self.ready.as_ref().expect("tandem up was ready")
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// What it may leave behind, and its processes.
    #[must_use]
    pub fn traces(&self) -> Traces {
        Traces::of(&self.data)
    }

    /// What `tandem up` wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Sends `tandem up` a signal and waits for its end: SIGKILL for a crash, SIGTERM for an upgrade, SIGINT for a
    /// person's Ctrl-C.
    ///
    /// # Panics
    ///
    /// Where it does not run or does not end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut up = self.up.take().expect("tandem up runs");
        up.signal(signal);
        up.wait(END)
    }

    /// Waits until `tandem up` has ended by itself, well.
    ///
    /// # Panics
    ///
    /// Where it does not run, does not end or does not end well.
    pub fn wait_for_end(&mut self) {
        let status = self.up.take().expect("tandem up runs").wait(END);
        assert!(status.success(), "tandem up ended with {status}:\n{}", self.log());
    }

    /// Types `tandem down` and proves that nothing is left.
    ///
    /// # Panics
    ///
    /// Where it fails or something is left.
    pub fn finish(mut self) {
        let _ = self.tandem(["down"]).expect_success();
        if self.up.is_some() {
            self.wait_for_end();
        }
        self.expect_nothing_left();
        self.keep_tools();
        self.finished = true;
    }

    /// Ends everything at once and proves nothing, because something else has failed already.
    pub fn abandon(mut self) {
        self.finished = true;
    }

    /// Takes the uv that an earlier scenario had to install: once a run is enough for 20 MB.
    ///
    /// # Panics
    ///
    /// Where it cannot be copied.
    pub fn take_tools(&self) {
        let tools = self.data.tools();
        if kept_uv().exists() {
            tandem_kit::files::ensure_dir(&tools, 0o700).expect("the data folder takes folders");
            fs::copy(kept_uv(), tools.join("uv")).expect("the data folder takes files");
        }
    }

    fn keep_tools(&self) {
        let own = self.data.tools().join("uv");
        if own.exists() && !kept_uv().exists() {
            let aside = kept_uv().with_extension(std::process::id().to_string());
            fs::create_dir_all(aside.parent().expect("it lies in a folder")).expect("target takes folders");
            fs::copy(own, &aside).and_then(|_| fs::rename(&aside, kept_uv())).expect("target takes files");
        }
    }

    /// Proves that nothing of it runs or lies about, but its data.
    ///
    /// # Panics
    ///
    /// Where something does.
    pub fn expect_nothing_left(&mut self) {
        drop(self.heir.take());
        let left = self.traces().leftovers();
        assert!(left.is_empty(), "{} things were left:\n  {}", left.len(), left.join("\n  "));
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("up.log")
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        drop(self.up.take());
        drop(self.heir.take());
        self.traces().clean();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(80)..];
            tell(&format!("--- the end of what tandem up wrote\n{}\n---", tail.join("\n")));
        } else {
            assert!(self.finished, "a scenario ends with Installation::finish");
        }
    }
}

fn kept_uv() -> PathBuf {
    repository().join("target/testkit/uv")
}

#[expect(clippy::print_stderr, reason = "a failed scenario shows why; the test runner keeps it apart")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn read_ready(file: &Path) -> Option<Ready> {
    let text = fs::read_to_string(file).ok()?;
    Some(serde_json::from_str(&text).expect("the ready file is written whole"))
}
