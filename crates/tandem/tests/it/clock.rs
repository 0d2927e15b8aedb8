//! The wall clock is set while Tandem runs: by libfaketime, for the server, the runner and the balancer, which all read one
//! file. What is started with an empty environment keeps the machine's clock (shims, apps, tools), and so do the times of
//! files. So what these write after a jump looks an hour older, or younger, than it is, which is more than happens on a
//! machine whose clock is really set. Monotonic time stays true, as it does there.
//!
//! What each limit makes of a jump is tried one by one where it is (decision 016); this tries that none was forgotten.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::load::Mix;
use tandem_testkit::site::Site;
use tandem_testkit::wait::eventually;
use tandem_types::Timestamp;

use crate::TANDEM;
use crate::screen::{PLAIN, ask, current, ids, instances, say};

const HOUR: i64 = 3_600;

/// The hands of the clock that an installation sees.
pub(crate) struct Hands {
    file: PathBuf,
}

impl Hands {
    /// A clock that is right, on a new installation that does not run yet.
    pub(crate) fn on(installation: &mut Installation) -> Self {
        let hands = Self { file: installation.data().root().join("../faketime") };
        hands.set(0);
        installation.set("LD_PRELOAD", library());
        installation.set("FAKETIME_TIMESTAMP_FILE", &hands.file);
        installation.set("FAKETIME_NO_CACHE", "1");
        installation.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        hands
    }

    /// Sets the clock to so many seconds ahead of the machine's.
    pub(crate) fn set(&self, ahead: i64) {
        let text = format!("{ahead:+}\n");
        tandem_kit::files::write_atomic_unsynced(&self.file, text.as_bytes(), 0o644)
            .expect("the folder takes files");
    }
}

/// Debian has it in a folder that bears the machine's architecture.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("every machine has it");
    let libraries = folders.flatten().map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let mut there =
        libraries.chain([PathBuf::from("/usr/lib/faketime/libfaketime.so.1")]).filter(|l| l.exists());
    there.next().expect("scripts/install-needs.sh test installs faketime")
}

/// An installation by a clock of its own, the app `plain` on it, and that clock.
fn with_plain() -> (Installation, AppFolder, Hands) {
    let mut installation = Installation::prepare(Setting::of(TANDEM));
    let hands = Hands::on(&mut installation);
    installation.start_again();
    let folder = AppFolder::fixture("plain");
    folder.edit("server.py", "    timeout = 2\n", "    timeout = 2\n    wbufsize = -1\n");
    installation.deploy(folder.path());
    (installation, folder, hands)
}

/// Every entry of the journal, in its order, is as late as the one before.
fn expect_a_journal_in_order(installation: &Installation) {
    let lines = installation.tandem(["journal", "--json", "-n", "1000"]).expect_success().stdout;
    let entry = |line: &str| -> (u64, Timestamp) {
        let entry: serde_json::Value = serde_json::from_str(line).expect("an entry a line");
        let time = entry["time"].as_str().expect("a time").parse().expect("a time");
        (entry["revision"].as_u64().expect("a revision"), time)
    };
    let mut entries: Vec<_> = lines.lines().map(entry).collect();
    entries.sort_unstable();
    assert!(entries.len() > 10, "{lines}");
    assert!(entries.is_sorted_by_key(|(_, time)| *time), "{lines}");
}

/// The clock is set in the middle of a release phase, and again while new instances start.
fn nothing_ends_or_is_forgotten(first: i64, second: i64) {
    let (mut installation, folder, hands) = with_plain();
    let site = installation.site(PLAIN);
    let web = ids(&installation, "plain", "serving");
    let load = ask(installation.ready().http, Mix::gets());

    say(&folder, "one", "two");
    folder.edit("server.py", "def main():\n", "def main():\n    time.sleep(2)\n");
    folder.edit("tandem.toml", "released >> /data/releases\"", "released >> /data/releases; sleep 2\"");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let log = installation.data().root().join("../client.log");
    let mut client = installation.program(["deploy", &path, "--app", "plain"]).output(&log).start();
    let releases = installation.data().volumes().join("plain.production/data/releases");
    let phases = || std::fs::read_to_string(&releases).unwrap_or_default().lines().count();
    eventually("the release phase has begun", || (phases() == 2).then_some(()));
    hands.set(first);
    eventually("new instances start", || {
        (!instances(&installation, "plain", "starting").is_empty()).then_some(())
    });
    hands.set(second);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let ended = eventually("the deploy ends", || client.ended());
    assert!(ended.success(), "{}\n{}", said(), installation.log());
    assert_eq!((site.text("/").as_str(), phases()), ("two\n", 2));

    // Warm for half an hour, by a clock that says it is over.
    let _ = installation.tandem(["rollback", "--app", "plain"]).expect_success();
    assert_eq!(ids(&installation, "plain", "serving"), web, "the same instances, which were warm");
    load.stop().expect_nothing_lost();
    expect_a_journal_in_order(&installation);

    installation.end(Signal::SIGKILL);
    installation.start_again();
    eventually("the same instances are seen again", || {
        (ids(&installation, "plain", "serving") == web).then_some(())
    });
    say(&folder, "two", "three");
    installation.deploy(folder.path());
    assert_eq!(site.text("/"), "three\n");
    expect_a_journal_in_order(&installation);
    let warm = instances(&installation, "plain", "warm");
    assert!(!warm.is_empty(), "the release before is kept warm");
    for line in warm {
        assert_eq!(line["restarts"], 0, "{line}");
    }
    installation.finish();
}

#[test]
fn a_clock_that_is_set_forward_by_an_hour_ends_nothing() {
    nothing_ends_or_is_forgotten(HOUR, HOUR);
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_ends_nothing() {
    nothing_ends_or_is_forgotten(-HOUR, -HOUR);
}

#[test]
fn a_clock_that_is_set_forward_and_at_once_back_beyond_ends_nothing() {
    nothing_ends_or_is_forgotten(HOUR, -HOUR);
}

/// A request on the old release is neither cut off nor waited for beyond its end, and a release phase that has no end is
/// stopped after its time, however the clock is set meanwhile.
#[test]
fn a_clock_that_is_set_while_requests_drain_and_a_release_phase_runs_out_ends_neither_early_nor_late() {
    let (installation, folder, hands) = with_plain();
    let (site, address) = (installation.site(PLAIN), installation.ready().http);
    // As long as it takes until the traffic has moved, on any machine.
    let wait = "    print('slow begins', flush=True)\n    while not os.path.exists('/data/go'):\n        \
                time.sleep(0.05)\n";
    folder.edit("server.py", "    time.sleep(float(seconds))\n", wait);
    installation.deploy(folder.path());
    let volume = installation.data().volumes().join("plain.production/data");
    let slow = std::thread::spawn(move || Site::new(address, PLAIN).ask(Question::get("/slow?0")));
    eventually("the app has the request", || {
        let logs = installation.tandem(["logs", "--app", "plain"]).expect_success().stdout;
        logs.contains("slow begins").then_some(())
    });
    say(&folder, "one", "two");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let log = installation.data().root().join("../client.log");
    let words = ["deploy", &path, "--app", "plain", "--wait", "verdict"];
    let mut client = installation.program(words).output(&log).start();
    eventually("the traffic has moved", || (site.text("/") == "two\n").then_some(()));
    assert!(!slow.is_finished(), "the request is under way");
    hands.set(HOUR);
    let _ = installation.tandem(["status"]).expect_success();
    hands.set(-HOUR);
    assert!(client.ended().is_none(), "it waits for the request");
    tandem_kit::files::write_atomic_unsynced(&volume.join("go"), b"", 0o644).expect("the volume takes files");
    let answer = slow.join().expect("the thread only asks").expect("it is answered");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "one\n"));
    let ended = eventually("the deploy ends with the request", || client.ended());
    assert!(ended.success(), "{}", std::fs::read_to_string(&log).unwrap_or_default());

    hands.set(0);
    let endless = "echo begun >> /data/releases; sleep 1000\"\ntimeout = \"3s\"";
    folder.edit("tandem.toml", "echo released >> /data/releases\"", endless);
    let mut client = installation.program(["deploy", &path, "--app", "plain"]).output(&log).start();
    let phases = || std::fs::read_to_string(volume.join("releases")).unwrap_or_default();
    eventually("the release phase has begun", || phases().contains("begun").then_some(()));
    hands.set(-HOUR);
    assert!(!eventually("the deploy fails", || client.ended()).success());
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(said.contains("ran out of its time"), "{said}");
    assert_eq!(phases().matches("begun").count(), 1);
    assert_eq!(site.text("/"), "two\n");
    expect_a_journal_in_order(&installation);
    installation.finish();
}

#[test]
fn a_machine_that_starts_in_1970_goes_on_from_where_it_was_and_hears_of_the_time_later() {
    let (mut installation, folder, hands) = with_plain();
    let site = installation.site(PLAIN);
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let web = ids(&installation, "plain", "serving");
    installation.end(Signal::SIGTERM);
    hands.set(hour_of_1970());
    installation.start_again();
    eventually("the same instances are seen again", || {
        (ids(&installation, "plain", "serving") == web).then_some(())
    });
    say(&folder, "two", "three");
    installation.deploy(folder.path());
    hands.set(0);
    assert_eq!(site.text("/"), "three\n");
    let _ = installation.tandem(["rollback", "--app", "plain"]).expect_success();
    assert_eq!((site.text("/").as_str(), current(&installation, "plain").as_str()), ("two\n", "r2"));
    expect_a_journal_in_order(&installation);
    installation.finish();
}

/// So far ahead of the machine's clock is the first hour that computers know.
fn hour_of_1970() -> i64 {
    let now = tandem_kit::clock::Clock::system().now();
    HOUR - now.as_second()
}
