//! The server is away, and what is left goes on: requests are answered, what crashes is started again and takes requests
//! again, and whoever returns catches up.
//!
//! What counts as lost: every request that got no answer, or one from 400 on, also one that the killed instance was just
//! answering. That this can be asked for has two reasons, both of which the app must bring along: the requests are GETs,
//! which the balancer sends once more to another instance where no answer had begun; and `plain` writes its answer in one
//! go here, so that a kill leaves the whole of it or nothing. A POST that a killed process was at work on fails.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::load::{Load, Mix};
use tandem_testkit::wait::{eventually, pass};

use crate::apart::{Apart, Role, process_of, who_answers};
use crate::screen::{ask, ids, instances, say};

/// An app that runs, under load.
pub(crate) struct Scene {
    pub(crate) apart: Apart,
    pub(crate) folder: AppFolder,
    web: Vec<String>,
    worker: String,
    /// None while no balancer runs.
    load: Option<Load>,
    /// Kills of each web instance.
    kills: [usize; 2],
    worker_kills: usize,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let apart = Apart::start();
        let folder = AppFolder::fixture("plain");
        folder.edit("server.py", "    timeout = 2\n", "    timeout = 2\n    wbufsize = -1\n");
        apart.installation.deploy(folder.path());
        let web = ids(&apart.installation, "plain", "serving");
        let worker = ids(&apart.installation, "plain", "running").remove(0);
        assert_eq!(web.len(), 2);
        let mut scene = Self { apart, folder, web, worker, load: None, kills: [0, 0], worker_kills: 0 };
        scene.begin_load();
        scene
    }

    pub(crate) fn begin_load(&mut self) {
        self.load = Some(ask(self.apart.http(), Mix::gets()));
    }

    /// Stops asking, and proves that all that was asked was answered, and something was asked.
    #[expect(clippy::print_stdout, reason = "figures for who runs the long one")]
    pub(crate) fn end_load(&mut self) {
        let load = self.load.take().expect("there is load");
        eventually("there was load", || (load.ended() > 50).then_some(()));
        let report = load.stop();
        let (lost, all) = (report.failures().len(), report.samples.len());
        println!(
            "{all} requests, {lost} of them lost; {:?} instances killed, {} workers",
            self.kills, self.worker_kills
        );
        report.expect_nothing_lost();
    }

    fn app(&self, web: usize) -> Option<Pid> {
        process_of(&self.apart.installation, &self.web[web], "python3 server.py")
    }

    fn shim(&self, web: usize) -> Pid {
        let word = format!("instances/{}", self.web[web]);
        let processes = self.apart.installation.traces().processes();
        let is_shim = |words: &str| words.contains(" shim ") && words.ends_with(&word);
        processes.iter().find(|process| is_shim(&process.words)).expect("an instance has a shim").id
    }

    /// Kills a web instance, by its app's own process or by its shim, without waiting for anything.
    fn crash(&mut self, web: usize, by_shim: bool) -> Pid {
        let app = self.app(web).expect("it runs");
        let victim = if by_shim { self.shim(web) } else { app };
        kill(victim, Signal::SIGKILL).expect("it runs");
        self.kills[web] += 1;
        app
    }

    /// Waits until an instance has another process than this one, and both instances are seen to answer.
    fn until_back(&self, web: usize, before: Pid) {
        eventually("it is started again", || self.app(web).filter(|now| *now != before).map(drop));
        self.until_both_answer();
    }

    fn until_both_answer(&self) {
        let (site, mut seen) = (self.apart.site(), BTreeSet::new());
        eventually("both instances take requests", || {
            seen.extend(who_answers(&site));
            self.web.iter().all(|id| seen.contains(id)).then_some(())
        });
    }

    pub(crate) fn crash_and_wait(&mut self, web: usize, by_shim: bool) {
        // Those that answer now: one that is down already must not be the second one of two.
        self.until_both_answer();
        let before = self.crash(web, by_shim);
        self.until_back(web, before);
    }

    pub(crate) fn crash_worker(&mut self) {
        let app = || process_of(&self.apart.installation, &self.worker, "python3 worker.py");
        let before = eventually("the worker runs", app);
        kill(before, Signal::SIGKILL).expect("it runs");
        eventually("the worker is started again", || app().filter(|now| *now != before));
        self.worker_kills += 1;
    }

    /// After the server is back: everything that happened is known, and new things can.
    pub(crate) fn catches_up(mut self) {
        self.is_known();
        self.deploys();
        self.end_load();
        self.apart.finish();
    }

    /// The server sees what became of everything meanwhile.
    pub(crate) fn is_known(&self) {
        let Self { apart, web, worker, kills, worker_kills, .. } = self;
        let installation = &apart.installation;
        let expected: Vec<_> = web.iter().zip(*kills).collect();
        eventually("the same instances, each with its restarts", || {
            let lines = instances(installation, "plain", "serving");
            let as_expected = expected.iter().all(|(id, restarts)| {
                let line = lines.iter().find(|line| line["id"] == ***id);
                line.is_some_and(|line| line["state"] == "ready" && line["restarts"] == *restarts)
            });
            (lines.len() == 2 && as_expected).then_some(())
        });
        eventually("the same worker, with its restarts", || {
            let lines = instances(installation, "plain", "running");
            let [line] = lines.as_slice() else { return None };
            (line["id"] == **worker && line["restarts"] == *worker_kills).then_some(())
        });
    }

    pub(crate) fn deploys(&self) {
        let Self { apart, folder, kills, worker_kills, .. } = self;
        let installation = &apart.installation;
        let logs = installation.tandem(["logs", "-n", "100000", "--app", "plain"]).expect_success().stdout;
        let count = |text: &str| logs.lines().filter(|line| line.contains(text)).count();
        assert_eq!(count("listening, text one"), 2 + kills[0] + kills[1], "every start is in the logs");
        assert_eq!(count("worker of r1 started"), 1 + worker_kills);

        say(folder, "one", "two");
        installation.deploy(folder.path());
        assert_eq!(apart.site().text("/"), "two\n");
    }
}

#[test]
fn what_crashes_while_the_server_is_dead_is_started_again_and_routed_and_no_request_is_lost() {
    let mut scene = Scene::new();
    scene.apart.end(Role::Server, Signal::SIGKILL);
    scene.crash_and_wait(0, false);
    scene.crash_and_wait(0, true);
    scene.crash_and_wait(1, false);
    scene.crash_worker();
    scene.apart.start_again(Role::Server);
    scene.catches_up();
}

#[test]
fn a_runner_killed_and_started_while_the_server_is_dead_starts_what_crashed_meanwhile() {
    let mut scene = Scene::new();
    scene.apart.end(Role::Server, Signal::SIGKILL);
    scene.apart.end(Role::Runner, Signal::SIGKILL);
    let before = scene.crash(1, false);
    scene.apart.start_again(Role::Runner);
    scene.until_back(1, before);
    scene.crash_and_wait(0, true);
    scene.apart.start_again(Role::Server);
    scene.catches_up();
}

/// Nothing listens while a balancer is dead, so the load begins when it is back: that a new one is started without a gap
/// is the hand-over's affair.
#[test]
fn a_balancer_started_while_the_server_is_dead_serves_what_it_was_told_last() {
    let mut scene = Scene::new();
    scene.apart.end(Role::Server, Signal::SIGKILL);
    scene.end_load();
    scene.apart.end(Role::Balancer, Signal::SIGKILL);
    let before = scene.crash(0, false);
    scene.apart.start_again(Role::Balancer);
    scene.begin_load();
    scene.until_back(0, before);
    scene.apart.start_again(Role::Server);
    scene.catches_up();
}

/// Server and balancer are dead together for so long, and come back in this order.
fn both_come_back(first: Role, second: Role, length: Duration) {
    let mut scene = Scene::new();
    scene.end_load();
    scene.apart.end(Role::Server, Signal::SIGKILL);
    scene.apart.end(Role::Balancer, Signal::SIGKILL);
    let app = scene.app(1);
    let before = scene.crash(0, false);
    pass(length);
    scene.apart.start_again(first);
    if first == Role::Server {
        scene.is_known();
    }
    scene.apart.start_again(second);
    scene.begin_load();
    scene.until_back(0, before);
    assert_eq!(scene.app(1), app, "nobody touched it");
    scene.catches_up();
}

#[test]
fn a_server_that_is_back_before_the_balancer_leaves_the_apps_as_they_are() {
    both_come_back(Role::Server, Role::Balancer, Duration::ZERO);
}

mod long {
    use tandem_kit::clock::Clock;

    use super::{Duration, Role, Scene, Signal, both_come_back};

    /// How long the servers are dead.
    const OUTAGE: Duration = Duration::from_secs(600);

    #[test]
    fn ten_minutes_without_a_server_under_load_lose_no_request() {
        let mut scene = Scene::new();
        let clock = Clock::system();
        let begin = clock.monotonic();
        scene.apart.end(Role::Server, Signal::SIGKILL);
        let mut round = 0;
        while clock.monotonic().elapsed_since(begin) < OUTAGE {
            scene.crash_and_wait(round % 2, round % 3 == 0);
            if round % 4 == 0 {
                scene.crash_worker();
            }
            if round % 5 == 4 {
                scene.apart.end(Role::Runner, Signal::SIGKILL);
                scene.apart.start_again(Role::Runner);
            }
            round += 1;
        }
        let begin = clock.monotonic();
        scene.apart.start_again(Role::Server);
        println!("{round} rounds; the server answers after {:?}", clock.monotonic().elapsed_since(begin));
        scene.is_known();
        println!("it knows everything after {:?}", clock.monotonic().elapsed_since(begin));
        scene.catches_up();
    }

    /// Longer than anybody counts as live who does not report.
    #[test]
    fn server_and_balancer_dead_for_a_minute_change_nothing_whoever_comes_first() {
        for (first, second) in [(Role::Server, Role::Balancer), (Role::Balancer, Role::Server)] {
            both_come_back(first, second, Duration::from_secs(60));
        }
    }
}
