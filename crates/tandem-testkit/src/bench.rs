//! What benchmarks share: a folder and a record of what runs, so that nothing is left behind, the machine in words, aims
//! and tables. Each benchmark is a program of its own in `src/bin`.

pub mod aims;
pub mod cleaning;
pub mod machine;
pub mod poller;
pub mod progress;
pub mod record;
pub mod relay;
pub mod supervisor;
pub mod tables;
