//! A laptop: an ordinary user, whose apps are plain processes.

use std::os::unix::fs::chown;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;

use crate::TANDEM;
use crate::needs::{Need, are_met};

/// An id that Debian gives to nobody.
const USER: u32 = 65_533;

#[test]
fn an_ordinary_user_deploys_the_guestbook_and_goes_back() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let installation = Installation::start_as(USER, TANDEM);
    let status = installation.tandem(["status"]).expect_success().stdout;
    assert!(status.contains("plain processes, not kept apart"), "{status}");
    let folder = AppFolder::guestbook();
    let parent = folder.path().parent().expect("it lies in a folder");
    chown(parent, Some(USER), Some(USER)).expect("the user may look into it");
    installation.deploy(folder.path());
    let site = installation.site("guestbook.localhost");
    assert!(site.text("/").contains("Say hello, leave a line."));
    assert_eq!(site.sign(&site.form_token(), "Ada", "From+a+laptop").status, 302);
    folder.greet("A new greeting");
    installation.deploy(folder.path());
    assert!(site.text("/").contains("A new greeting"));
    let _ = installation.tandem(["rollback"]).expect_success();
    let page = site.text("/");
    assert!(page.contains("Say hello, leave a line.") && page.contains("From a laptop"), "{page}");
    installation.finish();
}
