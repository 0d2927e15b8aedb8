//! What an app leaves behind is removed by root, and leads root nowhere.

use serde_json::json;
use tandem_testkit::wait::eventually;

use super::{HOSTILE, ask, installation};
use crate::needs::{Need, are_met};
use crate::screen::instances;

#[test]
fn links_pipes_odd_names_and_endless_paths_of_an_app_go_with_it_and_nothing_else_does() {
    if !are_met(&[Need::Isolation]) {
        return;
    }
    let installation = installation();
    let victim = tempfile::tempdir().expect("there is room");
    tandem_kit::files::write_atomic_unsynced(&victim.path().join("kept"), b"", 0o644).expect("there is room");
    let context = json!({ "victim": victim.path() });
    assert_eq!(ask(&installation.site(HOSTILE), "/litter/home", &context), "left");
    let lines = instances(&installation, "hostile", "serving");
    let unit = installation.data().runner().join("instances").join(lines[0]["id"].as_str().expect("an id"));
    assert!(unit.join("home/link").is_symlink(), "it was left");
    let _ = installation.tandem(["app", "destroy", "hostile", "--confirm", "hostile"]).expect_success();
    eventually("its folder is gone", || (!unit.exists()).then_some(()));
    let left = std::fs::read_dir(victim.path()).expect("it is there").count();
    assert_eq!(left, 1, "what the links led to is as it was");
    installation.finish();
}
