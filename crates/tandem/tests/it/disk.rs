//! Disks that are nearly full, full, and used for hundreds of deploys. Each scenario has a small one of its own.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::disk::Disk;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::load::{Load, Mix, Target};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{PLAIN, current, ids, instances, say};

/// An installation whose data folder lies on the disk, with `plain` on it.
fn with_plain_on(disk: &Disk) -> (Installation, AppFolder) {
    let parent = Some(disk.path().to_owned());
    let mut installation =
        Installation::prepare(Setting { binary: TANDEM.into(), parent, group: None, user: None });
    installation.start_again();
    let folder = AppFolder::fixture("plain");
    installation.deploy(folder.path());
    (installation, folder)
}

#[test]
fn a_deploy_is_refused_before_it_starts_where_the_disk_is_nearly_full() {
    let disk = Disk::in_memory(96);
    let (installation, folder) = with_plain_on(&disk);
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    disk.fill_up_to(4 << 20);
    say(&folder, "two", "three");
    let rollouts =
        || installation.tandem(["rollout", "list", "--json", "--app", "plain"]).expect_success().json();
    let before = rollouts();
    let refused =
        installation.tandem(["deploy", folder.path().to_str().expect("a plain path")]).expect_code(1);
    assert!(refused.stderr.contains("MiB free") && refused.stderr.contains("hint: "), "{refused}");
    assert_eq!(rollouts(), before, "nothing began");
    let status = installation.tandem(["status"]).expect_success().stdout;
    assert!(status.contains("deploys are refused"), "{status}");

    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "one\n", "a rollback needs next to nothing");
    let _ = installation.tandem(["config", "set", "COLOR=teal"]).expect_success();
    let _ = installation.tandem(["restart"]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/environment?COLOR"), "teal\n");

    disk.empty();
    installation.deploy(folder.path());
    assert_eq!(installation.site(PLAIN).text("/"), "three\n");
    installation.finish();
    disk.finish();
}

/// Each web instance of `plain` says a line every ten milliseconds, and as many more as `/burst` is asked for.
fn chatter(folder: &AppFolder) {
    let loop_ = "def chatter():\n    while True:\n        print('chatter', 'x' * 1000, flush=True)\n        \
                 time.sleep(0.01)\n\n\ndef main():\n    threading.Thread(target=chatter, daemon=True).start()\n";
    folder.edit("server.py", "def main():\n", loop_);
    let burst = "def burst(_, count):\n    for _ in range(int(count)):\n        \
                 print('burst', 'x' * 1000, flush=True)\n    return 200, count\n\n\nPAGES = {\n    \"/burst\": burst,\n";
    folder.edit("server.py", "PAGES = {\n", burst);
}

#[test]
fn a_full_disk_stops_no_app_and_no_rollback_and_all_goes_on_once_there_is_room() {
    let disk = Disk::in_memory(96);
    let (installation, folder) = with_plain_on(&disk);
    let site = installation.site(PLAIN);
    say(&folder, "one", "two");
    chatter(&folder);
    installation.deploy(folder.path());
    disk.fill_up_to(0);

    let target = Target { address: installation.ready().http, host: PLAIN.to_owned() };
    let load = Load::start(target, Mix { writes: 0.0, slow: 0.0, ..Mix::default() });
    eventually("the disk stays full", || {
        disk.fill_up_to(0);
        (disk.space().free_bytes < 64 << 10).then_some(())
    });
    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!(site.text("/"), "one\n", "to a warm release");
    let _ = installation.tandem(["rollback", "r2"]).expect_success();
    assert_eq!(site.text("/"), "two\n");
    let report = load.stop();
    assert!(report.failures().is_empty(), "{:?}", report.failures());
    let before = ids(&installation, "plain", "serving");
    crash_one(&installation);
    eventually("the one that crashed serves again", || {
        let lines = instances(&installation, "plain", "serving");
        let again = lines.iter().filter(|line| line["restarts"].as_u64() > Some(0)).count();
        (lines.len() == 2 && again > 0).then_some(())
    });
    assert_eq!(ids(&installation, "plain", "serving"), before);

    // A shim holds two mebibytes; a crash takes what it held with it, and a quick machine says less than that meanwhile.
    disk.fill_up_to(0);
    assert_eq!(site.text("/burst?4000"), "4000\n", "nobody waits for the disk");
    disk.empty();
    eventually("what was dropped is told", || {
        // It is told once, and what the app goes on to say comes behind it.
        let words = ["logs", "--process", "web", "-n", "20000"];
        let lines = installation.tandem(words).expect_success().stdout;
        lines.contains("lines dropped").then_some(())
    });
    say(&folder, "two", "three");
    installation.deploy(folder.path());
    assert_eq!(current(&installation, "plain"), "r3");
    installation.finish();
    disk.finish();
}

/// Ends the process of one web instance that serves.
fn crash_one(installation: &Installation) {
    let question = Question { method: http::Method::POST, ..Question::get("/crash?1") };
    let _ = installation.site(PLAIN).ask(question);
}

/// Deploys one-line changes until the number is reached, and looks at the disk at each multiple of `every`.
fn deploy_many(
    (installation, folder): (&Installation, &AppFolder),
    disk: &Disk,
    (last, every): (u32, u32),
) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut text = "one".to_owned();
    for number in 2..=last {
        let next = format!("deploy {number}");
        say(folder, &text, &next);
        installation.deploy(folder.path());
        text = next;
        if number % every == 0 {
            let look = Look::at(installation, disk);
            tell(&format!("after {number} deploys: {look:?}"));
            looks.push(look);
        }
    }
    assert_eq!(installation.site(PLAIN).text("/"), format!("deploy {last}\n"));
    looks
}

/// What deploys may leave behind.
#[derive(Debug, Clone, Copy)]
struct Look {
    used_kib: u64,
    inodes: u64,
    resident_kib: u64,
    descriptors: usize,
    processes: usize,
}

impl Look {
    fn at(installation: &Installation, disk: &Disk) -> Self {
        let space = disk.space();
        let processes = installation.traces().processes();
        let up = processes.iter().find(|process| process.words.contains(" up ")).expect("tandem up runs").id;
        let status = std::fs::read_to_string(format!("/proc/{up}/status")).expect("tandem up runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        let resident = resident.trim().trim_end_matches(" kB").parse().expect("a number");
        Self {
            used_kib: (space.total_bytes - space.free_bytes) >> 10,
            inodes: space.total_inodes - space.free_inodes,
            resident_kib: resident,
            descriptors: std::fs::read_dir(format!("/proc/{up}/fd")).expect("tandem up runs").count(),
            processes: processes.len(),
        }
    }
}

#[expect(clippy::print_stderr, reason = "what was measured is kept with the test's output")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// The oldest release that is kept works, and the one before is refused with a hint.
fn go_back(installation: &Installation, last: u32) {
    let refused = installation.tandem(["rollback", &format!("r{}", last - 6)]).expect_code(1);
    assert!(refused.stderr.contains("no longer kept") && refused.stderr.contains("hint: "), "{refused}");
    let _ = installation.tandem(["rollback", &format!("r{}", last - 5)]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), format!("deploy {}\n", last - 5));
}

#[test]
fn twenty_deploys_leave_no_process_behind_and_five_releases_to_go_back_to() {
    let disk = Disk::ext4(256);
    let (installation, folder) = with_plain_on(&disk);
    let looks = deploy_many((&installation, &folder), &disk, (20, 10));
    let [first, last] = looks[..] else { panic!("two looks: {looks:?}") };
    // Old releases stay warm for a while; those before them leave, on a busy machine some seconds behind the last deploy.
    eventually("what is no longer warm leaves", || {
        let left = Look::at(&installation, &disk).processes;
        (left <= first.processes + 4).then_some(())
    });
    assert!(last.used_kib < first.used_kib + 10 * 200, "{looks:?}");
    go_back(&installation, 20);
    installation.finish();
    disk.finish();
}

mod long {
    use super::*;

    #[test]
    fn five_hundred_deploys_leave_the_disk_flat_and_the_fifth_release_before_works() {
        let disk = Disk::ext4(256);
        let (installation, folder) = with_plain_on(&disk);
        let looks = deploy_many((&installation, &folder), &disk, (500, 50));
        // Two minutes of garbage, and 200 releases that stay listed, come first; then nothing is added but the journal.
        let (middle, last) = (looks[4], looks[9]);
        assert!(last.used_kib < middle.used_kib + 250 * 12, "{looks:#?}");
        assert!(last.inodes < middle.inodes + 500, "{looks:#?}");
        assert!(last.descriptors < middle.descriptors + 30, "{looks:#?}");
        assert!(last.processes < middle.processes + 10, "{looks:#?}");
        assert!(last.resident_kib < middle.resident_kib + 20 * 1024, "{looks:#?}");
        go_back(&installation, 500);
        installation.finish();
        disk.finish();
    }
}
