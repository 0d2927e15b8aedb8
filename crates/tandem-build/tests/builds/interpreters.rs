//! Which Python a build takes: asked for by several files, found in several places, or fetched.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tandem_build::{BuilderConfig, interpreter_path};
use tandem_kit::files;
use tandem_sandbox::tool::Tool;
use tandem_types::Span;
use tandem_types::instance::Isolation;
use tandem_types::tree::Entry;

use crate::bench::Bench;

/// Prints folder of the standard library, `3.11` and `3.11.2`.
const ASK: &str = "import os, platform; v = platform.python_version(); print(os.path.dirname(os.__file__), v.rsplit('.', 1)[0], v)";
/// What no app of these tests imports, and most of what there is.
const NOT_NEEDED: [&str; 8] =
    ["test", "idlelib", "lib2to3", "tkinter", "ensurepip", "pydoc_data", "dist-packages", "__pycache__"];

/// The machine's interpreter, laid out so that it runs from any folder, as the builds are that uv fetches.
struct Relocatable {
    minor: String,
    version: String,
}

impl Relocatable {
    /// Copies it to a folder, with a file of its own in its library to know it by.
    async fn copy_to(folder: &Path) -> Self {
        let output =
            Tool::new("/usr/bin/python3").args(["-I", "-c", ASK]).run_ok(Span::seconds(30)).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let [library, minor, version] = text.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        fs::create_dir_all(folder.join("bin")).unwrap();
        let name = format!("python{minor}");
        fs::copy(fs::canonicalize("/usr/bin/python3").unwrap(), folder.join("bin").join(&name)).unwrap();
        let lib = folder.join("lib").join(&name);
        copy(Path::new(library), &lib);
        files::write_atomic_unsynced(&lib.join("only_here.py"), b"x = 1\n", 0o644).unwrap();
        Self { minor: minor.to_owned(), version: version.to_owned() }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if NOT_NEEDED.iter().any(|left_out| name == *left_out)
            || name.to_string_lossy().starts_with("config-")
        {
            continue;
        }
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            // Some lead to files that are not installed.
            false => drop(fs::copy(&path, to.join(name))),
        }
    }
}

/// A bench whose machine has no Python of its own.
async fn without_python() -> Bench {
    Bench::with(|config| config.python_folders = Vec::new()).await
}

/// A source whose dependency is only built by the interpreter that has the file.
fn write_source(bench: &Bench) {
    bench.write("Procfile", "web: python -m http.server $PORT\n");
    bench.write("app.py", "import only_here\n");
    bench.write("requirements.txt", "./own\n");
    bench.write("own/pyproject.toml", "[project]\nname = \"own\"\nversion = \"1\"\n[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n");
    bench.write("own/backend.py", &wheel_builder("import only_here"));
}

/// A backend that makes the wheel `own-1` after it ran this.
pub(crate) fn wheel_builder(first: &str) -> String {
    format!(
        "{first}\nimport zipfile\n\
         def build_wheel(folder, *arguments):\n\
         \x20   with zipfile.ZipFile(f'{{folder}}/own-1-py3-none-any.whl', 'w') as z:\n\
         \x20       z.writestr('own.py', 'x = 1\\n')\n\
         \x20       z.writestr('own-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n')\n\
         \x20       z.writestr('own-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         \x20       z.writestr('own-1.dist-info/RECORD', '')\n\
         \x20   return 'own-1-py3-none-any.whl'\n"
    )
}

/// Where builds and instances see Tandem's own interpreters.
fn seen(bench: &Bench, name: &str, minor: &str) -> String {
    let folder = match bench.isolation() {
        Isolation::Sandbox => PathBuf::from("/opt/tandem/python"),
        Isolation::Plain => bench.pythons(),
    };
    folder.join(name).join("bin").join(format!("python{minor}")).display().to_string()
}

#[tokio::test]
async fn an_interpreter_of_tandems_own_folder_builds_and_is_recorded_as_apps_see_it() {
    let bench = without_python().await;
    let python = Relocatable::copy_to(&bench.pythons().join("our-own")).await;
    write_source(&bench);
    bench.write(".python-version", &format!("{}\n", python.minor));
    let build = bench.build().await.unwrap();
    let path = seen(&bench, "our-own", &python.minor);
    assert_eq!(build.interpreter, Some(format!("CPython {} {path}", python.version)));
    let dependencies = build.subtrees.iter().find(|part| part.name == "dependencies").unwrap();
    let link = bench.store.lookup(&dependencies.tree, "bin/python").unwrap();
    assert_eq!(link, Some(Entry::Link { target: interpreter_path(&build).unwrap().to_owned() }));
    assert_eq!(
        build.packages.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>(),
        ["own 1"]
    );
}

#[tokio::test]
async fn an_interpreter_that_is_not_here_is_fetched_by_uv_from_where_the_administrator_says() {
    let mirror = tempfile::tempdir().unwrap();
    let python = Relocatable::copy_to(&mirror.path().join("python")).await;
    let archive = mirror.path().join("cpython.tar.gz");
    let tar = Tool::new("tar")
        .args(["-C", &mirror.path().display().to_string(), "-czf"])
        .arg(&archive)
        .arg("python");
    tar.run_ok(Span::minutes(1)).await.unwrap();
    let numbers: Vec<u32> = python.version.split('.').map(|number| number.parse().unwrap()).collect();
    let key = format!("cpython-{}-linux-{}-gnu", python.version, std::env::consts::ARCH);
    let list = json!({ key: {
        "name": "cpython", "arch": { "family": std::env::consts::ARCH, "variant": null }, "os": "linux", "libc": "gnu",
        "major": numbers[0], "minor": numbers[1], "patch": numbers[2], "prerelease": "", "variant": null, "build": "1",
        "url": format!("file://{}", archive.display()), "sha256": null,
    }});
    let listed = mirror.path().join("downloads.json");
    files::write_atomic_unsynced(&listed, list.to_string().as_bytes(), 0o644).unwrap();
    let set_up = |config: &mut BuilderConfig| {
        let said = ("UV_PYTHON_DOWNLOADS_JSON_URL".to_owned(), listed.display().to_string());
        config.network = [said].into_iter().collect();
        config.python_folders = Vec::new();
    };
    let bench = Bench::with(set_up).await;
    write_source(&bench);
    bench.write("runtime.txt", &format!("python-{}.99\n", python.minor));
    let build = bench.build().await.unwrap();
    assert_eq!(bench.note("python"), "fetched");
    let name = format!("cpython-{}-linux-{}-gnu", python.version, std::env::consts::ARCH);
    assert_eq!(interpreter_path(&build), Some(seen(&bench, &name, &python.minor).as_str()));
    assert_eq!(build.notes.len(), 1, "{:?}", build.notes);
    assert!(
        build.notes[0].contains("runtime.txt asks for") && build.notes[0].contains(".99"),
        "{:?}",
        build.notes
    );
    bench.write("app.py", "import only_here, os\n");
    bench.build().await.unwrap();
    assert_eq!(bench.note("dependencies"), "1 package, cached");
}

#[tokio::test]
async fn a_python_that_nobody_has_is_told_with_who_asks_what_is_here_and_what_to_type() {
    // A list that cannot be had at once: no server is asked.
    let nowhere = ("UV_PYTHON_DOWNLOADS_JSON_URL".to_owned(), "/nowhere/downloads.json".to_owned());
    let bench = Bench::with(|config| config.network = [nowhere].into_iter().collect()).await;
    write_source(&bench);
    bench.write(
        "pyproject.toml",
        "[project]\nname = \"shop\"\nversion = \"1\"\nrequires-python = \">=3.40\"\n",
    );
    let problem = bench.build().await.unwrap_err().to_problem();
    assert_eq!((problem.code.as_str(), problem.status), ("python_missing", 422), "{problem:?}");
    assert!(
        problem.title.contains(">=3.40") && problem.title.contains("requires-python in pyproject.toml"),
        "{problem:?}"
    );
    assert!(problem.detail.starts_with("there is: /usr/bin/python3."), "{problem:?}");
    assert!(problem.detail.contains("uv was asked to fetch one: "), "{problem:?}");
    let line = format!("python install --no-bin --install-dir {} '>=3.40'", bench.pythons().display());
    assert!(problem.hint.contains(&line), "{problem:?}");
    bench.write(".python-version", "2.7.18\n");
    let problem = bench.build().await.unwrap_err().to_problem();
    assert!(problem.title.contains("2.7.18") && problem.title.contains(".python-version"), "{problem:?}");
    assert!(problem.detail.contains("there never was such a Python 3"), "{problem:?}");
}
