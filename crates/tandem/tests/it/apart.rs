//! Server, runner and balancer in processes of their own on one data folder, so that one can be away while others are not;
//! and what holds of them besides being cut off: locks, signals, `tandem down`.

use std::net::SocketAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::program::Running;
use tandem_testkit::site::Site;
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::TANDEM;
use crate::screen::{PLAIN, ids, instances};

/// A role that can be killed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Runner,
    Balancer,
}

impl Role {
    fn verb(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Runner => "runner",
            Self::Balancer => "balancer",
        }
    }
}

/// An installation whose roles run apart.
pub(crate) struct Apart {
    pub(crate) installation: Installation,
    running: Vec<(Role, Running)>,
    /// Where each served when it was started first, to be served again.
    http: Option<SocketAddr>,
    api: Option<SocketAddr>,
}

impl Apart {
    /// All three, ready, with the runner first: the order does not matter.
    pub(crate) fn start() -> Self {
        let mut installation = Installation::prepare(Setting::of(TANDEM));
        installation.take_tools();
        installation.name_heir();
        let mut apart = Self { installation, running: Vec::new(), http: None, api: None };
        for role in [Role::Runner, Role::Balancer, Role::Server] {
            apart.launch(role);
        }
        for role in [Role::Server, Role::Runner, Role::Balancer] {
            apart.wait_until_ready(role);
        }
        apart
    }

    /// Starts a role that does not run and waits until it answers.
    pub(crate) fn start_again(&mut self, role: Role) {
        self.launch(role);
        self.wait_until_ready(role);
    }

    /// Starts a balancer beside the one that serves, which ends by itself.
    fn replace_balancer(&mut self) {
        let place = self.running.iter().position(|(role, _)| *role == Role::Balancer).expect("it runs");
        let (_, mut before) = self.running.remove(place);
        self.start_again(Role::Balancer);
        let status = before.wait(PATIENCE);
        assert!(status.success(), "the one before ended with {status}:\n{}", self.log(Role::Balancer));
    }

    fn launch(&mut self, role: Role) {
        assert!(self.find(role).is_none(), "{role:?} runs already");
        let file = self.ready_file(role);
        // It is not there at the first start.
        let _ = std::fs::remove_file(&file);
        let mut words = vec![role.verb().to_owned()];
        let any = || SocketAddr::from(([127, 0, 0, 1], 0));
        match role {
            Role::Server => words.extend(["--api".to_owned(), self.api.unwrap_or_else(any).to_string()]),
            Role::Balancer => words.extend(["--http".to_owned(), self.http.unwrap_or_else(any).to_string()]),
            Role::Runner => {}
        }
        words.extend(["--ready-file".to_owned(), file.display().to_string()]);
        let program = self.installation.program(&words).output(&self.log_path(role));
        self.running.push((role, program.start()));
    }

    fn wait_until_ready(&mut self, role: Role) {
        let file = self.ready_file(role);
        let ready: Value = eventually(&format!("{role:?} gets ready"), || {
            if let Some(status) = self.find(role).and_then(Running::ended) {
                panic!("{role:?} ended with {status}:\n{}", self.log(role));
            }
            Some(serde_json::from_str(&std::fs::read_to_string(&file).ok()?).expect("it is written whole"))
        });
        let address = |name: &str| ready[name].as_str().expect("it is told").parse().expect("an address");
        match role {
            Role::Server => self.api = Some(address("api")),
            Role::Balancer => self.http = Some(address("http")),
            Role::Runner => assert!(ready["host"].is_string(), "{ready}"),
        }
    }

    fn find(&mut self, role: Role) -> Option<&mut Running> {
        self.running.iter_mut().find(|(found, _)| *found == role).map(|(_, running)| running)
    }

    /// Sends a role a signal and waits for its end.
    pub(crate) fn end(&mut self, role: Role, signal: Signal) -> std::process::ExitStatus {
        let place = self.running.iter().position(|(found, _)| *found == role).expect("it runs");
        let (_, mut running) = self.running.remove(place);
        running.signal(signal);
        running.wait(PATIENCE)
    }

    /// Sends a role a signal that does not end it. Tells its process.
    pub(crate) fn signal(&mut self, role: Role, signal: Signal) -> Pid {
        let running = self.find(role).expect("it runs");
        running.signal(signal);
        running.id()
    }

    /// The balancer's address.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("a balancer was ready")
    }

    /// The app `plain` at the balancer.
    pub(crate) fn site(&self) -> Site {
        Site::new(self.http(), PLAIN)
    }

    /// What a role wrote, over all of its lives.
    pub(crate) fn log(&self, role: Role) -> String {
        std::fs::read_to_string(self.log_path(role)).unwrap_or_default()
    }

    /// Types `tandem down`, and proves that all have ended well and nothing is left.
    pub(crate) fn finish(mut self) {
        let _ = self.installation.tandem(["down"]).expect_success();
        for (role, mut running) in std::mem::take(&mut self.running) {
            let status = running.wait(PATIENCE);
            assert!(status.success(), "{role:?} ended with {status}:\n{}", self.log(role));
        }
        self.installation.finish();
    }

    fn ready_file(&self, role: Role) -> PathBuf {
        self.installation.data().root().join(format!("../{}.json", role.verb()))
    }

    fn log_path(&self, role: Role) -> PathBuf {
        self.installation.data().root().join(format!("../{}.log", role.verb()))
    }
}

/// Which instance answers on a new connection.
pub(crate) fn who_answers(site: &Site) -> Option<String> {
    let answer = site.ask(Question::get("/identity")).ok().filter(|answer| answer.status == 200)?;
    answer.text().split(' ').next().map(str::to_owned)
}

/// The process of an instance whose command line holds `word`, by the control group that bears its id.
pub(crate) fn process_of(installation: &Installation, id: &str, word: &str) -> Option<Pid> {
    let processes = installation.traces().processes();
    let found = processes.into_iter().find(|process| {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.id)).unwrap_or_default();
        process.words.starts_with(word) && groups.contains(&format!("/{id}"))
    });
    found.map(|process| process.id)
}

#[test]
fn each_role_runs_once_and_ends_alone_and_down_ends_them_all() {
    let mut apart = Apart::start();
    let folder = AppFolder::fixture("plain");
    apart.installation.deploy(folder.path());
    assert_eq!(apart.site().text("/"), "one\n");
    let web = ids(&apart.installation, "plain", "serving");
    let process = process_of(&apart.installation, &web[0], "python3").expect("it runs");

    for verb in ["up", "server", "runner"] {
        let refused = apart.installation.tandem([verb]).expect_code(1);
        let rival = if verb == "up" { "server" } else { verb };
        assert!(refused.stderr.contains(&format!("`tandem {rival}` (process ")), "{refused}");
        assert!(refused.stderr.contains("`tandem down --data "), "{refused}");
    }

    // Each is replaced, as by an upgrade: a balancer by the next one, which takes its sockets over.
    apart.replace_balancer();
    assert_eq!(apart.site().text("/"), "one\n");
    assert!(apart.end(Role::Runner, Signal::SIGTERM).success());
    assert!(apart.end(Role::Server, Signal::SIGINT).success());
    apart.start_again(Role::Runner);
    let missed = apart.installation.tandem(["ps"]).expect_code(1);
    assert!(missed.stderr.contains("`tandem server --data "), "{missed}");
    apart.start_again(Role::Server);
    eventually("the same instances are seen again", || {
        (ids(&apart.installation, "plain", "serving") == web).then_some(())
    });
    for line in instances(&apart.installation, "plain", "serving") {
        assert_eq!(line["restarts"], 0, "{line}");
    }
    assert_eq!(process_of(&apart.installation, &web[0], "python3"), Some(process));
    apart.finish();
}

#[test]
fn down_ends_what_a_dead_server_and_a_dead_runner_left() {
    let mut apart = Apart::start();
    apart.installation.deploy(AppFolder::fixture("plain").path());
    apart.end(Role::Server, Signal::SIGKILL);
    apart.end(Role::Runner, Signal::SIGKILL);
    assert_eq!(apart.site().text("/"), "one\n", "served by the balancer alone");
    apart.finish();
}

#[test]
fn down_says_what_to_do_with_a_runner_that_no_server_tells_to_stop() {
    let mut apart = Apart::start();
    apart.installation.deploy(AppFolder::fixture("plain").path());
    apart.end(Role::Server, Signal::SIGKILL);
    let runner = apart.find(Role::Runner).expect("it runs").id();
    let log = apart.installation.data().root().join("../down.log");
    let mut down = apart.installation.program(["down"]).output(&log).start();
    eventually("it says how", || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains(&format!("`kill {runner}`")).then_some(())
    });
    assert!(apart.end(Role::Runner, Signal::SIGTERM).success());
    let ended = eventually("everything is stopped", || down.ended());
    assert!(ended.success(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    apart.finish();
}
