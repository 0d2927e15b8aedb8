//! Parts killed, or asked to end, in the middle of one balancer's taking over from another: somebody serves all the same, one
//! balancer speaks, and only what a killed process had in its hands is lost.
//!
//! Each case holds the two at a named point of the hand-over (`tandem_kit::points`) under a light load, does its harm, lets
//! go, and asks. What is promised at which point stands in `docs/decisions/017-one-balancer-after-another.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_balancer::Process;
use tandem_kit::files;
use tandem_kit::points::{Effect, Point};
use tandem_sandbox::process::Stat;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::documents::Documents;
use tandem_testkit::hold::Holds;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Mix, Report};
use tandem_testkit::program::Running;
use tandem_testkit::promises::{self, Before};
use tandem_testkit::wait::{eventually, within};
use tandem_types::api::Status;
use tandem_types::routing::RoutingDocument;

use crate::TANDEM;
use crate::screen::{PLAIN, ask};

/// The points of a hand-over, in their order. Each is tried here, and no operation of the kill matrix passes it.
pub(crate) const POINTS: [Point; 5] = [
    Point::Effect(Effect::HandoverAsked),
    Point::Effect(Effect::HandoverTaken),
    Point::Effect(Effect::HandoverGo),
    Point::Effect(Effect::HandoverOpened),
    Point::Effect(Effect::HandoverLeft),
];

/// Time in which everything is as it should be after the harm.
const SETTLED: Duration = Duration::from_secs(45);

/// What happens in the middle of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    OldKilled,
    NewKilled,
    UpKilled,
    OldAskedToEnd,
    NewAskedToEnd,
}

impl Harm {
    const ALL: [Self; 5] =
        [Self::OldKilled, Self::NewKilled, Self::UpKilled, Self::OldAskedToEnd, Self::NewAskedToEnd];

    fn signal(self) -> Signal {
        match self {
            Self::OldAskedToEnd | Self::NewAskedToEnd => Signal::SIGTERM,
            _ => Signal::SIGKILL,
        }
    }

    /// Whether nobody who lives has the listening sockets then, or nobody who is not about to end.
    fn leaves_nobody(self, point: Point) -> bool {
        match self {
            Self::OldKilled => point == POINTS[0],
            // Held at `go`, the old one has not heard yet that the new one serves, but it will.
            Self::NewKilled => [POINTS[2], POINTS[4]].contains(&point),
            // It may hear the signal only when it has said that it serves.
            Self::NewAskedToEnd => POINTS[2..].contains(&point),
            Self::UpKilled | Self::OldAskedToEnd => false,
        }
    }

    /// Until when a request may have come into hands in which it is lost.
    fn may_lose_until(self, Times { harmed, served, .. }: Times) -> Duration {
        match self {
            Self::OldKilled | Self::NewKilled => harmed,
            // Who is asked to end closes a connection on which nothing was asked yet, one just accepted too; it hears the
            // signal a moment after it was sent.
            Self::OldAskedToEnd | Self::NewAskedToEnd => served,
            Self::UpKilled => Duration::ZERO,
        }
    }
}

/// When what happened in a case, from the begin of its load.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Before the harm.
    begin: Duration,
    /// The signal was sent, and where it cannot be refused has done its work.
    harmed: Duration,
    /// Somebody was seen to serve afterwards.
    served: Duration,
}

/// An installation on which one case follows the other.
struct World {
    installation: Installation,
    holds: Holds,
    programs: [PathBuf; 2],
    up: Running,
    _folder: AppFolder,
}

impl World {
    fn start() -> Self {
        let mut installation = Installation::start(TANDEM);
        let folder = AppFolder::fixture("plain");
        // What the promises read.
        folder.edit("tandem.toml", "echo released", "echo $TANDEM_RELEASE");
        installation.deploy(folder.path());
        let holds = Holds::of(installation.data());
        let programs = [TANDEM.into(), installation.copy_of_binary("tandem-new")];
        installation.end(Signal::SIGTERM);
        let up = start_up(&installation);
        let world = Self { installation, holds, programs, up, _folder: folder };
        world.expect_one_that_serves("at first");
        world
    }

    /// The balancer that serves.
    fn serving(&self) -> Option<Process> {
        Process::find(&self.installation.data().balancer()).ok().flatten()
    }

    /// Balancers that run, those that only finish what they have as well.
    fn balancers(&self) -> BTreeSet<Pid> {
        let processes = self.installation.traces().processes().into_iter();
        processes.filter(|process| process.words.contains(" balancer ")).map(|process| process.id).collect()
    }

    /// Begins to replace the balancer that serves by one of the other program, and returns who they are once somebody is held
    /// at the point.
    fn hand_over_to(&mut self, point: Point) -> (Pid, Pid) {
        let old = Pid::from_raw(self.serving().expect("one serves").pid.cast_signed());
        self.up.signal(Signal::SIGTERM);
        self.up.wait(SETTLED);
        let runs = fs::read_link(format!("/proc/{old}/exe")).expect("it runs");
        let other = self.programs.iter().find(|program| **program != runs).expect("there are two").clone();
        self.installation.change_to(&other, "0.1.0");
        self.holds.hold(point);
        self.up = start_up(&self.installation);
        eventually("somebody is at the point", || self.holds.is_reached(point).then_some(()));
        let new = self.balancers().into_iter().find(|pid| *pid != old);
        (old, new.expect("another balancer runs"))
    }

    fn harm(&mut self, harm: Harm, (old, new): (Pid, Pid)) {
        match harm {
            Harm::OldKilled => kill_to_the_end(old),
            Harm::NewKilled => kill_to_the_end(new),
            Harm::OldAskedToEnd => kill(old, harm.signal()).expect("it runs"),
            Harm::NewAskedToEnd => kill(new, harm.signal()).expect("it runs"),
            Harm::UpKilled => {
                self.up.signal(harm.signal());
                self.up.wait(SETTLED);
            }
        }
    }

    fn case(&mut self, point: Point, harm: Harm) {
        let before = Before::look(&self.installation);
        let load = ask(self.installation.ready().http, Mix::gets());
        let pids = self.hand_over_to(point);
        let begin = load.now();
        self.harm(harm, pids);
        let harmed = load.now();
        if harm == Harm::UpKilled {
            self.up = start_up(&self.installation);
        }
        self.holds.let_go(point);
        self.expect_one_that_serves(&format!("{point} {harm:?}"));
        let served = load.now();
        let (asked, target) = (load.ended(), load.ended() + 10);
        eventually("requests are answered", || (load.ended() > target).then_some(()));
        expect_little_lost(&load.stop(), (point, harm), Times { begin, harmed, served });
        assert!(asked > 0, "{point} {harm:?}: there was load");
        // Now that nobody keeps a connection, whoever only finished what it had has nothing left.
        eventually("one balancer runs", || (self.balancers().len() == 1).then_some(()));
        self.expect_one_that_serves(&format!("{point} {harm:?}, in the end"));
        let broken = promises::broken(&self.installation, (&before, &BTreeSet::new()), SETTLED);
        assert!(broken.is_empty(), "{point} {harm:?}\n  {}", broken.join("\n  "));
        self.expect_a_tidy_folder();
    }

    /// Somebody serves, and the server hears that one, at the epoch that is served.
    fn expect_one_that_serves(&self, case: &str) {
        let one_speaks = || {
            let process = self.serving()?;
            let answer = self.installation.site(PLAIN).ask(Question::get("/")).ok()?;
            let listed = self.installation.tandem(["status", "--json"]);
            let status: Status = (listed.code == Some(0))
                .then(|| serde_json::from_value(listed.json()).expect("a status is printed"))?;
            let [balancer] = status.balancers.as_slice() else { panic!("{case}: {:?}", status.balancers) };
            let routing: Vec<RoutingDocument> = Documents::read(&self.installation).all();
            let agreed = balancer.status.serving == routing.first()?.serving.epoch;
            let speaks = balancer.live && balancer.status.started == process.started;
            (answer.status == 200 && agreed && speaks).then_some(())
        };
        within(SETTLED, one_speaks).unwrap_or_else(|| {
            panic!(
                "{case}: {:?} serves, {:?} run",
                self.serving().map(|process| process.pid),
                self.balancers()
            )
        });
    }

    fn expect_a_tidy_folder(&self) {
        let state = self.installation.data().balancer();
        assert!(!state.join("handover.sock.new").exists());
        let mark = files::lock_exclusive(&state.join("elders.lock")).expect("it can be asked");
        assert!(mark.is_some(), "nobody finishes anything");
    }

    fn finish(self) {
        let Self { installation, mut up, .. } = self;
        installation.finish();
        up.wait(SETTLED);
    }
}

/// Starts `tandem up` and does not wait until it is ready, which it is not while somebody is held.
fn start_up(installation: &Installation) -> Running {
    let (http, api) = (installation.ready().http.to_string(), installation.ready().api.to_string());
    let log = installation.data().root().join("../up.log");
    installation.program(["up", "--http", &http, "--api", &api]).output(&log).start()
}

/// A signal is sent before its work is done: on a busy machine the process still takes connections in for a while.
fn kill_to_the_end(process: Pid) {
    kill(process, Signal::SIGKILL).expect("it runs");
    // The last of its threads closes them as it ends.
    let has_ended = || !Stat::threads_of(process.as_raw()).iter().any(Stat::lives);
    eventually("the killed one has closed its sockets", || has_ended().then_some(()));
}

/// What a killed process had in its hands may be lost, and what came when nobody was there to accept; what ended before the
/// harm may not.
fn expect_little_lost(report: &Report, (point, harm): (Point, Harm), times: Times) {
    for sample in report.failures() {
        let by_harm = sample.due + sample.latency >= times.begin;
        let nobody = harm.leaves_nobody(point) && sample.due <= times.served;
        let in_hand = sample.due <= harm.may_lose_until(times);
        let refused = sample.outcome.as_ref().is_err_and(|error| error.contains("refused"));
        let forgiven = by_harm && (nobody || in_hand && !refused);
        assert!(forgiven, "{point} {harm:?}, {times:?}: {sample:?}");
    }
    // Who is asked to end closes what is idle at once; all others tell clients before.
    let may_close = harm != Harm::UpKilled;
    assert!(may_close || report.stale == 0, "{point} {harm:?}: {} connections were closed", report.stale);
}

#[test]
fn a_hand_over_bears_harm_at_each_step() {
    let mut world = World::start();
    let harms =
        [Harm::NewKilled, Harm::OldKilled, Harm::OldAskedToEnd, Harm::NewAskedToEnd, Harm::OldAskedToEnd];
    for (point, harm) in POINTS.into_iter().zip(harms) {
        world.case(point, harm);
    }
    world.finish();
}

/// The one that takes over is the child of a `tandem up` that was killed: the next one looks after it as soon as it serves,
/// not when the old one has ended, which an idle connection holds for half a minute.
#[test]
fn a_balancer_that_comes_to_serve_after_its_tandem_up_was_killed_is_looked_after() {
    let mut world = World::start();
    let idle = std::net::TcpStream::connect(world.installation.ready().http).expect("it listens");
    let _ = world.installation.site(PLAIN).get("/");
    let pids = world.hand_over_to(POINTS[1]);
    world.harm(Harm::UpKilled, pids);
    world.up = start_up(&world.installation);
    // It finds the old one, and a hand-over under way.
    eventually("the next one supervises", || {
        world.installation.log().contains("just taking over").then_some(())
    });
    world.holds.let_go(POINTS[1]);
    let new = pids.1.as_raw().cast_unsigned();
    eventually("the new one serves", || (world.serving()?.pid == new).then_some(()));
    let adopted = format!("process {new} serves now and is adopted");
    eventually("it is adopted", || world.installation.log().contains(&adopted).then_some(()));
    assert!(world.balancers().contains(&pids.0), "the old one has not ended");
    kill(pids.1, Signal::SIGKILL).expect("it runs");
    eventually("another one serves", || (world.serving()?.pid != new).then_some(()));
    world.expect_one_that_serves("after the third start");
    assert!(world.balancers().contains(&pids.0), "the old one has not ended yet");
    drop(idle);
    eventually("the old one ends", || (world.balancers().len() == 1).then_some(()));
    world.finish();
}

mod long {
    use super::*;

    fn every_harm_at(point: Point) {
        let mut world = World::start();
        for harm in Harm::ALL {
            world.case(point, harm);
        }
        world.finish();
    }

    #[test]
    fn asked() {
        every_harm_at(POINTS[0]);
    }

    #[test]
    fn taken() {
        every_harm_at(POINTS[1]);
    }

    #[test]
    fn go() {
        every_harm_at(POINTS[2]);
    }

    #[test]
    fn opened() {
        every_harm_at(POINTS[3]);
    }

    #[test]
    fn left() {
        every_harm_at(POINTS[4]);
    }
}
