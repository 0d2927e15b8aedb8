//! A disk that has bytes left and no inodes: an app writes thousands of small files.

use std::fs;
use std::io::ErrorKind;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::disk::Disk;
use tandem_testkit::load::Mix;

use super::with_plain_on;
use crate::screen::{PLAIN, ask, current, ids, say};

/// `/hoard` makes empty files in the volume until the disk takes no more.
fn hoarder(folder: &AppFolder) {
    let pages = r#"def hoard(*_):
    os.makedirs("/data/hoard", exist_ok=True)
    for number in range(100000):
        try:
            open(f"/data/hoard/{number}", "x").close()
        except FileExistsError:
            continue
        except OSError as error:
            return 200, os.strerror(error.errno)
    return 500, "it takes everything"


PAGES = {
    "/hoard": hoard,
"#;
    folder.edit("server.py", "PAGES = {\n", pages);
}

#[test]
fn an_app_that_uses_up_the_inodes_stops_no_other_and_no_rollback_and_deploys_are_refused_with_the_reason() {
    let disk = Disk::ext4_with_inodes(1024, 4000);
    let (installation, folder) = with_plain_on(&disk);
    let site = installation.site(PLAIN);
    hoarder(&folder);
    installation.deploy(folder.path());
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(site.text("/hoard"), "No space left on device\n");
    let space = disk.space();
    assert!(
        space.free_inodes < 20 && !tandem_types::disk::Space { total_inodes: 0, ..space }.is_low(),
        "{space:?}"
    );

    let load = ask(installation.ready().http, Mix::gets());
    let serving = ids(&installation, "plain", "serving");
    say(&folder, "two", "three");
    let folder_path = folder.path().to_str().expect("a plain path");
    let refused = installation.tandem(["deploy", folder_path]).expect_code(1);
    let needed = space.reserve_inodes();
    let words = format!("inodes (files and folders) free, and a deploy needs {needed}");
    assert!(refused.stderr.contains(&words), "{refused}");
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("`du -x --inodes "), "{refused}");
    let status = installation.tandem(["status"]).expect_success().stdout;
    let words = format!("inodes (files and folders) free: deploys are refused below {needed}");
    assert!(status.contains(&words), "{status}");
    assert_eq!(ids(&installation, "plain", "serving"), serving, "nobody was started anew");

    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!(
        (current(&installation, "plain").as_str(), site.text("/").as_str()),
        ("r2", "one\n"),
        "a warm one"
    );
    let _ = installation.tandem(["rollback", "r1"]).expect_success();
    assert_eq!(current(&installation, "plain"), "r1", "a cold one");
    let _ = installation.tandem(["rollback", "r3"]).expect_success();
    // Where the ballast is used up as well, traffic still moves. The worker starts or not, by what others gave back meanwhile.
    for piece in fs::read_dir(installation.data().root().join("ballast")).expect("it is there").flatten() {
        match fs::remove_file(piece.path()) {
            // The server has given it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.expect("it is a file"),
        }
    }
    assert_eq!(site.text("/hoard"), "No space left on device\n");
    let moved = installation.tandem(["rollback", "r1"]).expect_success();
    assert_eq!(current(&installation, "plain"), "r1");
    let is_short = moved.stderr.contains("could not be started");
    assert!(!is_short || moved.stderr.contains("`tandem status` tells what its host lacks"), "{moved}");
    load.stop().expect_nothing_lost();

    let hoard = installation.data().root().join("volumes/plain.production/data/hoard");
    fs::remove_dir_all(hoard).expect("it is there");
    installation.deploy(folder.path());
    assert_eq!(site.text("/"), "three\n");
    installation.finish();
    disk.finish();
}
