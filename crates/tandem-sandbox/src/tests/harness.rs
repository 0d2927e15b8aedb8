//! What the tests share: a folder, a specification, a way to run it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tandem_types::Span;
use tandem_types::instance::Isolation;

use crate::run::{Options, Outcome, run};
use crate::{Limits, Network, Spec, User, cgroup};

/// A user id that nothing else on a test machine has.
pub(super) const UID: u32 = 70_123;

/// A temporary folder with what belongs to it in the control groups; removed when dropped.
pub(crate) struct Place {
    pub folder: tempfile::TempDir,
    pub cgroup_parent: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let cgroup_parent = format!("tandem-test/{:x}-{number}", std::process::id());
        Self { folder: tempfile::tempdir().unwrap(), cgroup_parent }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A sandboxed command in `/app`, a read-only folder, with nothing else.
    pub(crate) fn spec(&self, command: &str) -> Spec {
        let app = self.path().join("app");
        std::fs::create_dir_all(&app).unwrap();
        Spec {
            id: "i1".to_owned(),
            cgroup_parent: self.cgroup_parent.clone(),
            isolation: Isolation::Sandbox,
            command: command.to_owned(),
            cwd: "/app".into(),
            environment: BTreeMap::new(),
            user: User { uid: UID, name: "guestbook".to_owned() },
            hostname: "web-1".to_owned(),
            home: self.path().join("home"),
            mounts: vec![crate::Mount::read_only(app, "/app")],
            limits: Limits::default(),
            network: Network::Host,
        }
    }

    pub(crate) async fn run(&self, command: &str) -> Outcome {
        run_spec(self.spec(command)).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        cgroup::remove_parent(&self.cgroup_parent);
    }
}

pub(crate) async fn run_spec(spec: Spec) -> Outcome {
    let options = Options { timeout: Span::seconds(60), output_bytes: 1 << 30, last_lines: 100 };
    run(spec, options, &mut |_, _| {}).await.unwrap()
}

/// Whether this machine can run these tests; they are about isolation, which needs rights.
pub(crate) fn can_isolate() -> bool {
    nix::unistd::Uid::effective().is_root() && Path::new("/usr/bin/bwrap").exists()
}

/// Waits for a condition, for at most 20 s.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("not within 20 s: {what}");
}
