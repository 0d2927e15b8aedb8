//! Bounds that a shim keeps without anybody's help.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tandem_types::Span;

use super::harness::{Bench, end_of};
use crate::tests::can_isolate;

#[tokio::test]
async fn a_job_ends_at_its_time_also_without_a_runner() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("(setsid sleep 1000 &) ; sleep 1000; true");
    spec.timeout = Some(Span::millis(300));
    let handle = bench.try_launch(&spec).await.unwrap();
    let record = end_of(&handle).await;
    assert!(record.timed_out, "{record:?}");
    assert_eq!(record.exit.signal, Some(9));
}

#[tokio::test]
async fn an_app_over_its_memory_is_recorded_as_such() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("/usr/bin/python3 -c 'x = bytearray(200 << 20)'");
    spec.sandbox.limits.memory_bytes = Some(64 << 20);
    let handle = bench.try_launch(&spec).await.unwrap();
    assert!(end_of(&handle).await.exit.out_of_memory);
}

#[tokio::test]
async fn a_loud_app_ends_although_its_log_has_no_disk() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.spec("seq 1 500000");
    let disk = bench.place.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // Not even the head of a chunk fits.
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=4k,nr_inodes=2")).unwrap();
    spec.log.dir = disk.join("log");
    let launched = bench.try_launch(&spec).await;
    let handle = launched.unwrap();
    let record = end_of(&handle).await;
    umount2(&disk, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(record.exit.code, Some(0), "{record:?}");
    assert!(record.dropped_lines > 100_000, "{record:?}");
}
