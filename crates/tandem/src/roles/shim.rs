//! `tandem shim DIR`: one instance or job. All of it is in `tandem_sandbox::shim`; it must be the process's first and
//! only deed, so no runtime and no thread is started before.

use std::path::PathBuf;

/// Arguments of `shim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the instance or job
    dir: PathBuf,
}

/// Becomes the shim.
pub(crate) fn run(args: &Args) -> ! {
    tandem_sandbox::shim::main(&args.dir)
}
