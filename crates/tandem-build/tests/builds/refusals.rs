//! Sources that do not become builds, and what people are told.

use tandem_build::tools;
use tandem_kit::clock::Clock;
use tandem_kit::paths::DataDir;
use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::bench::Bench;

const PROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"idna==3.11\"]\n";

/// What the author does before a deploy.
async fn lock(bench: &Bench) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-uv");
    let uv =
        tools::ensure_uv(&DataDir::open(&folder).expect("it was opened before"), &Clock::system(), &|_| {})
            .await
            .expect("uv was installed before");
    let call =
        Tool::new(uv).args(["lock", "--no-cache", "--python", "/usr/bin/python3"]).folder(bench.source());
    call.run_ok(Span::minutes(2)).await.expect("the project can be locked");
}

#[tokio::test]
async fn a_lock_file_is_obeyed_and_one_that_is_out_of_date_is_refused() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python -c 'import idna'\n");
    bench.write("pyproject.toml", PROJECT);
    lock(&bench).await;
    let build = bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "1 package");
    assert_eq!(build.spec.path, ["/app/.venv/bin"]);

    bench.write("pyproject.toml", &format!("{PROJECT}\n[tool.ruff]\nline-length = 100\n"));
    bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "1 package, cached");

    bench.write("pyproject.toml", &PROJECT.replace("idna==3.11", "idna==3.10"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "lock_stale", "{problem:?}");
    assert!(problem.hint.contains("uv lock"), "{problem:?}");
}

/// A dependency whose build runs this Python; nothing of the index is needed.
fn write_dependency(bench: &Bench, build: &str) {
    let project = "[project]\nname = \"broken\"\nversion = \"1\"\n\
        [build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    bench.write("Procfile", "web: python -m http.server\n");
    bench.write("requirements.txt", "./broken\n");
    bench.write("broken/pyproject.toml", project);
    bench.write("broken/backend.py", &format!("def build_wheel(*arguments):\n    {build}\n"));
}

#[tokio::test]
async fn a_dependency_that_does_not_build_is_told_with_its_last_lines() {
    let bench = Bench::new().await;
    let complaint = "x.c:1:10: fatal error: Python.h: No such file or directory";
    write_dependency(&bench, &format!("print('{complaint}'); raise SystemExit(1)"));
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    assert!(problem.detail.contains(complaint), "{problem:?}");
    assert!(problem.hint.ends_with("apt-get install python3-dev"), "{problem:?}");
}

#[tokio::test]
async fn a_build_that_hangs_is_ended_and_told() {
    let bench = Bench::new().await;
    write_dependency(&bench, "import time; time.sleep(600)");
    let problem = bench.build_within(Span::seconds(5)).await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_timeout", "{problem:?}");
    assert!(problem.title.contains("within the build's 5s"), "{problem:?}");
}
