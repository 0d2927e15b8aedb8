//! Declarations as people write them.

use tandem_blobs::BlobStore;

use super::*;

fn read_of(files: &[(&str, &str)]) -> Result<Option<Requirements>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    read(&Source::of(&store, files))
}

fn found(files: &[(&str, &str)]) -> Requirements {
    read_of(files).unwrap().unwrap()
}

fn paths(requirements: &Requirements) -> Vec<&str> {
    requirements.inputs.keys().map(String::as_str).collect()
}

const PROJECT: &str = r#"
[project]
name = "shop"
version = "1.0"
dependencies = ["django>=5.2", "Zope.Interface[x]==1.0"]
[tool.ruff]
line-length = 100
"#;

const LOCK: &str = r#"
version = 1
[[package]]
name = "shop"
source = { virtual = "." }
[[package]]
name = "django"
source = { registry = "https://index.example/simple" }
[[package]]
name = "common-parts"
source = { editable = "packages/common" }
"#;

#[test]
fn a_lock_file_wins_and_local_packages_belong_to_it() {
    let files = [
        ("pyproject.toml", PROJECT),
        ("uv.lock", LOCK),
        ("requirements.txt", "flask"),
        ("packages/common/setup.py", ""),
        ("packages/other/setup.py", ""),
    ];
    let requirements = found(&files);
    assert_eq!(requirements.declared, Declared::Lock);
    assert!(requirements.packages.has("django") && !requirements.packages.has("flask"));
    assert_eq!(paths(&requirements), ["packages/common/setup.py", "uv.lock"]);
}

#[test]
fn only_what_decides_about_dependencies_counts_of_a_project() {
    let project = |text: &str| found(&[("pyproject.toml", text), ("uv.lock", LOCK)]).project;
    let before = project(PROJECT);
    assert_eq!(before, project(&PROJECT.replace("100", "120")));
    assert_eq!(before, project(&PROJECT.replace("version = \"1.0\"", "version = \"1.1\"")));
    assert_ne!(before, project(&PROJECT.replace("5.2", "5.3")));
    assert_ne!(before, project(&format!("{PROJECT}[tool.uv]\nno-binary = true\n")));
    assert_ne!(before, project(&format!("{PROJECT}[dependency-groups]\ndev = []\n")));
}

#[test]
fn a_project_without_a_lock_tells_what_is_not_pinned() {
    let requirements = found(&[("pyproject.toml", PROJECT)]);
    assert_eq!(requirements.declared, Declared::Project);
    assert!(requirements.packages.has("zope-interface"));
    assert_eq!(requirements.unpinned, ["django>=5.2"]);
    assert_eq!(read_of(&[("pyproject.toml", "[tool.ruff]\n")]).unwrap(), None);
    let with_python = PROJECT.replace("version =", "requires-python = \">=3.12.1, <4\"\nversion =");
    assert_eq!(found(&[("pyproject.toml", &with_python)]).least_python, Some(12));
}

#[test]
fn requirements_are_read_with_what_they_include() {
    let text = "# comment\nDjango==5.2 # pinned\n-r more/base.txt\n--constraint=constraints.txt\n\
                gunicorn\\\n==23.0 --hash=sha256:00\n-e ./packages/own[extra]\n./wheels/x-1.0.whl\n\
                celery[redis]>=5 ; python_version > '3'\n--index-url https://index.example/simple\n";
    let requirements = found(&[
        ("requirements.txt", text),
        ("more/base.txt", "-r deeper.txt\nredis==5\n"),
        ("more/deeper.txt", "six==1.0\n-r base.txt\n"),
        ("constraints.txt", "urllib3==2.0\n"),
        ("packages/own/setup.py", ""),
        ("wheels/x-1.0.whl", ""),
        ("unrelated.txt", ""),
    ]);
    for name in ["django", "gunicorn", "redis", "six", "celery"] {
        assert!(requirements.packages.has(name), "{name}");
    }
    assert_eq!(requirements.unpinned, ["celery[redis]>=5 ; python_version > '3'"]);
    assert_eq!(
        paths(&requirements),
        [
            "constraints.txt",
            "more/base.txt",
            "more/deeper.txt",
            "packages/own/setup.py",
            "requirements.txt",
            "wheels/x-1.0.whl",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    let error = read_of(&[("requirements.txt", "-r nowhere.txt\n")]).unwrap_err();
    assert!(error.to_problem().title.contains("nowhere.txt"), "{error}");
    let error = read_of(&[("pyproject.toml", "[project]\nname = \n")]).unwrap_err();
    assert!(error.to_problem().title.contains("line 2"), "{}", error.to_problem().title);
    for name in ["poetry.lock", "Pipfile"] {
        let problem = read_of(&[(name, "")]).unwrap_err().to_problem();
        assert_eq!(problem.code, "recipe_unsupported");
        assert!(problem.title.contains(name) && problem.hint.contains("uv"), "{problem:?}");
    }
    assert_eq!(read_of(&[("main.go", "")]).unwrap(), None);
}
