//! One-off commands: through pipes and terminals, left and come back to, with parts that are killed meanwhile.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tandem_testkit::installation::Installation;
use tandem_testkit::program::{Outcome, Program};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::{say, with_plain};

const PERSON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/person.py");

/// A verb whose last words are somebody else's: the options go before it.
fn words(installation: &Installation, arguments: &[&str]) -> Vec<String> {
    let root = installation.data().root().display().to_string();
    let own = ["--data".to_owned(), root].into_iter();
    own.chain(arguments.iter().map(|word| (*word).to_owned())).collect()
}

pub(crate) fn program(installation: &Installation, arguments: &[&str]) -> Program {
    let program = Program::new(TANDEM).arguments(words(installation, arguments));
    program.unset("TANDEM_SERVER").unset("TANDEM_TOKEN").folder(installation.data().root())
}

fn tandem(installation: &Installation, arguments: &[&str]) -> Outcome {
    program(installation, arguments).run()
}

/// What a shell makes of a line in which `tandem` is this installation's.
fn shell(installation: &Installation, line: &str) -> Program {
    let root = installation.data().root().display().to_string();
    let line = format!("tandem() {{ '{TANDEM}' --data '{root}' \"$@\"; }}; {line}");
    Program::new("/bin/bash").arguments(["-c", &line]).unset("TANDEM_SERVER").folder(Path::new("/"))
}

pub(crate) fn person(installation: &Installation, steps: &Value, arguments: &[&str]) -> Program {
    let program = Program::new("/usr/bin/python3").arguments([PERSON, &steps.to_string(), TANDEM]);
    program.arguments(words(installation, arguments)).set("TERM", "xterm-256color").unset("TANDEM_SERVER")
}

fn sessions(installation: &Installation) -> Vec<Value> {
    let all = tandem(installation, &["--app", "plain", "--json", "sessions"]).expect_success().json();
    all.as_array().expect("a list").clone()
}

/// Waits until a session is in a state.
fn until(installation: &Installation, id: &str, state: &str) -> Value {
    eventually(&format!("{id} is {state}"), || {
        sessions(installation).into_iter().find(|session| session["id"] == id && session["state"] == state)
    })
}

#[test]
fn data_goes_in_and_out_unchanged_and_the_code_is_the_commands() {
    let (installation, _folder) = with_plain();
    let folder = tempfile::tempdir().expect("there is room");
    let line = format!(
        "cd '{}'; head -c 10000000 /dev/urandom >in; \
         tandem run --app plain -- sh -c 'cat; echo done >&2; exit 7' <in >out 2>err; echo $?; cmp in out && cat err",
        folder.path().display()
    );
    let outcome = shell(&installation, &line).run().expect_success();
    assert_eq!(outcome.stdout, "7\ndone\n", "{outcome}");
    let run = |arguments: &[&str]| tandem(&installation, &[&["--app", "plain", "run"], arguments].concat());
    let line = "test -t 0 || test -t 1 || echo $TANDEM_JOB $PWD; id -u; ls /data | head -1; kill -TERM $$";
    let outcome = run(&[line]).expect_code(143);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines[0], "j3 /app", "{outcome}");
    assert!(lines[1].parse::<u32>().is_ok_and(|uid| uid >= 1), "{outcome}");
    let outcome = run(&["--timeout", "300ms", "--", "sleep", "1000"]).expect_code(124);
    assert!(outcome.stderr.contains("its time was up"), "{outcome}");
    let _ = run(&["--", "nosuch-program"]).expect_code(127);
    // Who looks later finds who it was, what, and how it ended.
    let journal = tandem(&installation, &["--app", "plain", "journal"]).expect_success().stdout;
    for text in ["run.start", "j4: exec sleep 1000", "run.end", "killed by signal 15", "its time was up"] {
        assert!(journal.contains(text), "{text}: {journal}");
    }
    let logs = tandem(&installation, &["--app", "plain", "logs", "--process", "run"]).expect_success();
    assert!(logs.stdout.contains("j3 /app"), "{logs}");
    let listed = sessions(&installation);
    assert_eq!(listed.len(), 4, "{listed:?}");
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&json!("ended"), &json!("timed_out")));
    installation.finish();
}

#[test]
fn at_a_terminal_it_has_a_terminal() {
    let (installation, _folder) = with_plain();
    let code = "import os, signal, time
print(os.isatty(0), os.get_terminal_size(), os.environ['TERM'])
signal.signal(signal.SIGWINCH, lambda *_: print('now', os.get_terminal_size().lines, flush=True))
print('up', flush=True)
try:
    while True: time.sleep(60)
except KeyboardInterrupt:
    print('interrupted', flush=True)
print('hello', input('name? '))
raise SystemExit(5)";
    let steps = json!([
        ["see", "up"],
        ["resize", 50, 132],
        ["see", "now 50"],
        ["type", "\u{3}"],
        ["see", "interrupted"],
        ["see", "name? "],
        ["type", "ann\r"]
    ]);
    let arguments = ["--app", "plain", "run", "--", "python3", "-c", code];
    let outcome = person(&installation, &steps, &arguments).run().expect_success();
    for text in ["True os.terminal_size(columns=101, lines=33) xterm-256color", "hello ann", "code 5"] {
        assert!(outcome.stdout.contains(text), "{text}: {outcome}");
    }
    installation.finish();
}

#[test]
fn it_outlives_its_client_a_deploy_and_the_server_and_is_come_back_to() {
    let (mut installation, folder) = with_plain();
    let steps =
        json!([["see", "$ "], ["type", "echo first-$((40 + 2))\r"], ["see", "first-42"], ["kill", 9]]);
    let shell = ["--app", "plain", "run", "--", "env", "PS1=$ ", "bash", "--norc", "--noediting"];
    let outcome = person(&installation, &steps, &shell).run().expect_success();
    assert!(outcome.stdout.contains("code -9"), "{outcome}");
    let session = until(&installation, "j2", "running");
    assert_eq!((&session["release"], &session["spec"]["terminal"]["rows"]), (&json!("r1"), &json!(33)));
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    installation.end(Signal::SIGKILL);
    installation.start_again();
    let steps = json!([
        ["see", "first-42"],
        ["type", "echo second-$((40 + 3))\r"],
        ["see", "second-43"],
        ["type", "\u{1d}\u{1d}\u{1d}"]
    ]);
    let outcome = person(&installation, &steps, &["--app", "plain", "attach"]).run().expect_success();
    assert!(
        outcome.stdout.contains("left j2, which goes on") && outcome.stdout.contains("code 0"),
        "{outcome}"
    );
    let steps = json!([["see", "second-43"], ["type", "exit 6\r"]]);
    let outcome = person(&installation, &steps, &["--app", "plain", "attach", "j2"]).run().expect_success();
    assert!(outcome.stdout.contains("code 6"), "{outcome}");
    let ended = until(&installation, "j2", "ended");
    assert_eq!(ended["exit"]["code"], 6, "{ended}");
    let late = tandem(&installation, &["--app", "plain", "attach", "j2"]).expect_code(6);
    assert_eq!(late.stdout, "", "{late}");
    installation.finish();
}

#[test]
fn no_byte_is_lost_or_doubled_when_the_server_is_killed_meanwhile() {
    let (mut installation, _folder) = with_plain();
    let folder = tempfile::tempdir().expect("there is room");
    let at = folder.path().display().to_string();
    // The middle of what goes in is held back until the server was killed.
    let line = format!(
        "cd '{at}'; head -c 3000000 /dev/urandom >a; head -c 3000000 /dev/urandom >b; \
         {{ cat a; touch half; until [ -e go ]; do sleep 0.05; done; cat b; }} | \
         tandem run --app plain -- cat >out; echo $? >code"
    );
    let mut client = shell(&installation, &line).silent().start();
    eventually("half of it went in", || folder.path().join("half").exists().then_some(()));
    installation.end(Signal::SIGKILL);
    installation.start_again();
    std::fs::File::create(folder.path().join("go")).expect("there is room");
    client.wait(std::time::Duration::from_secs(120));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was written");
    assert_eq!(read("code"), b"0\n");
    assert!(read("out") == [read("a"), read("b")].concat(), "{} bytes came out", read("out").len());
    installation.finish();
}

#[test]
fn what_is_detached_is_listed_and_ended() {
    let (installation, _folder) = with_plain();
    let line = "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let begun = tandem(&installation, &["--app", "plain", "run", "--detach", line]).expect_success();
    assert_eq!(begun.stdout, "j2\n", "{begun}");
    until(&installation, "j2", "running");
    let listed = tandem(&installation, &["--app", "plain", "sessions"]).expect_success().stdout;
    assert!(listed.contains("j2") && listed.contains("running") && listed.contains("trap"), "{listed}");
    eventually("its output is kept", || {
        let logs = tandem(&installation, &["--app", "plain", "logs", "--process", "run"]).stdout;
        logs.contains("up").then_some(())
    });
    let _ = tandem(&installation, &["--app", "plain", "sessions", "--end", "j2"]).expect_success();
    let ended = until(&installation, "j2", "ended");
    assert_eq!(ended["exit"]["code"], 3, "{ended}");
    let gone = tandem(&installation, &["--app", "plain", "sessions", "--end", "j2"]).expect_code(1);
    assert!(gone.stderr.contains("j2 has ended: exit code 3"), "{gone}");
    // One that runs goes with its app.
    let _ = tandem(&installation, &["--app", "plain", "run", "-d", "--", "sleep", "1000"]).expect_success();
    until(&installation, "j3", "running");
    let _ = tandem(&installation, &["app", "destroy", "plain", "--confirm", "plain"]).expect_success();
    let _ = tandem(&installation, &["app", "create", "empty"]).expect_success();
    let refused = tandem(&installation, &["--app", "empty", "run", "--", "true"]).expect_code(1);
    assert!(refused.stderr.contains("has no release that runs"), "{refused}");
    assert!(refused.stderr.contains("tandem deploy --app empty"), "{refused}");
    installation.finish();
}

/// What looks on changes nothing, however it goes.
#[test]
fn who_only_looks_on_leaves_a_command_as_it_is() {
    let (installation, _folder) = with_plain();
    let line = "trap 'echo signal' INT HUP; (while sleep 0.1; do echo tick; done) & \
         read it; kill $!; echo got $it; exit 4";
    let owner = format!(
        "{{ until [ -e '{0}/go' ]; do sleep 0.05; done; echo mine; }} | \
         tandem run --app plain \"{1}\" >'{0}/out'; echo $? >'{0}/code'",
        installation.data().root().display(),
        line.replace('$', "\\$")
    );
    let mut owner = shell(&installation, &owner).silent().start();
    until(&installation, "j2", "running");
    let look = |line: &str| shell(&installation, line).run();
    let head = look("tandem --app plain attach j2 </dev/null 2>&1 | head -1").expect_success();
    assert_eq!(head.stdout, "tick\n", "{head}");
    let steps = json!([["see", "tick"], ["type", "\u{3}"]]);
    let person = person(&installation, &steps, &["--app", "plain", "attach", "j2"]).run().expect_success();
    assert!(person.stdout.contains("left j2, which goes on"), "{person}");
    assert!(
        person.stdout.contains("sessions --app plain --end j2") && person.stdout.contains("code 130"),
        "{person}"
    );
    std::fs::File::create(installation.data().root().join("go")).expect("there is room");
    owner.wait(std::time::Duration::from_secs(60));
    let read =
        |name: &str| std::fs::read_to_string(installation.data().root().join(name)).expect("it was written");
    assert_eq!(read("code"), "4\n");
    let out = read("out");
    assert!(out.ends_with("got mine\n") && !out.contains("signal"), "{out}");
    installation.finish();
}
