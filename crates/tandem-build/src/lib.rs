//! From source to build: detection, dependencies, static files, digest.
//!
//! The client uses only [`app_file`]; everything else runs on the server, commands of the app always in the sandbox.

pub mod app_file;
pub mod procfile;
