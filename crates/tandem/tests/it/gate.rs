//! What a real Django project is kept out of the traffic for, and the words that it gets.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;

use crate::TANDEM;
use crate::screen::current;

const SETTINGS: &str = "\
import os
from .mode import *
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get('SECRET_KEY', 'x')
ROOT_URLCONF = 'shop.urls'
MIDDLEWARE = ['django.middleware.security.SecurityMiddleware', 'django.middleware.common.CommonMiddleware']
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth', 'django.contrib.staticfiles']
STATIC_URL = '/static/'
STATICFILES_DIRS = [BASE_DIR / 'assets']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/data/db.sqlite3'}}
";
const URLS: &str = "\
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

def index(request):
    if settings.IS_BROKEN:
        raise RuntimeError('the moon is missing')
    return HttpResponse('in good order')

urlpatterns = [path('', index)]
";
const MANAGE: &str = "\
import os, sys
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
";
const WSGI: &str = "\
import os
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
";
/// Django's own server trusts no proxy; gunicorn would tell it of https by itself.
const APP: &str = "\
[volumes]
data = '/data'
[processes.web]
command = 'python manage.py runserver --noreload 127.0.0.1:$PORT'
";

/// What the settings begin with.
fn mode(hosts: &str, redirects: bool, is_broken: bool) -> String {
    let word = |is: bool| if is { "True" } else { "False" };
    format!(
        "DEBUG = False\nALLOWED_HOSTS = ['{hosts}']\nSECURE_SSL_REDIRECT = {}\nIS_BROKEN = {}\n",
        word(redirects),
        word(is_broken)
    )
}

fn site() -> AppFolder {
    let folder = AppFolder::empty("shop");
    for (path, text) in [
        ("tandem.toml", APP),
        ("requirements.txt", "django==5.2.8\n"),
        ("manage.py", MANAGE),
        ("assets/site.css", "body { color: teal }\n"),
        ("shop/__init__.py", ""),
        ("shop/mode.py", &mode(".localhost", false, false)),
        ("shop/settings.py", SETTINGS),
        ("shop/urls.py", URLS),
        ("shop/wsgi.py", WSGI),
    ] {
        folder.write(path, text);
    }
    folder
}

#[test]
fn a_django_project_that_cannot_serve_is_kept_out_and_told_the_setting() {
    let installation = Installation::start(TANDEM);
    let folder = site();
    let path = folder.path().to_str().expect("a plain path").to_owned();
    installation.deploy(folder.path());
    let site = installation.site("shop.localhost");
    assert_eq!(site.text("/"), "in good order");
    assert_eq!(site.text("/static/site.css"), "body { color: teal }\n");
    for (mode, words) in [
        (
            mode("shop.example", false, false),
            &["400", "add \"shop.localhost\" to ALLOWED_HOSTS in the settings"][..],
        ),
        (mode(".localhost", true, false), &["redirects to https", "SECURE_PROXY_SSL_HEADER"]),
    ] {
        folder.write("shop/mode.py", &mode);
        let refused = installation.tandem(["deploy", &path]).expect_code(1);
        for words in words {
            assert!(refused.stderr.contains(words), "{words:?} is missing in {refused}");
        }
        assert_eq!(current(&installation, "shop"), "r1");
        assert_eq!(site.text("/"), "in good order", "the old release serves");
    }
    // With the setting that was named it is let in; without https it sends everybody there.
    let proxied = "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n";
    folder.write("shop/mode.py", &(mode(".localhost", true, false) + proxied));
    installation.deploy(folder.path());
    assert_eq!(current(&installation, "shop"), "r4");
    installation.finish();
}

/// An app may need its whole minute, so this takes one.
mod long {
    use super::*;

    #[test]
    fn a_django_project_of_which_every_page_fails_is_kept_out() {
        let installation = Installation::start(TANDEM);
        let folder = site();
        let path = folder.path().to_str().expect("a plain path").to_owned();
        installation.deploy(folder.path());
        folder.write("shop/mode.py", &mode(".localhost", false, true));
        let refused = installation.tandem(["deploy", &path]).expect_code(1);
        assert!(refused.stderr.contains("GET / answered 500"), "{refused}");
        assert!(!refused.stderr.contains("must listen"), "{refused}");
        assert_eq!(current(&installation, "shop"), "r1");
        assert_eq!(installation.site("shop.localhost").text("/"), "in good order", "the old release serves");
        installation.finish();
    }
}
