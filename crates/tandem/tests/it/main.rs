//! System tests: the real binary, real apps in real sandboxes, one scenario a test.
//!
//! Each has an installation of its own and must leave nothing behind (see `tandem_testkit::installation`). Most
//! deploy the fixture `plain`, which needs no packages; what is about Django deploys the guestbook.

mod alone;
mod apart;
mod balancer;
mod clients;
mod clock;
mod command_line;
mod config;
mod crash;
mod crash_midway;
mod cut_off;
mod data_folder;
mod demo;
mod deploy;
mod disk;
mod doctor;
mod failing;
mod gate;
mod git;
mod guestbook;
mod handover;
mod hanging;
mod harness;
mod hints;
mod hostile;
mod https;
mod init;
mod json;
mod kill_matrix;
mod layouts;
mod logs;
mod loopback;
mod metrics;
mod needs;
mod pause;
mod plain;
mod postgres;
mod queue;
mod rollback;
mod run;
mod scale;
mod screen;
mod signals;
mod sources;
mod store;
mod top;
mod upgrade;
mod volumes;

/// The binary under test.
const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");
