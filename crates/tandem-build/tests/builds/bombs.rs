//! Bombs in the build of a package: which limit ends the build, what people are told, and that nothing is left of it.

use std::time::Duration;

use tandem_sandbox::Limits;
use tandem_types::problem::Problem;
use tandem_types::{Span, defaults};

use crate::bench::{Bench, SmallDisk};
use crate::hostile::is_sandboxed;
use crate::refusals::write_dependency;

/// Starts a process that is nobody's child, leads a session, hears no signal and goes on to write; before that it may let
/// go of the output.
const DAEMON: &str = "import os, signal, sys, time\n\
    def daemon(quiet=True):\n\
    \x20   if os.fork(): return\n\
    \x20   os.setsid()\n\
    \x20   if os.fork(): os._exit(0)\n\
    \x20   for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n\
    \x20   if quiet: os.closerange(0, 3)\n\
    \x20   while True: time.sleep(0.001); open(f'/app/{time.time_ns()}', 'x').close()\n";

/// Builds a package whose build runs this and then breaks.
async fn refused(bench: &Bench, python: &str, timeout: Span) -> Problem {
    write_dependency(bench, "");
    bench.write("broken/backend.py", &format!("{python}raise SystemExit('it breaks')\n"));
    let problem = bench.build_within(timeout).await.unwrap_err().to_problem();
    bench.expect_nothing_running();
    problem
}

async fn small() -> Bench {
    let limits = Limits { memory_bytes: Some(256 << 20), pids: Some(128), ..Limits::default() };
    Bench::with(|config| config.limits = limits).await
}

#[tokio::test]
async fn processes_memory_and_output_of_a_build_end_at_their_limits_and_the_limit_is_told() {
    if !is_sandboxed() {
        return;
    }
    let bench = small().await;
    // Neither of them ever ends by itself.
    let forks = "import os\nwhile True:\n    try: os.fork()\n    except BlockingIOError: pass\n";
    let memory = "import os\nwhile True:\n    if os.fork() == 0: x = bytearray(600 << 20)\n    os.wait()\n";
    let files = "for n in range(600): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\n";
    for (bomb, code, words) in [
        (forks, "build_too_many_processes", "needs more than the 128 processes and threads"),
        (memory, "build_out_of_memory", "needs more than the 256 MiB of memory"),
        (files, "build_out_of_memory", "needs more than the 256 MiB of memory"),
    ] {
        let problem = refused(&bench, bomb, defaults::BUILD_TIMEOUT).await;
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.title.starts_with("the installation of the dependencies"), "{problem:?}");
        assert!(problem.title.contains(words) && problem.hint.contains("deploy again"), "{problem:?}");
        assert!(problem.detail.contains("broken"), "which one it was: {problem:?}");
    }
    // uv keeps what a package prints until it is built.
    let flood = "import os\nwhile True: os.write(1, b'a line\\n' * 9000)\n";
    let problem = refused(&bench, flood, defaults::BUILD_TIMEOUT).await;
    let ends = ["build_out_of_memory", "build_output_too_long"];
    assert!(ends.contains(&problem.code.as_str()), "{problem:?}");
}

#[tokio::test]
async fn what_a_build_starts_to_stay_goes_when_it_fails_and_when_its_time_is_up() {
    if !is_sandboxed() {
        return;
    }
    let bench = small().await;
    let problem = refused(&bench, &format!("{DAEMON}daemon()\n"), defaults::BUILD_TIMEOUT).await;
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    // Whoever holds the output keeps uv waiting for its end.
    let deaf =
        format!("{DAEMON}daemon(False)\nfor number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n");
    for end in ["", "while True: pass\n"] {
        let problem = refused(&bench, &format!("{deaf}{end}"), Span::seconds(4)).await;
        assert_eq!(problem.code, "build_timeout", "{problem:?}");
        assert!(problem.title.contains("within the build's 4s"), "{problem:?}");
    }
}

#[tokio::test]
async fn what_a_build_puts_into_its_home_and_its_cache_does_not_stay_when_it_fails() {
    if !is_sandboxed() {
        return;
    }
    let bench = Bench::with(|config| config.uv_cache_bytes = 4 << 20).await;
    // Deeper than most things look, and of no size at all.
    let litter = "import os\nfor top in (os.environ['HOME'], os.environ['UV_CACHE_DIR']):\n\
        \x20   deep = top + '/d' * 90\n\
        \x20   os.makedirs(deep)\n\
        \x20   for n in range(3000): open(f'{deep}/{n}', 'x').close()\n";
    let problem = refused(&bench, litter, defaults::BUILD_TIMEOUT).await;
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    let entries = bench.entries();
    assert!(entries < 1000, "{entries} files and folders stayed");
    let problem =
        refused(&bench, "import os\nprint(os.listdir(os.environ['HOME']))\n", defaults::BUILD_TIMEOUT).await;
    assert!(problem.detail.contains("[]"), "the home is new: {problem:?}");
}

#[tokio::test]
async fn a_build_that_takes_all_inodes_of_its_disk_is_ended_and_gives_them_back() {
    if !is_sandboxed() {
        return;
    }
    let bench = Bench::new().await;
    let folder = bench.build_folder();
    let disk = SmallDisk::over(&folder, "nr_inodes=20k");
    let bomb = format!(
        "{DAEMON}daemon()\n\
        for top in (os.environ['HOME'], os.environ['UV_CACHE_DIR'], '/app', '/build'):\n\
        \x20   n = 0\n\
        \x20   while n < 8000 or top == '/build':\n\
        \x20       n += 1\n\
        \x20       try: os.mkdir(f'{{top}}/{{n}}')\n\
        \x20       except OSError: pass\n"
    );
    write_dependency(&bench, "");
    bench.write("broken/backend.py", &bomb);
    let problem = bench.build_unchecked(defaults::BUILD_TIMEOUT).await.map_err(|error| error.to_problem());
    let entries = bench.entries();
    drop(disk);
    let problem = problem.unwrap_err();
    assert_eq!(problem.code, "disk_full", "{problem:?}");
    assert!(problem.title.contains("had only room for "), "{problem:?}");
    assert!(entries < 100, "{entries} files and folders stayed");
    bench.expect_nothing_running();
}

#[tokio::test]
async fn a_build_that_is_given_up_leaves_nothing() {
    if !is_sandboxed() {
        return;
    }
    let bench = Bench::new().await;
    write_dependency(&bench, "");
    bench.write("broken/backend.py", &format!("{DAEMON}daemon()\nwhile True: pass\n"));
    let work = bench.build_folder().join("work/app");
    let writes = async {
        while !std::fs::read_dir(&work).is_ok_and(|entries| entries.count() > 100) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = bench.build_unchecked(defaults::BUILD_TIMEOUT) => panic!("{ended:?}"),
        () = writes => {}
    }
    // It waits until the last one is wholly gone.
    write_dependency(&bench, "raise SystemExit('it breaks')");
    bench.build().await.unwrap_err();
    bench.expect_nothing_running();
}
