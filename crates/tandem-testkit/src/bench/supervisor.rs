//! Watches over the process that measures, and cleans up after it however it ends.
//!
//! The measuring runs in a child. A person's Ctrl-C or a SIGTERM comes to this process, which kills the child first and
//! then ends what its record names; the child cannot start anything meanwhile, and no destructor has to run. A panic,
//! an error or a SIGKILL of the child ends in the same way. When this process itself is killed, the child notices by its
//! input, leaves a cleaner behind and ends; when both are killed, the next run begins with the cleaning.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use crate::app_folder::repository;
use crate::program::{Program, Running};
use crate::wait::{PATIENCE, within};
use anyhow::{Context as _, bail};
use tandem_kit::files::{LockGuard, lock_exclusive};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cleaning::{BenchFolder, Found};
use super::progress::{print, say};

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

/// What a benchmark's `main` does: cleans up only, measures as the child, or starts that child and cleans up after it.
///
/// # Errors
///
/// What was typed makes no plan, or any of these fails.
pub fn serve<P>(
    plan: impl Fn(Vec<String>) -> anyhow::Result<P>,
    minutes: impl Fn(&P) -> u64,
    measure: impl Fn(&P, &BenchFolder) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let bench = BenchFolder::new(repository().join(".bench"))?;
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--clean") => clean_only(&bench),
        Some("--measure") => {
            follow();
            measure(&plan(arguments.split_off(1))?, &bench)
        }
        _ => {
            // What is mistyped shows before anything is started.
            let plan = plan(arguments.clone())?;
            say(&format!("about {} minutes on a machine that does nothing else", minutes(&plan)));
            run(&bench, &arguments)
        }
    }
}

/// Writes the report, for people on the terminal too.
///
/// # Errors
///
/// The file cannot be written.
pub fn report(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    tandem_kit::files::write_atomic(path, text.as_bytes(), 0o644)?;
    print(text);
    Ok(())
}

/// Runs a child with these arguments and cleans up after it.
///
/// # Errors
///
/// The child cannot be started, or something cannot be ended.
fn run(bench: &BenchFolder, arguments: &[String]) -> anyhow::Result<ExitCode> {
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
fn clean_only(bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let _lock = take(bench, PATIENCE)?;
    clean(bench, "an earlier run")?;
    Ok(ExitCode::SUCCESS)
}

/// For the child: its input ends with the process that watches over it.
fn follow() {
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
