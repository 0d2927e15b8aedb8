//! Control groups of this machine, with real processes in them. Without root there is nothing to test.

use super::{Group, list, remove_parent};
use crate::spec::{Limits, Weight};

fn parent() -> String {
    format!("tandem-test/{:08x}", std::process::id())
}

#[tokio::test]
async fn a_group_is_listed_until_it_is_swept() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let parent = parent();
    let limits =
        Limits { memory_bytes: Some(64 << 20), cpus: Some(0.5), pids: Some(10), weight: Weight::Lowest };
    let group = Group::create(&parent, "i1", &limits).unwrap();
    group.set_weight(Weight::Normal).unwrap();
    assert_eq!(list(&parent).unwrap(), ["i1"]);
    assert!(!group.populated() && group.processes().is_empty());
    group.sweep().await.unwrap();
    group.sweep().await.unwrap();
    assert_eq!(list(&parent).unwrap(), [""; 0]);
    remove_parent(&parent);
}

#[tokio::test]
async fn a_group_that_never_was_is_empty_and_clear() {
    let group = Group::open(&parent(), "i404");
    assert!(!group.exists() && !group.populated() && group.processes().is_empty());
    group.sweep().await.unwrap();
    group.set_weight(Weight::Lowest).unwrap();
}
