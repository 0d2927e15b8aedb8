//! What a build leaves behind when it is cut off, and what it must not take: the whole disk.

use std::time::Duration;

use tandem_types::defaults;

use crate::bench::{Bench, SmallDisk};
use crate::refusals::write_dependency;

#[tokio::test]
async fn a_build_that_was_cut_off_leaves_nothing_after_the_next_start() {
    let bench = Bench::new().await;
    write_dependency(&bench, "print('hangs', flush=True); import time; time.sleep(600)");
    let work = bench.build_folder().join("work/app");
    let hangs = async {
        while !work.join(".venv").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut build = Box::pin(bench.build_unchecked(defaults::BUILD_TIMEOUT));
    tokio::select! {
        ended = &mut build => panic!("{ended:?}"),
        () = hangs => {}
    }
    // Nobody cleans up after a process that is killed. What its command ran is still there in this one.
    std::mem::forget(build);
    assert!(work.exists());
    bench.next_start().remove_leftovers().await;
    assert!(!bench.build_folder().join("work").exists());
    let groups = tandem_sandbox::cgroup::list(&bench.cgroup()).unwrap_or_default();
    assert!(!groups.iter().any(|name| name.starts_with("build-")), "{groups:?}");
    assert!(bench.build_folder().join("uv").exists(), "what is worth keeping stays");
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_ended_and_told() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let bench = Bench::new().await;
    let endless = "out.write(bytes(63 << 20)); out.flush(); time.sleep(600)";
    write_dependency(&bench, &format!("import time; out = open('out', 'wb'); {endless}"));
    let folder = bench.build_folder();
    let disk = SmallDisk::over(&folder, "size=64m");
    let problem = bench.build_unchecked(defaults::BUILD_TIMEOUT).await.map_err(|error| error.to_problem());
    drop(disk);
    let problem = problem.unwrap_err();
    assert_eq!(problem.code, "disk_full", "{problem:?}");
    assert!(problem.title.contains("had only "), "{problem:?}");
}
