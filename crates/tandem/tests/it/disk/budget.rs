//! The one budget of a data folder, set small: what is beyond it goes, and no kept release lacks anything.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use tandem_kit::{disk, env};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::wait::eventually;
use tandem_types::disk::Budget;

use super::chatter;
use crate::screen::{PLAIN, say, with_plain};

/// As `TANDEM_DISK_BUDGET` is told: less than any package takes.
const SMALL: (&str, u64) = ("100KiB", 100 << 10);

/// What `status` says is taken of the budget, once it was measured.
fn measured(installation: &Installation) -> Option<Budget> {
    let status = installation.tandem(["status", "--json"]).expect_success().json();
    serde_json::from_value(status.get("budget")?.clone()).expect("it is told whole")
}

/// `plain` with packages: `r2` has one of them, `r3` two, and neither starts without.
fn deploy_with_packages(installation: &Installation, folder: &AppFolder) {
    chatter(folder);
    for (requirements, imports, text) in [
        ("sqlparse==0.6.1\n", "import sqlparse\n", ("one", "two")),
        ("sqlparse==0.6.1\nasgiref==3.13.0\n", "import asgiref\n", ("two", "three")),
    ] {
        folder.write("requirements.txt", requirements);
        folder.edit("server.py", "import threading\n", &format!("import threading\n{imports}"));
        say(folder, text.0, text.1);
        installation.deploy(folder.path());
    }
}

/// Chunks of the log of each instance that runs.
fn chunks(logs: &Path) -> Vec<usize> {
    let folders = fs::read_dir(logs.join("plain.production")).expect("there are logs").flatten();
    let folders = folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = |folder: fs::DirEntry| fs::read_dir(folder.path()).into_iter().flatten().flatten();
    let is_chunk = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "log");
    folders.map(|folder| names(folder).filter(is_chunk).count()).collect()
}

/// Downloads, copies, parts of an earlier build and logs beyond a budget that is then set as people do: in the environment
/// of the next start. Ends when everything is within it.
fn exceed_a_budget() -> (Installation, AppFolder) {
    let (mut installation, folder) = with_plain();
    deploy_with_packages(&installation, &folder);
    let site = installation.site(PLAIN);
    let data = installation.data().root().to_owned();
    let (logs, build) = (data.join("runner/logs"), data.join("build/plain"));
    // A chunk has 4 MiB, and an instance keeps four of them.
    (0..6).for_each(|_| assert_eq!(site.text("/burst?4000"), "4000\n"));
    eventually("logs have old chunks", || chunks(&logs).iter().any(|count| *count > 1).then_some(()));
    let stock = [build.join("uv"), build.join("dependencies")];
    assert!(stock.iter().all(|folder| disk::bytes_below(folder) > SMALL.1), "downloads and copies");
    let notes = build.join("dependencies/notes");
    fs::create_dir(&notes).expect("the folder takes folders");

    installation.end(Signal::SIGTERM);
    installation.set(env::TANDEM_DISK_BUDGET, SMALL.0);
    installation.start_again();
    let budget = eventually("what builds keep beyond the budget has gone", || {
        measured(&installation).filter(|budget| budget.builds_bytes <= SMALL.1)
    });
    assert_eq!(budget.budget_bytes, SMALL.1);
    assert!(stock.iter().all(|folder| disk::bytes_below(folder) < SMALL.1), "downloads and copies");
    assert!(notes.exists(), "not of Tandem's making");
    eventually("logs keep only what is being written", || {
        chunks(&logs).iter().all(|count| *count <= 1).then_some(())
    });
    let status = installation.tandem(["status"]).expect_success().stdout;
    assert!(status.contains(" of 102.4 kB used for what only helps: builds keep "), "{status}");
    (installation, folder)
}

/// Rolls back to each release that is kept, the serving one last, and deploys another.
fn go_through_all(installation: &Installation, folder: &AppFolder) {
    let site = installation.site(PLAIN);
    for (release, text) in [("r2", "two\n"), ("r1", "one\n"), ("r3", "three\n")] {
        let _ = installation.tandem(["rollback", release]).expect_success();
        assert_eq!(site.text("/"), text, "{release}");
    }
    say(folder, "three", "four");
    installation.deploy(folder.path());
    assert_eq!(site.text("/"), "four\n", "the packages come again");
}

#[test]
fn what_is_beyond_a_small_budget_goes_and_every_kept_release_can_be_rolled_back_to() {
    let (installation, folder) = exceed_a_budget();
    go_through_all(&installation, &folder);
    installation.finish();
}

mod long {
    use std::time::Duration;

    use tandem_testkit::wait::{pass, within};

    use super::*;

    #[test]
    fn releases_whose_trees_and_unnamed_blobs_have_gone_too_come_back_from_what_is_kept() {
        let (installation, folder) = exceed_a_budget();
        let trees = installation.data().root().join("runner/trees");
        let number = || fs::read_dir(&trees).expect("there are trees").count();
        let before = number();
        let gone = within(Duration::from_secs(300), || {
            pass(Duration::from_secs(1));
            (number() < before).then_some(())
        });
        assert!(gone.is_some(), "the first release is no longer checked out");
        // The cache of the host drops what no recent build names a minute later.
        pass(Duration::from_secs(150));
        go_through_all(&installation, &folder);
        installation.finish();
    }
}
