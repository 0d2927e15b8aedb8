//! The shim for tests: this very test program, told by its environment to be one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tandem_kit::files;

/// The folder of the shim that this process is to be.
const VARIABLE: &str = "TANDEM_TEST_SHIM";

/// Unpacks an archive as the real worker does, which is tested by itself.
const WORKER: &str =
    r#"[ "$1 $2" = "volume-worker unpack" ] && { tar -xf - -C "$3" && echo '{"files":1,"bytes":4}'; exit; }"#;

/// A program that is a shim when called `<program> shim DIR`, as the real binary is.
pub(super) fn program(folder: &Path) -> PathBuf {
    let path = folder.join("tandem");
    let own = std::env::current_exe().expect("it has a path");
    let script = format!(
        "#!/bin/sh\n{WORKER}\n{VARIABLE}=\"$2\" exec '{}' --exact tests::shim::a_program_that_is_told_to_becomes_a_shim --nocapture\n",
        own.display()
    );
    files::write_atomic_unsynced(&path, script.as_bytes(), 0o755).expect("there is room");
    path
}

#[test]
fn a_program_that_is_told_to_becomes_a_shim() {
    if let Some(dir) = std::env::var_os(VARIABLE) {
        tandem_sandbox::shim::main(Path::new(&dir));
    }
    let folder = tempfile::tempdir().expect("there is room");
    let mode = std::fs::metadata(program(folder.path())).expect("it was just made").permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}
