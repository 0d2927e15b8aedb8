//! How `tandem up` ends: Ctrl-C stops everything, SIGTERM only itself, `tandem down` everything.

use nix::sys::signal::Signal;
use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, ids, release_phases, with_plain};

#[test]
fn sigterm_leaves_apps_and_traffic_alone() {
    let (mut installation, _folder) = with_plain();
    let web = ids(&installation, "plain", "serving");
    let status = installation.end(Signal::SIGTERM);
    assert!(status.success(), "{status}");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    installation.start_again();
    eventually("the same instances", || (ids(&installation, "plain", "serving") == web).then_some(()));
    installation.finish();
}

#[test]
fn ctrl_c_stops_everything_and_the_next_start_brings_it_back() {
    let (mut installation, _folder) = with_plain();
    let status = installation.end(Signal::SIGINT);
    assert!(status.success(), "{status}:\n{}", installation.log());
    installation.expect_nothing_left();
    installation.start_again();
    let site = installation.site(PLAIN);
    eventually("the app is back", || (site.get("/").status == 200).then_some(()));
    assert_eq!(release_phases(&installation), 1, "the volume is as it was, and nothing was released anew");
    installation.finish();
}

#[test]
fn down_ends_what_a_killed_server_left() {
    let (mut installation, _folder) = with_plain();
    installation.end(Signal::SIGKILL);
    // `finish` types `tandem down` and fails when anything is left.
    installation.finish();
}

#[test]
fn what_was_stopped_by_down_starts_again_with_up() {
    let (mut installation, _folder) = with_plain();
    let _ = installation.tandem(["down"]).expect_success();
    installation.wait_for_end();
    installation.expect_nothing_left();
    installation.start_again();
    let site = installation.site(PLAIN);
    eventually("the app is back", || (site.get("/").status == 200).then_some(()));
    installation.finish();
}
