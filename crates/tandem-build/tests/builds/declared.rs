//! Dependencies as people declare them: a lock beside requirements, extras and groups, includes, repositories, nothing pinned.

use tandem_build::BuilderConfig;
use tandem_kit::files;
use tandem_sandbox::tool::Tool;
use tandem_types::{Span, defaults};

use crate::bench::{Bench, shared_uv};
use crate::hostile::is_sandboxed;
use crate::interpreters::wheel_builder;

const PROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.9\"\n\
    dependencies = [\"idna==3.11\"]\n[project.optional-dependencies]\nlong = [\"humanize==4.12.3\"]\n\
    [dependency-groups]\nprod = [\"sqlparse==0.5.3\"]\ndev = [\"six==1.17.0\"]\n";

async fn lock(bench: &Bench, folder: &str) {
    let call = Tool::new(shared_uv().await).args(["lock", "--no-cache", "--python", "/usr/bin/python3"]);
    call.folder(bench.source().join(folder))
        .run_ok(Span::minutes(2))
        .await
        .expect("the project can be locked");
}

/// Names of what a build installed.
fn names(build: &tandem_types::build::Build) -> Vec<&str> {
    build.packages.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_lock_in_the_working_folder_wins_aloud_with_the_extras_and_groups_that_are_asked_for() {
    let bench = Bench::new().await;
    bench.write("tandem.toml", "root = \"api\"\n[processes.web]\ncommand = \"python shop.py\"\n");
    bench.write("requirements.txt", "flask\n");
    bench.write("api/requirements.txt", "django\n");
    bench.write("api/shop.py", "import idna\n");
    bench.write("api/pyproject.toml", PROJECT);
    lock(&bench, "api").await;
    let build = bench.build().await.unwrap();
    assert_eq!(names(&build), ["idna"]);
    assert_eq!(build.packages["idna"], "3.11");
    assert!(
        build.notes.iter().any(|note| note.contains("api/requirements.txt is not read")),
        "{:?}",
        build.notes
    );

    let more = "root = \"api\"\n[processes.web]\ncommand = \"python shop.py\"\n[build]\nextras = [\"long\"]\ngroups = [\"prod\"]\n";
    bench.write("tandem.toml", more);
    let build = bench.build().await.unwrap();
    assert_eq!(names(&build), ["humanize", "idna", "sqlparse"]);
    let again = bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "3 packages, cached");
    assert_eq!(build.packages, again.packages, "a cached part is recorded as well");

    // Of uv's own accord it is installed, of Tandem's it is not: unless somebody asks for it.
    bench.write("tandem.toml", &more.replace("prod", "dev"));
    let build = bench.build().await.unwrap();
    assert_eq!(names(&build), ["humanize", "idna", "six"]);
}

#[tokio::test]
async fn a_project_without_a_lock_gets_its_extras_and_a_record_of_what_they_came_to() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python shop.py\n");
    bench.write("shop.py", "import idna\n");
    bench.write("tandem.toml", "[build]\nextras = [\"long\"]\ngroups = [\"prod\"]\n");
    bench.write("pyproject.toml", &PROJECT.replace("idna==3.11", "idna>=3"));
    let build = bench.build().await.unwrap();
    assert_eq!(names(&build), ["humanize", "idna", "sqlparse"]);
    assert!(build.packages["idna"].starts_with("3."), "{:?}", build.packages);
    assert!(
        build.warnings.iter().any(|text| text.starts_with("idna>=3 is not pinned")),
        "{:?}",
        build.warnings
    );
}

#[tokio::test]
async fn includes_are_found_where_pip_finds_them_and_wheels_are_built_as_another_user() {
    let bench = Bench::new().await;
    bench.write(
        "tandem.toml",
        "[processes.web]\ncommand = \"python shop.py\"\n[build]\nrequirements = \"requirements/prod.txt\"\n",
    );
    bench.write("shop.py", "import own\n");
    bench.write("requirements/prod.txt", "-r more/base.txt\n-c ../bounds.txt\n./libs/own\n");
    bench.write("requirements/more/base.txt", "idna\n");
    bench.write("bounds.txt", "idna==3.11\n");
    bench.write(
        "libs/own/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
    );
    let tell = "import os\nassert os.getuid() != 0 and not os.path.exists('/root/.bashrc'), os.getuid()";
    let backend = if is_sandboxed() { wheel_builder(tell) } else { wheel_builder("") };
    bench.write("libs/own/backend.py", &backend);
    let build = bench.build().await.unwrap();
    assert_eq!(names(&build), ["idna", "own"]);
    assert_eq!(build.packages["idna"], "3.11", "the constraint holds");
    assert_eq!(build.warnings, ["a.py is not committed"], "the constraint pins it");
}

#[tokio::test]
async fn a_repository_that_cannot_be_reached_is_named_with_the_line_that_asks_for_it() {
    let bench = Bench::new().await;
    bench.write("Procfile", "web: python shop.py\n");
    bench.write("requirements.txt", "# ours\nfoo @ git+http://127.0.0.1:9/ours/foo.git@v1\n");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    assert_eq!(
        problem.title,
        "the git repository http://127.0.0.1:9/ours/foo.git, which requirements.txt:2 asks for, cannot be reached from \
         the server",
        "{problem:?}"
    );
}

#[tokio::test]
async fn a_dependency_that_asks_for_another_python_is_told_where_nothing_else_is_here() {
    let nowhere = ("UV_PYTHON_DOWNLOADS_JSON_URL".to_owned(), "/nowhere/downloads.json".to_owned());
    let bench = Bench::with(|config| config.network = [nowhere].into_iter().collect()).await;
    bench.write("Procfile", "web: python shop.py\n");
    bench.write("requirements.txt", "./new\n");
    bench.write(
        "new/pyproject.toml",
        "[project]\nname = \"new\"\nversion = \"1\"\nrequires-python = \">=3.40\"\n",
    );
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "python_missing", "{problem:?}");
    assert!(problem.title.contains(">=3.40") && problem.title.contains("new"), "{problem:?}");
    // Where it is asked for, uv's own words are the answer.
    bench.write(".python-version", "3\n");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!(problem.code, "dependency_failed", "{problem:?}");
    assert!(problem.hint.contains(".python-version"), "{problem:?}");
}

#[tokio::test]
async fn certificates_that_only_the_administrator_can_read_are_seen_by_what_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for name in ["PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"] {
        let file = folder.path().join(name);
        files::write_atomic_unsynced(&file, name.as_bytes(), 0o600).unwrap();
        said.push((name.to_owned(), file.display().to_string()));
    }
    let set_up = |config: &mut BuilderConfig| config.network = said.into_iter().collect();
    let bench = Bench::with(set_up).await;
    bench.write("Procfile", "web: python shop.py\n");
    bench.write("requirements.txt", "./own\n");
    bench.write("own/pyproject.toml", "[project]\nname = \"own\"\nversion = \"1\"\n[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n");
    let look = "import os\nsaid = {'SSL_CERT_FILE': 'PIP_CERT', 'REQUESTS_CA_BUNDLE': 'PIP_CERT'}\n\
        for name in (*said, 'GIT_SSL_CAINFO', 'NODE_EXTRA_CA_CERTS'):\n\
        \x20   assert open(os.environ[name]).read() == said.get(name, name), name\n";
    bench.write("own/backend.py", &wheel_builder(look));
    let build = bench.build_within(defaults::BUILD_TIMEOUT).await.unwrap();
    assert_eq!(names(&build), ["own"]);
}
