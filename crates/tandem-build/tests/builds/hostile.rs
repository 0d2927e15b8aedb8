//! Code of packages and of the app that means harm while it is built: the tries of the testkit's hostile app.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use serde_json::{Value, json};
use tandem_kit::files;
use tandem_types::instance::Isolation;

use crate::bench::Bench;
use crate::index::has_packet_rules;
use crate::refusals::write_dependency;

/// Fewer would mean that tries were lost on the way.
const AT_LEAST: usize = 120;
/// Runs all tries and tells what came of them in lines that are short enough to be shown whole.
const TRY_ALL: &str = "import sys, json; sys.path.insert(0, '/app'); import tries\n\
    context = json.load(open('/app/context.json'))\n\
    for name in tries.TRIES: print('TRY', name, tries.run(name, context)[:200], flush=True)\n";

/// Things of others, as they lie beside a build.
struct Others {
    context: Value,
    _listeners: (TcpListener, UnixListener, UnixListener),
    _folder: tempfile::TempDir,
}

impl Others {
    /// Puts the tries and what they look for into the source; `code` is what the build must not change.
    fn beside(bench: &Bench, code: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write =
            |name: &str, text: &str| files::write_atomic_unsynced(&path(name), text.as_bytes(), 0o644);
        for (name, text) in
            [("store", "SQLite"), ("secrets", "hunter-zwei"), ("spec.json", "sandbox"), ("file", "x")]
        {
            write(name, text).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UnixListener::bind(path("socket")).unwrap();
        let name = format!("tandem-build-{}", std::process::id());
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let number = port.local_addr().unwrap().port();
        let context = json!({
            "data": bench.build_folder().parent(), "store": path("store"), "keys": folder.path(),
            "blobs": folder.path(), "builds": bench.build_folder(), "runtime": folder.path(),
            "api_socket": path("socket"), "runner_socket": path("socket"), "unix_socket": path("socket"),
            "api_port": number, "server_pid": std::process::id(), "host_address": "127.0.0.2",
            "abstract": name, "own_unit": folder.path(), "own_shim": path("socket"), "keeper": 1,
            "cgroup": "/sys/fs/cgroup/cgroup.procs", "code": code, "writable": "/app",
            "neighbor": {
                "pid": std::process::id(), "port": number, "uid": 70_001, "unit": folder.path(),
                "shim": path("socket"), "secrets": path("secrets"), "logs": folder.path(), "file": path("file"),
            },
        });
        bench.write("context.json", &context.to_string());
        let tries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tandem-testkit/fixtures/hostile/tries");
        for entry in fs::read_dir(tries).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let text = fs::read_to_string(entry.path()).unwrap();
            bench.write(&format!("tries/{}", entry.file_name().display()), &text);
        }
        Self { context, _listeners: (port, socket, hidden), _folder: folder }
    }
}

/// Every try was made and refused.
#[track_caller]
fn expect_all_refused(lines: &[String], others: &Others) {
    let tries = lines.iter().filter_map(|line| line.trim_start().strip_prefix("TRY ")?.split_once(' '));
    let outcomes: BTreeMap<&str, &str> = tries.collect();
    let got_in: Vec<_> = outcomes.iter().filter(|(_, outcome)| !outcome.starts_with("refused: ")).collect();
    assert!(got_in.is_empty(), "{got_in:?} with {}", others.context);
    assert!(outcomes.len() >= AT_LEAST, "{} tries in {lines:?}", outcomes.len());
}

pub(crate) fn is_sandboxed() -> bool {
    has_packet_rules() && tandem_sandbox::isolation().0 == Isolation::Sandbox
}

/// Whether the tries, which use numbers of calls, can be made here.
fn can_try() -> bool {
    is_sandboxed() && cfg!(target_arch = "x86_64")
}

#[tokio::test]
async fn nothing_that_the_build_of_a_package_tries_gets_it_anywhere() {
    if !can_try() {
        return;
    }
    let bench = Bench::new().await;
    let others = Others::beside(&bench, "/uv");
    write_dependency(&bench, "");
    bench.write("broken/backend.py", &format!("{TRY_ALL}raise SystemExit('it breaks')\n"));
    bench.build().await.unwrap_err();
    expect_all_refused(&bench.lines(), &others);
}

#[tokio::test]
async fn settings_that_mean_harm_while_static_files_are_collected_get_nowhere() {
    if !can_try() {
        return;
    }
    let bench = Bench::new().await;
    let others = Others::beside(&bench, "/app/.venv/pyvenv.cfg");
    crate::django::write_project(&bench);
    let honest = fs::read_to_string(bench.source().join("shop/settings.py")).unwrap();
    bench.write("shop/settings.py", &format!("{TRY_ALL}raise SystemExit('it breaks')\n"));
    bench.build().await.unwrap_err();
    // There is a network of its own, in which every port is free.
    let alone = "take_the_port_of_another";
    let lines: Vec<_> = bench.lines().into_iter().filter(|line| !line.contains(alone)).collect();
    expect_all_refused(&lines, &others);

    let hole = "import os\nos.makedirs('/app/collected', exist_ok=True)\n\
        with open('/app/collected/hole', 'w') as file: file.truncate(8 << 40)\n";
    bench.write("shop/settings.py", &format!("{honest}\n{hole}"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_too_large", "{problem:?}");
    assert!(problem.title.contains("hole of 8388608 MiB"), "{problem:?}");

    let flood = "import os\nwhile True: os.write(2, b'\\x1b\\xff' * 32768)\n";
    bench.write("shop/settings.py", &format!("{honest}\n{flood}"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_output_too_long", "{problem:?}");
    assert!(problem.title.ends_with("it printed more than 64 MiB"), "{problem:?}");
    assert!(problem.detail.len() < 100_000, "{} bytes are kept", problem.detail.len());
}

#[tokio::test]
async fn a_cache_that_a_build_made_deeper_than_a_path_is_long_begins_anew() {
    let wheel = "import os, zipfile\n\
        def build_wheel(folder, *arguments):\n\
        \x20   with zipfile.ZipFile(f'{folder}/broken-1-py3-none-any.whl', 'w') as z:\n\
        \x20       z.writestr('broken-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: broken\\nVersion: 1\\n')\n\
        \x20       z.writestr('broken-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20       z.writestr('broken-1.dist-info/RECORD', '')\n\
        \x20   os.chdir(os.environ['UV_CACHE_DIR'])\n\
        \x20   for _ in range(40): os.mkdir('d' * 200); os.chdir('d' * 200)\n\
        \x20   return 'broken-1-py3-none-any.whl'\n";
    let bench = Bench::new().await;
    write_dependency(&bench, "");
    bench.write("broken/backend.py", wheel);
    bench.build().await.unwrap();
    assert!(bench.build_folder().join("uv").is_dir(), "there is a cache");
    assert!(
        !bench.build_folder().join("uv").join("d".repeat(200)).exists(),
        "what nobody could measure is gone"
    );
}
