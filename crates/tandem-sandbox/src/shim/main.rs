//! The shim's process from start to end.

use std::path::Path;

/// The whole life of a shim whose folder is `dir`; the entry of `tandem shim DIR`. Call it before a runtime or a thread
/// is started.
pub fn main(dir: &Path) -> ! {
    let _ = dir;
    todo!()
}
