//! Watches over the process that measures, and cleans up after it however it ends.
//!
//! The measuring runs in a child. A person's Ctrl-C or a SIGTERM comes to this process, which kills the child first and
//! then ends what its record names; the child cannot start anything meanwhile, and no destructor has to run. A panic,
//! an error or a SIGKILL of the child ends in the same way. When this process itself is killed, the child notices by its
//! input, leaves a cleaner behind and ends; when both are killed, the next run begins with the cleaning.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use crate::program::{Program, Running};
use crate::wait::{PATIENCE, within};
use anyhow::{Context as _, bail};
use tandem_kit::files::{LockGuard, lock_exclusive};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cleaning::{BenchFolder, Found};
use super::progress::say;

/// Time between two looks at the child: rare, because it measures this machine.
const LOOK: Duration = Duration::from_millis(200);
/// Something was left behind by a run that ended well.
const LEFT_BEHIND: u8 = 3;

/// How the child ended.
enum End {
    Ended(ExitStatus),
    /// Killed, because this signal came.
    Interrupted(u8),
}

/// Runs a child with these arguments and cleans up after it.
///
/// # Errors
///
/// The child cannot be started, or something cannot be ended.
pub fn run(bench: &BenchFolder, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let _lock = take(bench, Duration::ZERO)?;
    clean(bench, "an earlier run")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [mut interrupt, mut terminate, mut hangup] = kinds.map(signal);
        let signals = (interrupt.as_mut(), terminate.as_mut(), hangup.as_mut());
        let (Ok(interrupt), Ok(terminate), Ok(hangup)) = signals else { bail!("no signal can be handled") };
        let program = std::env::current_exe().context("find this program")?;
        let mut child =
            Program::new(program).arguments(["--measure"]).arguments(arguments).hold_input().start();
        Ok(wait(&mut child, [interrupt, terminate, hangup]).await)
        // Here the child is killed, where it still runs.
    })?;
    if let End::Interrupted(number) = end {
        say(&format!("signal {number}: ending everything"));
    }
    let found = bench.clean()?;
    Ok(ExitCode::from(code(&end, &found)))
}

/// Ends what an earlier run left, as soon as nobody else does.
///
/// # Errors
///
/// Something cannot be ended.
pub fn clean_only(bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let _lock = take(bench, PATIENCE)?;
    clean(bench, "an earlier run")?;
    Ok(ExitCode::SUCCESS)
}

/// For the child: its input ends with the process that watches over it.
pub fn follow() {
    let _follower = std::thread::spawn(|| {
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        if let Ok(program) = ended.and_then(|_| std::env::current_exe()) {
            // Kept alive, so not dropped: it ends this process as the first of all.
            std::mem::forget(Program::new(program).arguments(["--clean"]).start());
        }
    });
}

async fn wait(child: &mut Running, [interrupt, terminate, hangup]: [&mut Signal; 3]) -> End {
    loop {
        let number = tokio::select! {
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
            _ = hangup.recv() => 1,
            () = tokio::time::sleep(LOOK) => 0,
        };
        match (number, child.ended()) {
            (0, None) => {}
            (_, Some(status)) => return End::Ended(status),
            (number, None) => return End::Interrupted(number),
        }
    }
}

/// The child's own code, or why there is a worse one; says what must be said.
fn code(end: &End, found: &Found) -> u8 {
    let tell = |heading: &str, lines: &[String]| {
        if !lines.is_empty() {
            say(&format!("{heading}\n  {}", lines.join("\n  ")));
        }
    };
    let code = match end {
        End::Interrupted(number) => 128 + number,
        End::Ended(status) => match (status.code(), status.signal()) {
            (Some(code), _) => u8::try_from(code).unwrap_or(1),
            (None, number) => 128 + u8::try_from(number.unwrap_or_default()).unwrap_or_default(),
        },
    };
    let well = matches!(end, End::Ended(status) if matches!(status.code(), Some(0 | 2)));
    tell(if well { "left behind, now ended:" } else { "ended:" }, &found.running);
    tell("STILL THERE:", &found.stuck);
    let left = !found.stuck.is_empty() || (well && !found.running.is_empty());
    if left { LEFT_BEHIND } else { code }
}

fn clean(bench: &BenchFolder, whose: &str) -> anyhow::Result<()> {
    let found = bench.clean()?;
    if !found.running.is_empty() {
        say(&format!("ended what {whose} had left:\n  {}", found.running.join("\n  ")));
    }
    if !found.stuck.is_empty() {
        bail!("{whose} left what cannot be ended:\n  {}", found.stuck.join("\n  "));
    }
    Ok(())
}

fn take(bench: &BenchFolder, patience: Duration) -> anyhow::Result<LockGuard> {
    let mut failed = None;
    let taken = within(patience, || match lock_exclusive(&bench.lock()) {
        Ok(taken) => taken,
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    match (taken, failed) {
        (Some(lock), _) => Ok(lock),
        (None, Some(error)) => Err(error).context("lock the benchmark's folder"),
        (None, None) => {
            bail!("another benchmark is under way in this work tree; wait for it, or interrupt it")
        }
    }
}
