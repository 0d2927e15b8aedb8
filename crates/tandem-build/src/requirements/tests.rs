//! Declarations as people write them.

use tandem_blobs::BlobStore;

use super::*;

fn read_of(files: &[(&str, &str)]) -> Result<Option<Requirements>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    read(&Source::of(&store, files), &Options::default())
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
dependencies = [{ name = "django" }, { name = "common-parts" }]
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
    assert_eq!(
        found(&[("pyproject.toml", &with_python)]).requires_python,
        Some((">=3.12.1, <4".to_owned(), "pyproject.toml".to_owned()))
    );
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
        ("more/packages/own/setup.py", "another"),
        ("wheels/x-1.0.whl", ""),
        ("unrelated.txt", ""),
    ]);
    for name in ["django", "gunicorn", "redis", "six", "celery"] {
        assert!(requirements.packages.has(name), "{name}");
    }
    assert!(!requirements.packages.has("urllib3"), "a constraint installs nothing");
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
    let title = error.to_problem().title;
    assert!(title.contains("line 1 of requirements.txt names nowhere.txt"), "{title}");
    let error = read_of(&[("pyproject.toml", "[project]\nname = \n")]).unwrap_err();
    assert!(error.to_problem().title.contains("line 2"), "{}", error.to_problem().title);
    for name in ["poetry.lock", "Pipfile"] {
        let problem = read_of(&[(name, "")]).unwrap_err().to_problem();
        assert_eq!(problem.code, "recipe_unsupported");
        assert!(problem.title.contains(name) && problem.hint.contains("uv"), "{problem:?}");
    }
    assert_eq!(read_of(&[("main.go", "")]).unwrap(), None);
}

#[test]
fn what_only_poetry_reads_is_told_and_never_taken_for_nothing() {
    let poetry = "[tool.poetry.dependencies]\npython = \"^3.11\"\nflask = \"^3\"\n";
    for project in [poetry.to_owned(), format!("[project]\nname = \"shop\"\n{poetry}")] {
        let problem = read_of(&[("pyproject.toml", &project)]).unwrap_err().to_problem();
        assert_eq!(problem.title, "[tool.poetry.dependencies] in pyproject.toml is not read by Tandem");
        assert!(problem.hint.contains("`uvx migrate-to-uv`"), "{}", problem.hint);
    }
    let both = format!("[project]\nname = \"shop\"\ndependencies = [\"flask\"]\n{poetry}");
    assert!(found(&[("pyproject.toml", &both)]).packages.has("flask"));
    assert_eq!(
        read_of(&[("pyproject.toml", "[tool.poetry.dependencies]\npython = \"^3.11\"\n")]).unwrap(),
        None
    );
    assert!(found(&[("pyproject.toml", poetry), ("requirements.txt", "flask")]).packages.has("flask"));
}

#[test]
fn a_lock_of_another_tool_beside_what_is_read_is_told_with_what_makes_it_count() {
    let project = ("pyproject.toml", PROJECT);
    for (files, lock, hint) in [
        (vec![project, ("poetry.lock", "")], "poetry.lock", "uv lock"),
        (vec![project, ("pdm.lock", "")], "pdm.lock", "pdm export"),
        (vec![("requirements.txt", "django\n"), ("poetry.lock", "")], "poetry.lock", "poetry export"),
        (vec![("requirements.txt", "django\n"), ("Pipfile.lock", "")], "Pipfile.lock", "pipenv requirements"),
    ] {
        let requirements = found(&files);
        let [warning] = requirements.warnings.as_slice() else {
            panic!("{files:?}: {:?}", requirements.warnings)
        };
        assert!(
            warning.starts_with(&format!("{lock} is not read: what ")) && warning.contains(hint),
            "{warning}"
        );
        assert!(requirements.warnings().contains(warning) && requirements.notes.is_empty());
    }
    let exported = found(&[("requirements.txt", "django==5.2\n"), ("poetry.lock", "")]);
    assert_eq!(exported.warnings(), [""; 0]);
    assert_eq!(exported.notes, ["poetry.lock is not read: what requirements.txt says is installed"]);
}

#[test]
fn a_constraint_pins_what_others_name() {
    let files =
        [("requirements.txt", "-c bounds.txt\nDjango\ncelery\n"), ("bounds.txt", "django==5.2\ncelery>=5\n")];
    assert_eq!(found(&files).unpinned, ["celery"]);
}

#[test]
fn the_nearest_declaration_counts_and_the_lock_wins_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let near = |files: &[(&str, &str)], folder: &str| {
        let options = Options { folder, ..Options::default() };
        let found = read(&Source::of(&store, files), &options).unwrap().unwrap();
        (found.declared, found.folder, found.notes)
    };
    let lint = ("api/pyproject.toml", "[tool.ruff]\nline-length = 100\n");
    let (top, own) = (("requirements.txt", "flask==3.1\n"), ("api/requirements.txt", "django==5.2\n"));
    assert_eq!(near(&[top, own], "api"), (Declared::Requirements, "api".to_owned(), vec![]));
    assert_eq!(near(&[top, lint], "api/deep"), (Declared::Requirements, String::new(), vec![]));
    let (project, lock) = (("api/pyproject.toml", PROJECT), ("api/uv.lock", LOCK));
    let (declared, at, notes) = near(&[top, own, project, lock], "api");
    assert_eq!((declared, at.as_str()), (Declared::Lock, "api"));
    assert_eq!(
        notes,
        ["api/uv.lock and api/requirements.txt are both here: what api/uv.lock says is installed, \
          api/requirements.txt is not read"]
    );
    let (declared, _, notes) = near(&[top, own, project], "api");
    assert_eq!(declared, Declared::Requirements);
    assert!(notes[0].contains("api/pyproject.toml both name dependencies"), "{notes:?}");
    let workspace = ("pyproject.toml", "[tool.uv.workspace]\nmembers = [\"api\"]\n");
    let (declared, at, _) = near(&[top, project, workspace, ("uv.lock", LOCK)], "api");
    assert_eq!((declared, at.as_str()), (Declared::Lock, "api"), "the workspace's lock is the member's");
    assert_eq!(
        near(&[top, project, ("uv.lock", LOCK)], "api").0,
        Declared::Project,
        "that lock is another's"
    );
}

#[test]
fn a_requirements_file_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let files = [
        ("requirements/prod.txt", "-r base.txt\n./libs/own\n"),
        ("requirements/base.txt", "django==5.2\n"),
        ("libs/own/setup.py", ""),
    ];
    let source = Source::of(&store, &files);
    let options = Options { folder: "site", file: Some("requirements/prod.txt"), ..Options::default() };
    let found = read(&source, &options).unwrap().unwrap();
    assert_eq!((found.folder.as_str(), found.file.as_str()), ("", "requirements/prod.txt"));
    assert!(found.packages.has("django"));
    assert_eq!(paths(&found), ["libs/own/setup.py", "requirements/base.txt", "requirements/prod.txt"]);
    assert_eq!(found.unnamed, ["./libs/own"]);
    let options = Options { file: Some("nowhere.txt"), ..options };
    let title = read(&source, &options).unwrap_err().to_problem().title;
    assert!(title.contains("tandem.toml") && title.contains("nowhere.txt"), "{title}");
}

const EXTRAS: &str = r#"
[project]
name = "shop"
version = "1.0"
dependencies = ["django==5.2"]
[project.optional-dependencies]
s3 = ["boto3"]
mail = ["anymail==1"]
[dependency-groups]
prod = ["gunicorn==23.0", { include-group = "more_logs" }]
more-logs = ["structlog==24"]
dev = ["pytest"]
"#;

#[test]
fn extras_and_groups_are_those_of_the_project_and_nothing_elses() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let (extras, groups) = (vec!["S3".to_owned()], vec!["prod".to_owned()]);
    let options = Options { extras: &extras, groups: &groups, ..Options::default() };
    let of = |files: &[(&str, &str)], options: &Options<'_>| read(&Source::of(&store, files), options);
    let project = ("pyproject.toml", EXTRAS);
    let found = of(&[project], &options).unwrap().unwrap();
    assert_eq!((&found.extras[..], &found.groups[..]), (&["s3".to_owned()][..], &["prod".to_owned()][..]));
    for name in ["django", "boto3", "gunicorn", "structlog"] {
        assert!(found.packages.has(name), "{name}");
    }
    assert!(!found.packages.has("anymail") && !found.packages.has("pytest"));
    assert_eq!(found.unpinned, ["boto3"]);
    let unknown = vec!["s4".to_owned()];
    let title = of(&[project], &Options { extras: &unknown, ..options }).unwrap_err().to_problem().title;
    assert!(
        title.contains("\"s4\"")
            && title.ends_with("[project.optional-dependencies] in pyproject.toml has mail, s3"),
        "{title}"
    );
    let problem = of(&[("requirements.txt", "flask\n")], &options).unwrap_err().to_problem();
    assert_eq!(problem.code, "no_project", "{problem:?}");
    assert!(
        problem.title.contains("[build] extras") && problem.title.contains("requirements.txt"),
        "{problem:?}"
    );
}

#[test]
fn of_a_lock_only_what_is_installed_counts() {
    let lock = r#"
version = 1
requires-python = ">=3.12"
package = [
  { name = "shop", source = { virtual = "." }, dependencies = [{ name = "django", extra = ["argon2"] }], optional-dependencies = { s3 = [{ name = "boto3" }], mail = [{ name = "anymail" }] }, dev-dependencies = { dev = [{ name = "pytest" }], prod = [{ name = "gunicorn" }] } },
  { name = "django", dependencies = [{ name = "asgiref" }], optional-dependencies = { argon2 = [{ name = "argon2-cffi" }], bcrypt = [{ name = "bcrypt" }] } },
  { name = "asgiref" }, { name = "argon2-cffi" }, { name = "bcrypt" }, { name = "boto3" }, { name = "anymail" }, { name = "pytest" },
  { name = "gunicorn", source = { git = "https://example.org/gunicorn.git?rev=v1#0123" } },
]
"#;
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let files = [("pyproject.toml", EXTRAS), ("uv.lock", lock)];
    let (extras, groups) = (vec!["s3".to_owned()], vec!["prod".to_owned()]);
    let options = Options { extras: &extras, groups: &groups, ..Options::default() };
    let found = read(&Source::of(&store, &files), &options).unwrap().unwrap();
    for name in ["django", "asgiref", "argon2-cffi", "boto3", "gunicorn"] {
        assert!(found.packages.has(name), "{name}");
    }
    for name in ["bcrypt", "anymail", "pytest"] {
        assert!(!found.packages.has(name), "{name}");
    }
    assert_eq!(found.requires_python, Some((">=3.12".to_owned(), "uv.lock".to_owned())));
    let url = "https://example.org/gunicorn.git".to_owned();
    assert_eq!(found.repositories, [Repository { url, by: "pyproject.toml".to_owned() }]);
}

#[test]
fn repositories_are_known_by_the_line_that_asks_for_them() {
    let text = "django==5.2\n\nshop @ git+https://example.org/shop.git@v1#subdirectory=x\n\
                git+ssh://git@example.org/own.git#egg=own\n-e git+https://${TOKEN}@example.org/e\n";
    let found = found(&[("requirements.txt", text)]);
    let told: Vec<_> = found.repositories.iter().map(|one| (one.url.as_str(), one.by.as_str())).collect();
    assert_eq!(
        told,
        [
            ("https://example.org/shop.git", "requirements.txt:3"),
            ("ssh://git@example.org/own.git", "requirements.txt:4"),
            ("https://${TOKEN}@example.org/e", "requirements.txt:5"),
        ]
    );
    assert!(found.packages.has("shop") && found.packages.has("own"));
    assert_eq!(found.unpinned, ["ssh://git@example.org/own.git", "https://${TOKEN}@example.org/e"]);
}

#[test]
fn a_token_in_a_requirement_is_told_to_nobody() {
    let text = "a @ git+https://joe:s3cret@example.org/a.git@v1\nb@git+https://s3cret@example.org/b\n\
                git+ssh://git:s3cret@example.org/c#egg=c\nd @ git+https://s3cret:${X}@example.org/d\n";
    let project = "[project]\nname = \"shop\"\ndependencies = [\"a\", \"b @ git+https://s3cret@example.org/b\"]\n\
        [tool.uv.sources]\na = { git = \"https://s3cret@example.org/a\" }\n";
    let lock = "[[package]]\nname = \"a\"\nsource = { git = \"https://s3cret@example.org/a?rev=v1#1\" }\n";
    for files in [
        vec![("requirements.txt", text)],
        vec![("pyproject.toml", project)],
        vec![("pyproject.toml", project), ("uv.lock", lock)],
    ] {
        let found = found(&files);
        let told = format!("{:?} {:?}", found.repositories, found.warnings());
        assert!(told.contains("https://****@example.org/a") && !told.contains("s3cret"), "{told}");
    }
    let hosts: Vec<_> =
        found(&[("requirements.txt", text)]).repositories.into_iter().map(|one| one.url).collect();
    assert_eq!(hosts[2..], ["ssh://****@example.org/c", "https://${X}@example.org/d"]);
}

#[test]
fn what_follows_a_branch_is_not_pinned() {
    let text = "a @ git+https://h/a.git@main\nb @ git+https://h/b\nc @ git+https://h/c@v1.2\ngit+ssh://git@h/d@0a1b2c3\n";
    assert_eq!(found(&[("requirements.txt", text)]).unpinned, ["https://h/a.git@main", "https://h/b"]);
    let project = "[project]\nname = \"x\"\ndependencies = [\"a\", \"b\", \"c @ git+https://h/c\"]\n[tool.uv.sources]\n\
                   a = { git = \"https://h/a\", branch = \"next\" }\nb = { git = \"https://h/b\", tag = \"x\" }\n";
    assert_eq!(found(&[("pyproject.toml", project)]).unpinned, ["https://h/a", "https://h/c"]);
}
