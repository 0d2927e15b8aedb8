//! How a test gets a shim: the test program itself, started again.
//!
//! A shim is started as `<binary> shim DIR`. The binary here is a script that starts this test program with only the test
//! below selected, which becomes a shim where it is told a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tandem_types::Span;
use tandem_types::event::Stream;

use crate::logs::{self, tail};
use crate::shim::{self, ExitRecord, LaunchError, ShimHandle, ShimSpec};
use crate::tests::{Place, eventually};

const SHIM: &str = "TANDEM_TEST_SHIM";
const LAUNCHER: &str = "TANDEM_TEST_LAUNCHER";

/// Time for what takes milliseconds.
pub(super) const ENOUGH: Duration = Duration::from_secs(20);

#[test]
fn shim_process() {
    if let Some(dir) = std::env::var_os(SHIM) {
        shim::main(Path::new(&dir));
    }
}

/// A runner that launches a shim and is killed later.
#[test]
fn launcher_process() {
    let Some(place) = std::env::var_os(LAUNCHER).map(PathBuf::from) else { return };
    let spec: ShimSpec = tandem_kit::files::read_json(&place.join("launch.json")).unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        shim::launch(&place.join("tandem"), &place.join("i1"), &spec).await.unwrap();
        tandem_kit::files::write_atomic(&place.join("launched"), b"", 0o600).unwrap();
        std::future::pending::<()>().await;
    });
}

/// Starts this test program as a runner that launches a shim; returns its process id once it did.
pub(super) async fn launch_in_a_runner(bench: &Bench, spec: &ShimSpec) -> i32 {
    let root = bench.place.path();
    tandem_kit::files::write_json(&root.join("launch.json"), spec, 0o600).unwrap();
    let script = format!("{LAUNCHER}='{}' exec {}", root.display(), this_test("launcher_process"));
    let mut command = crate::spawn::asynchronous("/bin/sh".as_ref());
    let child = command.args(["-c", &script]).stdout(std::process::Stdio::null()).spawn().unwrap();
    eventually("the shim was launched", || root.join("launched").exists()).await;
    child.id().unwrap() as i32
}

fn this_test(name: &str) -> String {
    let program = std::env::current_exe().unwrap();
    format!("'{}' --exact shim::tests::harness::{name} --nocapture --test-threads=1", program.display())
}

/// A folder with the script that stands for Tandem's binary. What was launched in it is killed in the end.
pub(super) struct Bench {
    pub place: Place,
}

impl Bench {
    pub(super) fn new() -> Self {
        let place = Place::new();
        // A test is not run by the first thread, which would take signals that the shim blocks in its own.
        let test = this_test("shim_process");
        let script = format!("#!/bin/sh\n{SHIM}=\"$2\" exec env --block-signal=TERM {test}\n");
        tandem_kit::files::write_atomic(&place.path().join("tandem"), script.as_bytes(), 0o755).unwrap();
        Self { place }
    }

    /// As [`Bench::new`], but its shims wait before their first instruction until [`Bench::let_go`].
    pub(super) fn of_slow_shims() -> Self {
        let bench = Self::new();
        let (program, hold) = (bench.place.path().join("tandem"), bench.place.path().join("hold"));
        let script = std::fs::read_to_string(&program).unwrap();
        // Nobody reads its output any more then, and a test program does not bear that as a shim does.
        let wait = format!(
            "#!/bin/sh\nif [ -e '{0}' ]; then\n: >'{0}.reached'\n\
             while [ -e '{0}' ]; do sleep 0.01; done\nexec >/dev/null 2>&1\nfi\n",
            hold.display()
        );
        let script = script.replace("#!/bin/sh\n", &wait);
        tandem_kit::files::write_atomic(&program, script.as_bytes(), 0o755).unwrap();
        tandem_kit::files::write_atomic(&hold, b"", 0o600).unwrap();
        bench
    }

    /// Launches one, and is dead before that has begun.
    pub(super) async fn launch_and_die(&self, spec: &ShimSpec) {
        let reached = self.place.path().join("hold.reached");
        tokio::select! {
            launched = self.try_launch(spec) => panic!("{launched:?}"),
            () = eventually("the shim is there", || reached.exists()) => {}
        }
    }

    pub(super) fn let_go(&self) {
        std::fs::remove_file(self.place.path().join("hold")).unwrap();
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.place.path().join("i1")
    }

    pub(super) fn spec(&self, command: &str) -> ShimSpec {
        let log = logs::Settings {
            dir: self.dir().join("log"),
            chunk_bytes: 1 << 20,
            chunks: 4,
            tags: BTreeMap::from([("release".to_owned(), "r1".to_owned())]),
        };
        let socket = self.place.path().join("i1.sock");
        ShimSpec {
            sandbox: self.place.spec(command),
            log,
            socket,
            marker: None,
            timeout: None,
            secrets: None,
            session: None,
        }
    }

    pub(super) async fn try_launch(&self, spec: &ShimSpec) -> Result<ShimHandle, LaunchError> {
        shim::launch(&self.place.path().join("tandem"), &self.dir(), spec).await
    }

    pub(super) async fn launch(&self, command: &str) -> ShimHandle {
        self.try_launch(&self.spec(command)).await.unwrap()
    }

    /// Waits until the app has written the line.
    pub(super) async fn said(&self, line: &str) {
        let said = || self.output().iter().any(|text| text == line);
        eventually(&format!("the app says {line:?}"), said).await;
    }

    /// What the app wrote, without Tandem's remarks.
    pub(super) fn output(&self) -> Vec<String> {
        let lines = tail(&self.dir().join("log"), 1_000).unwrap().lines;
        lines.into_iter().filter(|line| line.stream != Stream::Tandem).map(|line| line.text).collect()
    }

    /// Tandem's remarks in the log.
    pub(super) fn remarks(&self) -> Vec<String> {
        let lines = tail(&self.dir().join("log"), 1_000).unwrap().lines;
        lines.into_iter().filter(|line| line.stream == Stream::Tandem).map(|line| line.text).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let record = shim::record::ShimRecord::read(&self.dir());
        if let Some(record) = record.filter(|record| record.shim.lives()) {
            let _ = kill(Pid::from_raw(record.shim.pid), Signal::SIGKILL);
            // Its control group can be removed only after it.
            while record.shim.lives() {
                std::thread::yield_now();
            }
        }
        let group = crate::cgroup::Group::open(&self.place.cgroup_parent, "i1");
        let _ = group.clear_blocking();
    }
}

pub(super) async fn end_of(handle: &ShimHandle) -> ExitRecord {
    tokio::time::timeout(ENOUGH, handle.wait_exit()).await.expect("it ends").unwrap()
}

/// Asks it to end and waits until it has.
pub(super) async fn stop(handle: &ShimHandle) -> ExitRecord {
    handle.stop(15, Span::seconds(15)).await.unwrap();
    end_of(handle).await
}
