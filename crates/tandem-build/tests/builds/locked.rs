//! A project with a lock file, which says exactly what is installed.

use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::bench::{Bench, shared_uv};

const PROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"idna==3.11\"]\n";

/// A locked project with a little code, as its author left it.
async fn locked() -> Bench {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python shop.py\n");
    bench.write("shop.py", "import idna\nNAMES = frozenset(['one', 'two', 'three'])\n");
    bench.write("pyproject.toml", PROJECT);
    let call = Tool::new(shared_uv().await).args(["lock", "--no-cache", "--python", "/usr/bin/python3"]);
    call.folder(bench.source()).run_ok(Span::minutes(2)).await.expect("the project can be locked");
    bench
}

#[tokio::test]
async fn a_lock_file_is_obeyed_and_one_that_is_out_of_date_is_refused() {
    let bench = locked().await;
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

#[tokio::test]
async fn two_builders_in_two_folders_make_the_same_build() {
    let (one, other) = (locked().await, locked().await);
    let (build, same) = (one.build().await.unwrap(), other.build().await.unwrap());
    assert_eq!(build.subtrees, same.subtrees);
    assert_eq!(build.digest, same.digest);
    assert!(build.subtrees.iter().any(|part| part.name == "dependencies"));
    other.write("shop.py", "import idna\n");
    assert_ne!(build.digest, other.build().await.unwrap().digest);
}
