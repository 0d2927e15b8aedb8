//! `make demo` and `make demo-stop` as people meet them: the last lines they read, and the commands that these tell them to
//! type. Only the build is left out.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use tandem_kit::paths::DataDir;
use tandem_testkit::app_folder::repository;
use tandem_testkit::leftovers::Traces;
use tandem_testkit::program::{Outcome, Program, Running};
use tandem_testkit::site::Site;
use tandem_testkit::wait::eventually;
use tempfile::TempDir;

use crate::TANDEM;

/// The demonstration on a temporary data folder; ended when this process is, whichever way.
struct Demo {
    folder: TempDir,
    traces: Traces,
    heir: Option<Running>,
}

impl Demo {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder takes files");
        let data = DataDir::open(&folder.path().join("data")).expect("a new data folder opens");
        let uv = repository().join("target/testkit/uv");
        if uv.exists() {
            tandem_kit::files::ensure_dir(&data.tools(), 0o700).expect("the data folder takes folders");
            std::fs::copy(uv, data.tools().join("uv")).expect("the data folder takes files");
        }
        let script = "cat; \"$1\" down --data \"$2\"; rm -rf \"$3\"";
        let words = [TANDEM.into(), data.root().to_owned(), folder.path().to_owned()];
        let heir = Program::new("sh").arguments(["-c", script, "heir"]).arguments(words);
        let heir = Some(heir.hold_input().silent().start());
        Self { traces: Traces::of(&data), folder, heir }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What somebody types in the root of the repository.
    fn typed(&self, line: &str) -> Program {
        let program = Program::new("bash").arguments(["-c", &format!("exec {line}")]).folder(&repository());
        let program = program.set("TANDEM_BIN", TANDEM).set("DEMO_DATA", self.data()).set("NO_COLOR", "1");
        // Set for another installation; the demonstration must not be led astray.
        program.set("TANDEM_SERVER", "http://127.0.0.1:1").unset("TANDEM_TOKEN").unset("TANDEM_DATA")
    }

    fn up(&self) -> String {
        std::fs::read_to_string(self.data().join("up.pid")).expect("the demonstration noted its process")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.heir.take());
        self.traces.clean();
    }
}

/// The address on the line `ready: …`, and the commands below it.
fn last_lines(outcome: &Outcome) -> (String, Vec<String>) {
    let (_, rest) = outcome.stdout.rsplit_once("\nready: ").unwrap_or_else(|| panic!("not ready: {outcome}"));
    let (address, below) = rest.split_once('\n').expect("more lines follow");
    let commands = below.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned);
    (address.to_owned(), commands.collect())
}

#[test]
fn the_demonstration_does_what_its_last_lines_say_and_ends_without_a_trace() {
    let mut demo = Demo::new();
    let outcome = demo.typed("scripts/demo.sh start").run().expect_success();
    let (address, commands) = last_lines(&outcome);
    let port = address.strip_prefix("http://guestbook.localhost:").expect("the guestbook's address");
    let port: u16 = port.parse().unwrap_or_else(|_| panic!("{address} has no port"));
    let site = Site::new(([127, 0, 0, 1], port).into(), "guestbook.localhost");
    assert!(site.text("/").contains("Say hello, leave a line."));

    let [deploy, rollback, logs] = commands.as_slice() else { panic!("three commands: {commands:?}") };
    let deployed = demo.typed(deploy).run().expect_success();
    assert!(deployed.stdout.contains("r2 is live"), "{deployed}");
    let back = demo.typed(rollback).run().expect_success();
    assert!(back.stdout.contains("r1 is live"), "{back}");
    let lines = demo.folder.path().join("lines");
    let mut following = demo.typed(logs).output(&lines).start();
    eventually("the logs come", || {
        std::fs::read_to_string(&lines).ok().filter(|text| text.contains("web.1"))
    });
    following.signal(Signal::SIGINT);
    let _ = following.wait(tandem_testkit::wait::PATIENCE);

    let first = demo.up();
    let again = demo.typed("scripts/demo.sh start").run().expect_success();
    assert_eq!(demo.up(), first, "what runs is used again: {again}");
    assert_eq!(last_lines(&again), (address, commands.clone()));

    let stopped = demo.typed("scripts/demo.sh stop").run().expect_success();
    drop(demo.heir.take());
    assert_eq!(demo.traces.leftovers(), Vec::<String>::new(), "{stopped}");
    for gone in ["socket", "up.pid", "ready.json"] {
        let path = demo.data().join(gone);
        assert!(std::fs::symlink_metadata(&path).is_err(), "{} is left: {stopped}", path.display());
    }
    let _ = demo.typed("scripts/demo.sh stop").run().expect_success();
}

#[test]
fn a_program_that_is_none_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("the temporary folder takes files");
    let script = repository().join("scripts/demo.sh");
    let program = Program::new(script).arguments(["start"]).set("TANDEM_BIN", "/nonexistent/tandem");
    let outcome = program.set("DEMO_DATA", folder.path().join("data")).run().expect_code(1);
    assert!(outcome.stderr.contains("TANDEM_BIN names no program: /nonexistent/tandem"), "{outcome}");
    assert!(!folder.path().join("data").exists());
}
