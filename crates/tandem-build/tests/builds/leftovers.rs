//! What a build leaves behind when it is cut off, and what it must not take: the whole disk.

use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tandem_types::{Span, defaults};

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
async fn nothing_is_removed_under_a_step_that_goes_on_after_its_build_was_given_up() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python -m http.server\n");
    bench.write("app.py", "x = 1\n");
    // A step of the build waits for what somebody writes here.
    let pipe = bench.build_folder().join("bytecode.json");
    std::fs::create_dir_all(bench.build_folder()).unwrap();
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let waits = async {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
        loop {
            match options.open(&pipe) {
                Ok(end) => return end,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let mut build = Box::pin(bench.build_unchecked(defaults::BUILD_TIMEOUT));
    let end = tokio::select! {
        ended = &mut build => panic!("{ended:?}"),
        end = waits => end,
    };
    let mark = bench.build_folder().join("work/mark");
    std::fs::File::create(&mark).unwrap();
    drop(build);
    let next = bench.build_unchecked(Span::millis(500));
    let busy = tokio::time::timeout(Duration::from_secs(20), next).await;
    assert!(mark.exists(), "what the step works on was removed");
    assert_eq!(busy.unwrap().unwrap_err().to_problem().code, "build_busy");
    std::fs::remove_file(&pipe).unwrap();
    drop(end);
    bench.build().await.unwrap();
    assert!(!mark.exists());
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
