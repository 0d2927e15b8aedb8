//! `pause` and `resume`.

use nix::sys::signal::Signal;
use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, say, with_plain};

#[test]
fn a_pause_holds_over_deploys_and_restarts_and_ends_when_it_is_told_to() {
    let (mut installation, folder) = with_plain();
    let site = installation.site(PLAIN);
    let told = installation.tandem(["pause", "--app", "plain", "-m", "move the data"]).expect_success();
    assert_eq!(told.stdout, "plain/production is paused\n");
    let is_paused = || site.get("/").status == 503;
    assert!(is_paused(), "from the very moment that it says so");
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert!(is_paused(), "a new release is no reason to open");
    installation.end(Signal::SIGKILL);
    assert!(is_paused(), "the balancer knows by itself");
    installation.start_again();
    assert!(is_paused());
    let status = installation.tandem(["status"]).expect_success().stdout;
    assert!(status.contains("plain/production is paused since"), "{status}");
    let journal = installation.tandem(["journal", "--app", "plain"]).expect_success().stdout;
    assert!(journal.contains("environment.pause") && journal.contains("move the data"), "{journal}");
    let _ = installation.tandem(["pause", "--app", "plain", "--allow", "127.0.0.0/8"]).expect_success();
    assert_eq!(site.text("/"), "two\n", "who is let through reaches the app");
    let _ = installation.tandem(["pause", "--app", "plain"]).expect_success();
    assert!(is_paused());
    let _ = installation.tandem(["resume", "--app", "plain"]).expect_success();
    eventually("the app answers", || (site.get("/").status == 200).then_some(()));
    installation.finish();
}
