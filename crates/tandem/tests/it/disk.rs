//! Disks that are nearly full, full, and used for hundreds of deploys. Each scenario has a small one of its own.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::disk::Disk;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::load::Mix;
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{PLAIN, ask, current, ids, instances, say};

mod budget;
mod flat;
mod inodes;

/// An installation whose data folder lies on the disk, with `plain` on it.
fn with_plain_on(disk: &Disk) -> (Installation, AppFolder) {
    let parent = Some(disk.path().to_owned());
    let mut installation = Installation::prepare(Setting { parent, ..Setting::of(TANDEM) });
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
    assert!(refused.stderr.contains("`du -xh -d 3 "), "{refused}");
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

    let load = ask(installation.ready().http, Mix::gets());
    eventually("the disk stays full", || {
        disk.fill_up_to(0);
        (disk.space().free_bytes < 64 << 10).then_some(())
    });
    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!(site.text("/"), "one\n", "to a warm release");
    let _ = installation.tandem(["rollback", "r2"]).expect_success();
    assert_eq!(site.text("/"), "two\n");
    load.stop().expect_nothing_lost();
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
