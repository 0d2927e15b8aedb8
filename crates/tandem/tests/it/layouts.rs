//! Apps that say nothing of Tandem, as their authors laid them out.

use std::path::Path;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;

use crate::TANDEM;

const MANAGE: &str = "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n\
    from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n";
const SETTINGS: &str = "import os\nfrom pathlib import Path\nBASE_DIR = Path(__file__).resolve().parent.parent\n\
    SECRET_KEY = os.environ.get('SECRET_KEY', 'x')\nALLOWED_HOSTS = ['.localhost']\nROOT_URLCONF = 'shop.urls'\n\
    INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth']\n\
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/data/db.sqlite3'}}\n";
const URLS: &str = "from django.http import HttpResponse\nfrom django.urls import path\n\
    urlpatterns = [path('', lambda request: HttpResponse('django below'))]\n";
const WSGI: &str =
    "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";

fn app(name: &str, files: &[(&str, &str)]) -> AppFolder {
    let folder = AppFolder::empty(name);
    files.iter().for_each(|(path, text)| folder.write(path, text));
    folder
}

fn deploy(installation: &Installation, folder: &AppFolder, more: &[&str]) -> String {
    let path = folder.path().to_str().expect("a plain path");
    let arguments = [&["deploy", path][..], more].concat();
    installation.tandem(arguments).expect_success().stderr
}

#[test]
fn flask_and_fastapi_apps_get_up_without_a_word() {
    let installation = Installation::start(TANDEM);
    let flask = app(
        "flask",
        &[
            ("requirements.txt", "flask==3.1.2\n"),
            (
                "app.py",
                "from flask import Flask\napp = Flask(__name__)\n\n@app.get('/')\ndef index():\n    return 'flask here'\n",
            ),
        ],
    );
    let told = deploy(&installation, &flask, &[]);
    assert!(told.contains("note: gunicorn 23.0.0 serves this app"), "{told}");
    assert_eq!(installation.site("flask.localhost").text("/"), "flask here");
    let shown = installation.tandem(["release", "show", "r1", "--app", "flask"]).expect_success().stdout;
    assert!(shown.contains("note: gunicorn 23.0.0"), "{shown}");

    let fastapi = app(
        "fast",
        &[
            ("requirements.txt", "fastapi==0.121.0\n"),
            ("shop/__init__.py", ""),
            (
                "shop/main.py",
                "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/')\nasync def index():\n    return 'fast here'\n",
            ),
        ],
    );
    deploy(&installation, &fastapi, &[]);
    assert_eq!(installation.site("fast.localhost").text("/"), "\"fast here\"");
    installation.finish();
}

#[test]
fn a_node_app_is_started_by_npm() {
    if !Path::new("/usr/bin/npm").exists() {
        return;
    }
    let installation = Installation::start(TANDEM);
    let server = "require('http').createServer((request, response) => response.end(`node ${process.env.NODE_ENV}`))\n\
        .listen(process.env.PORT, '127.0.0.1');\n";
    let node = app(
        "node",
        &[
            (
                "package.json",
                "{\"name\": \"x\", \"engines\": {\"node\": \">=16\"}, \"scripts\": {\"start\": \"node server.js\"}}",
            ),
            ("server.js", server),
        ],
    );
    deploy(&installation, &node, &[]);
    assert_eq!(installation.site("node.localhost").text("/"), "node production");
    installation.finish();
}

#[test]
fn a_site_in_a_subfolder_and_one_of_two_apps_get_up() {
    let installation = Installation::start(TANDEM);
    let files = [
        ("requirements.txt", "django==5.2.8\n"),
        ("site/manage.py", MANAGE),
        ("site/shop/__init__.py", ""),
        ("site/shop/settings.py", SETTINGS),
        ("site/shop/urls.py", URLS),
        ("site/shop/wsgi.py", WSGI),
        // As people write it who cannot answer questions.
        (
            "tandem.toml",
            "[volumes]\ndata = \"/data\"\n[release]\ncommand = \"yes | python manage.py migrate\"\n",
        ),
        (
            "api/tandem.toml",
            "app = \"api\"\n[processes.web]\ncommand = \"python3 -m http.server $PORT --bind 127.0.0.1\"\n",
        ),
        ("api/index.html", "the other"),
    ];
    let repository = app("mono", &files);
    deploy(&installation, &repository, &[]);
    assert_eq!(installation.site("mono.localhost").text("/"), "django below");
    deploy(&installation, &repository, &["--root", "api"]);
    assert_eq!(installation.site("api.localhost").text("/"), "the other");
    installation.finish();
}
