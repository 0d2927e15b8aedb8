//! From source to build.

pub mod app_file;
