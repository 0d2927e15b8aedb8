//! Sources that do not become builds, and what people are told.

use tandem_types::Span;

use crate::bench::Bench;

/// A dependency whose build runs this Python; nothing of the index is needed.
pub(crate) fn write_dependency(bench: &Bench, build: &str) {
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
    assert_eq!(problem.title, "the dependency broken (./broken) does not build");
    assert!(problem.detail.contains(complaint), "{problem:?}");
    assert!(problem.hint.ends_with("apt-get install python3-dev"), "{problem:?}");
}

#[tokio::test]
async fn a_dependency_whose_name_only_its_build_knows_is_told_by_its_path() {
    let bench = Bench::new().await;
    write_dependency(&bench, "raise SystemExit('it breaks')");
    let nameless = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    bench.write("broken/pyproject.toml", nameless);
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.title, "the dependency ./broken does not build", "{problem:?}");
    assert!(problem.detail.contains("it breaks"), "{problem:?}");
}

#[tokio::test]
async fn a_build_that_hangs_is_ended_and_told() {
    let bench = Bench::new().await;
    write_dependency(&bench, "import time; time.sleep(600)");
    let problem = bench.build_within(Span::seconds(5)).await.unwrap_err().to_problem();
    assert_eq!(problem.code, "build_timeout", "{problem:?}");
    assert!(problem.title.contains("within the build's 5s"), "{problem:?}");
}
