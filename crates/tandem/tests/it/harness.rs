//! The harness itself: what a killed test leaves behind.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tandem_kit::paths::DataDir;
use tandem_testkit::installation::Installation;
use tandem_testkit::leftovers::Traces;
use tandem_testkit::program::Program;
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::TANDEM;

/// Set for the test that is its own child: the file to which it writes its data folder.
const CHILD: &str = "TANDEM_TEST_CHILD";

#[test]
fn an_installation_ends_with_the_test_that_started_it() {
    if let Some(file) = std::env::var_os(CHILD) {
        be_killed(Path::new(&file));
    }
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let file = folder.path().join("data");
    let own = std::env::current_exe().expect("a test knows its program");
    let name = "harness::an_installation_ends_with_the_test_that_started_it";
    let child = Program::new(own).arguments(["--exact", name]).set(CHILD, &file);
    let mut child = child.output(&folder.path().join("output")).start();
    let data = eventually("the child has an installation", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.strip_suffix('\n').map(PathBuf::from)
    });
    let traces = Traces::of(&DataDir::open(&data).expect("the child has opened it"));
    assert!(traces.processes().len() >= 3, "server, balancer and heir: {:?}", traces.processes());
    child.signal(Signal::SIGKILL);
    child.wait(PATIENCE);
    eventually("everything of it is gone", || traces.leftovers().is_empty().then_some(()));
    eventually("its folder too", || (!data.exists()).then_some(()));
}

fn be_killed(file: &Path) -> ! {
    let installation = Installation::start(TANDEM);
    let text = format!("{}\n", installation.data().root().display());
    tandem_kit::files::write_atomic_unsynced(file, text.as_bytes(), 0o600)
        .expect("the parent made the folder");
    loop {
        std::thread::park();
    }
}
