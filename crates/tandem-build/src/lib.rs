//! From source to build: detection, dependencies, static files, digest.
