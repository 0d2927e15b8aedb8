//! Bombs in the build of an app: which limit ends the build and in which words, and that the neighbor, the app's own release,
//! the server and the disk are afterwards what they were before.

use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_sandbox::packet_rules::Tables;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::disk::Disk;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Outcome;
use tandem_testkit::wait::{eventually, pass};
use tandem_types::defaults;

use super::neighbor::{Visitors, Visits};
use super::{HOSTILE, NEIGHBOR, installation_on, tell};
use crate::needs::{Need, are_met};
use crate::screen::current;

/// Mebibytes of the disk of the data folder; a twentieth of it, and of its inodes, is what must be left.
const DISK: u64 = 512;
/// Between two questions to the server.
const PAUSE: Duration = Duration::from_millis(100);

/// How a build ends.
enum End {
    /// With a message that has one of these.
    Told(&'static [&'static str]),
    /// Not by itself: a person aborts it.
    Aborted,
}

const MEMORY: &[&str] = &["of memory that a build may use"];
/// uv keeps what a package prints while it is built.
const OUTPUT: &[&str] = &["of memory that a build may use", "it printed more than"];
const FULL: &[&str] = &["the server's disk had only"];
const BROKEN: &[&str] = &["the dependency broken (./broken) does not build"];

#[test]
fn a_build_that_forks_or_leaves_processes_behind_is_ended_and_nobody_else_notices() {
    expect_all(&[
        ("processes", End::Told(&["processes and threads that a build may have"])),
        ("stays_then_end", End::Told(BROKEN)),
    ]);
}

mod long {
    use super::*;

    #[test]
    fn every_bomb_in_a_build_is_ended_and_nobody_else_notices() {
        expect_all(&[
            ("memory", End::Told(MEMORY)),
            ("files_in_memory", End::Told(MEMORY)),
            ("descriptors_then_end", End::Told(BROKEN)),
            ("processor_then_end", End::Told(BROKEN)),
            ("lines", End::Told(OUTPUT)),
            ("endless_line", End::Told(OUTPUT)),
            ("disk", End::Told(FULL)),
            ("inodes", End::Told(FULL)),
            ("deep_and_sparse_then_end", End::Told(BROKEN)),
            ("never_ends", End::Aborted),
        ]);
    }
}

fn expect_all(bombs: &[(&str, End)]) {
    if !are_met(&[Need::Isolation, Need::Limits]) {
        return;
    }
    let disk = Disk::ext4(DISK);
    let installation = installation_on(Some(disk.path()));
    tell(&format!("{:26} | {}", "quiet", Visits::in_quiet(&installation, NEIGHBOR).describe()));
    let before = disk.space();
    for (name, end) in bombs {
        let (visitors, own) = (Visitors::of(&installation, NEIGHBOR), Visitors::of(&installation, HOSTILE));
        let (outcome, slowest) = deploy(&installation, name, end);
        let (visits, own) = (visitors.leave(), own.leave());
        tell(&format!("{name:26} | {} | status {slowest:?}", visits.describe()));
        tell(&format!("{:26} | {}", "  its own release", own.describe()));
        outcome
            .stderr
            .lines()
            .filter(|line| !line.is_empty())
            .for_each(|line| tell(&format!("    {}", cut(line))));
        assert!(visits.lost.is_empty(), "{name}: {:?}", visits.lost);
        assert!(own.lost.is_empty(), "{name}: {:?}", own.lost);
        expect_words(name, end, &outcome);
        assert_eq!(current(&installation, "hostile"), "r1", "{name}");
        expect_nothing_left(name, &installation);
    }
    eventually("what the bombs wrote is gone", || {
        let space = disk.space();
        let gone =
            space.free_bytes + (32 << 20) > before.free_bytes && space.free_inodes + 500 > before.free_inodes;
        gone.then_some(())
    });
    installation.finish();
    disk.finish();
}

/// Deploys the hostile app with this bomb among its dependencies, and asks for the status until that has ended. Says how long
/// the slowest of these answers took.
fn deploy(installation: &Installation, bomb: &str, end: &End) -> (Outcome, Duration) {
    let folder = AppFolder::fixture("hostile");
    folder.write("requirements.txt", "./broken\n");
    folder.write("broken/bomb", bomb);
    let program = installation.program(["deploy".as_ref(), folder.path()]);
    let deploys = std::thread::spawn(move || program.run());
    let clock = Clock::system();
    let mut slowest = Duration::ZERO;
    let mut aborts = false;
    while !deploys.is_finished() {
        let begun = clock.monotonic();
        let status = installation.tandem(["status", "--json"]).expect_success().json();
        slowest = slowest.max(clock.monotonic().elapsed_since(begun));
        assert_eq!(
            status["apps"].as_array().map(Vec::len),
            Some(2),
            "{bomb}: the server knows both: {status}"
        );
        if !aborts && matches!(end, End::Aborted) && processes_of_builds(installation).len() > 20 {
            let _ = installation.tandem(["rollout", "abort", "--app", "hostile"]).expect_success();
            aborts = true;
        }
        pass(PAUSE);
    }
    (deploys.join().expect("the program ends"), slowest)
}

fn expect_words(name: &str, end: &End, outcome: &Outcome) {
    assert_ne!(outcome.code, Some(0), "{name}: {outcome}");
    if let End::Told(words) = end {
        assert!(words.iter().any(|words| outcome.stderr.contains(words)), "{name}: {outcome}");
        assert!(outcome.stderr.contains("hint: "), "{name}: {outcome}");
    }
}

/// No process, no control group, and of folders only what is kept on purpose.
fn expect_nothing_left(name: &str, installation: &Installation) {
    eventually(&format!("{name} is gone"), || {
        let groups = tandem_sandbox::cgroup::list(&installation.data().cgroup_name()).unwrap_or_default();
        let builds = groups.iter().any(|group| group.starts_with("build-"));
        (!builds && processes_of_builds(installation).is_empty() && kept(installation)).then_some(())
    });
}

fn kept(installation: &Installation) -> bool {
    let folder = installation.data().build().join("hostile");
    let entries = std::fs::read_dir(folder).expect("it was built").flatten();
    entries
        .map(|entry| entry.file_name())
        .all(|name| name == "uv" || name.to_string_lossy().ends_with(".json"))
}

/// Processes of the users that builds of this installation have.
fn processes_of_builds(installation: &Installation) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let tables = Tables::of(installation.data());
    let apps = (defaults::FIRST_UID..).take(4);
    let builders: Vec<u32> = apps.map(|app| tables.build_uid(app)).collect();
    let entries = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let users = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.metadata().ok()?.uid()))
    });
    users.filter(|(_, user)| builders.contains(user)).map(|(number, _)| number).collect()
}

fn cut(line: &str) -> String {
    line.chars().take(200).collect()
}
