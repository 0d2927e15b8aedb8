//! One-off commands at a terminal: its size, its name, its signals, and a shell that controls its jobs.

use tandem_types::frame::{Frame, Hello};
use tandem_types::instance::Isolation;
use tandem_types::session::Size;

use super::harness::Bench;
use super::talking::{Client, WINDOW, terminal};
use crate::tests::{can_isolate, eventually};

#[tokio::test]
async fn a_terminal_has_a_size_and_a_name_and_knows_signals_and_colors() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let command = "exec /usr/bin/python3 -c '
import os, signal, sys, time
print(os.isatty(0), os.isatty(1), os.get_terminal_size(), os.ttyname(0), os.tcgetpgrp(0) == os.getpgrp())
open(\"/dev/tty\", \"w\").write(\"named\\n\")
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, f\"now {os.get_terminal_size()}\\n\".encode()))
try:
    print(\"up\", flush=True)
    while True: time.sleep(0.02)
except KeyboardInterrupt:
    print(\"interrupted\", flush=True)
line = input(\"name? \")
print(\"hello\", line)
sys.exit(5)'";
    let handle = bench.try_launch(&terminal(&bench, command)).await.unwrap();
    let (mut client, welcome) =
        Client::attach(&handle, Hello { size: Some(WINDOW), ..Hello::default() }).await;
    assert!(welcome.terminal);
    client.until("up").await;
    let begin = "True True os.terminal_size(columns=101, lines=33) /dev/console True\nnamed\nup\n";
    assert_eq!(client.text(), begin);
    client.say(&Frame::Size(Size { rows: 50, columns: 132 })).await;
    client.until("now os.terminal_size(columns=132, lines=50)").await;
    client.type_in("\x03").await;
    client.until("name? ").await;
    client.type_in("ann\n").await;
    let ended = client.until_end().await;
    assert_eq!((ended.exit.code, ended.timed_out), (Some(5), false));
    assert!(client.text().ends_with("^Cinterrupted\nname? ann\nhello ann\n"), "{}", client.text());
    assert!(
        bench.output().iter().any(|line| line == "hello ann"),
        "the log has it too: {:?}",
        bench.output()
    );
}

/// Whether a process is in the foreground of its terminal and not stopped.
fn has_terminal(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // State, parent, group, session, terminal, the terminal's foreground group.
    matches!(fields[..], [state, _, group, _, _, front, ..] if state != "T" && group == front)
}

#[tokio::test]
async fn a_shell_on_a_terminal_controls_its_jobs() {
    if !can_isolate() || !std::path::Path::new("/bin/bash").exists() {
        return;
    }
    let bench = Bench::new();
    let shell = "PS1='> ' exec bash --norc --noprofile --noediting -i";
    let handle = bench.try_launch(&terminal(&bench, shell)).await.unwrap();
    let (mut client, _) = Client::attach(&handle, Hello { size: Some(WINDOW), ..Hello::default() }).await;
    client.type_in("sleep 1000; echo after=$?\n").await;
    // From before it is what it is, it has the terminal.
    let name = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    eventually("sleep runs", || handle.processes().iter().any(|pid| name(pid) == "sleep\n")).await;
    client.type_in("\x1a").await;
    // With the prompt: what is typed before it stands before it.
    client.until("after=148\r\n> ").await;
    client.type_in("fg\n").await;
    client.until("fg\r\nsleep 1000").await;
    // The shell says so before it does it.
    eventually("sleep has the terminal", || {
        handle.processes().iter().any(|pid| name(pid) == "sleep\n" && has_terminal(*pid))
    })
    .await;
    client.type_in("\x03").await;
    eventually("sleep has ended", || handle.processes().len() == 1).await;
    client.type_in("exit 9\n").await;
    assert_eq!(client.until_end().await.exit.code, Some(9));
    assert!(!client.text().contains("no job control"), "{}", client.text());
}

#[tokio::test]
async fn without_a_sandbox_a_terminal_is_one_as_well() {
    let bench = Bench::new();
    let command = "/usr/bin/python3 -c 'import os; print(os.isatty(0), os.get_terminal_size()[1], open(\"/dev/tty\") and 1)'; \
        sleep 1000; true";
    let mut spec = terminal(&bench, command);
    spec.sandbox.isolation = Isolation::Plain;
    let handle = bench.try_launch(&spec).await.unwrap();
    let (mut client, _) = Client::attach(&handle, Hello { size: Some(WINDOW), ..Hello::default() }).await;
    client.until("True 33 1").await;
    client.type_in("\x03").await;
    assert_eq!(client.until_end().await.exit.signal, Some(2));
}
