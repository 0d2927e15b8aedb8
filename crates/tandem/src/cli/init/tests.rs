//! What is written for the kinds of apps there are: golden files, and that they mean what was found.

use std::path::Path;

use tandem_app_file as app_file;
use tandem_kit::clock::Clock;

use super::*;

const DJANGO: &[(&str, &str)] = &[
    ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"),
    ("shop/__init__.py", ""),
    ("shop/settings.py", "DEBUG = False\n"),
    (
        "shop/wsgi.py",
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\napplication = None\n",
    ),
    ("requirements.txt", "django==5.1\ngunicorn==23.0.0\n"),
];
/// Below a folder, with what only its settings and other files say.
const SITE: &[(&str, &str)] = &[
    ("site/manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"),
    ("site/shop/__init__.py", ""),
    (
        "site/shop/settings.py",
        "DATABASES = {'default': {'NAME': BASE_DIR / 'db.sqlite3'}}\nMEDIA_ROOT = os.path.join(BASE_DIR, 'media')\n",
    ),
    ("site/shop/wsgi.py", "application = None\n"),
    (".python-version", "3.11\n"),
    ("requirements.txt", "django==5.1\ngunicorn==23.0.0\n"),
];
const FLASK: &[(&str, &str)] = &[
    ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
    ("requirements.txt", "flask==3.0.0\ngunicorn==23.0.0\n"),
    ("Procfile", "web: gunicorn app:app --bind 127.0.0.1:$PORT\n"),
    ("static/style.css", "a {}\n"),
];
const NODE: &[(&str, &str)] = &[
    (
        "package.json",
        "{\"name\": \"chat\", \"scripts\": {\"start\": \"node server.js\"}, \"engines\": {\"node\": \">=18\"}}\n",
    ),
    ("package-lock.json", "{\"name\": \"chat\", \"lockfileVersion\": 3, \"packages\": {}}\n"),
    ("server.js", "require('http')\n"),
    ("Procfile", "web: npm start\n"),
];
const PROCFILE: &[(&str, &str)] = &[(
    "Procfile",
    "release: ./migrate --note 'it\\'s late'\nweb: python3 -m http.server $PORT\nworker: ./work \"a b\"\nclock: ./tick\n",
)];

fn write(folder: &Path, sources: &[(&str, &str)]) {
    for (path, text) in sources {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
        files::write_atomic_unsynced(&path, text.as_bytes(), 0o644).expect("a new file");
    }
}

fn look(folder: &Path) -> Detected {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    detect(folder, scratch.path(), &Clock::system()).expect("an app")
}

/// The text, behind what is told.
fn written(sources: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), sources);
    let detected = look(folder.path());
    let text = text::of(&"shop".parse().expect("a name"), &detected);
    app_file::parse(&text).expect("it is an app file as it stands");
    let bare: String = text.lines().map(|line| uncommented(line) + "\n").collect();
    let whole = app_file::parse(&bare);
    assert!(whole.is_ok(), "with every # taken away it is none: {whole:?}\n{bare}");
    for (name, process) in &detected.spec.processes {
        let entry = &whole.as_ref().expect("checked").processes[name];
        assert_eq!(entry.command.as_deref(), Some(process.command.as_str()));
    }
    format!("{}\n---\n{text}", found::lines(&detected).join("\n"))
}

/// A person who takes the # of every key away; those before words stay.
fn uncommented(line: &str) -> String {
    let Some(rest) = line.strip_prefix("# ") else { return line.to_owned() };
    let is_key = rest.starts_with('[') || rest.split(' ').nth(1) == Some("=");
    if is_key { rest.to_owned() } else { line.to_owned() }
}

#[test]
fn a_django_project_gets_its_settings_server_and_migrations() {
    insta::assert_snapshot!(written(DJANGO));
}

#[test]
fn a_site_in_a_subfolder_keeps_its_working_folder_whichever_line_is_taken() {
    insta::assert_snapshot!(written(SITE));
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), SITE);
    let text = text::of(&"shop".parse().expect("a name"), &look(folder.path()));
    for line in text.lines().filter(|line| uncommented(line) != *line) {
        let (mut one, mut table) = (String::new(), "");
        for other in text.lines() {
            let bare = uncommented(other);
            if other != bare && bare.starts_with('[') {
                table = other;
            }
            // A key is of no use without the table that it is in.
            let is_taken = other == line || (other == table && line_is_in(&text, table, line));
            one += &(if is_taken { bare } else { other.to_owned() } + "\n");
        }
        let file = app_file::parse(&one).unwrap_or_else(|error| panic!("{error}\n{one}"));
        assert_eq!(file.root.as_deref(), Some("site"), "{line}");
    }
}

/// Whether a key of the text is behind the head of a table and before that of the next.
fn line_is_in(text: &str, table: &str, line: &str) -> bool {
    let behind = text.lines().skip_while(|other| *other != table).skip(1);
    behind.take_while(|other| !other.starts_with("# [")).any(|other| other == line)
}

#[test]
fn a_flask_app_gets_what_its_procfile_says() {
    insta::assert_snapshot!(written(FLASK));
}

#[test]
fn a_node_app_gets_its_start() {
    insta::assert_snapshot!(written(NODE));
}

#[test]
fn a_procfile_with_quotes_is_written_so_that_it_means_the_same() {
    insta::assert_snapshot!(written(PROCFILE));
}

#[test]
fn what_is_found_does_not_depend_on_the_file_that_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), DJANGO);
    let before = look(folder.path());
    write(folder.path(), &[("tandem.toml", "app = \"other\"\n[processes.web]\ncommand = \"./other\"\n")]);
    assert_eq!(look(folder.path()), before);
}
