"""Settings of the guestbook; everything that differs between machines comes from the environment.

| variable        | meaning                                                   | when absent                        |
|-----------------|-----------------------------------------------------------|------------------------------------|
| `SECRET_KEY`    | signs cookies and form tokens                             | nothing starts; see below          |
| `ALLOWED_HOSTS` | host names that are answered, separated by commas         | `guestbook.localhost`, `localhost` |
| `DATABASE_URL`  | PostgreSQL                                                | SQLite in `DATA_DIR`               |
| `DATA_DIR`      | folder of the SQLite file                                 | the volume `data`, or this folder  |
| `EMAIL_HOST`    | mail server for notifications                             | mail is printed to the log         |
| `OWNER_EMAIL`   | who is told of new entries                                | `owner@guestbook.localhost`        |
| `DEBUG`         | `1` for development: error pages, static files unhashed   | off                                |
"""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from guestbook.database import postgresql, sqlite

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG") == "1"
COMMAND = sys.argv[1] if len(sys.argv) > 1 else ""
TESTING = COMMAND == "test"

# `collectstatic` signs nothing, and a build has no secrets; development and tests have nothing to protect.
# Everything else stops here without a key: a key that the whole world can read is worse than no page.
SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not SECRET_KEY and (DEBUG or TESTING or COMMAND == "collectstatic"):
    SECRET_KEY = "insecure-development-key"
if not SECRET_KEY:
    raise ImproperlyConfigured("set SECRET_KEY, or DEBUG=1 for development")

ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "guestbook.localhost,localhost").split(",")

# The balancer sets this header on every request, so a client cannot forge it, and it hands the `Host` header on as it
# came, so `USE_X_FORWARDED_HOST` stays off.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "entries",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "guestbook.urls"
WSGI_APPLICATION = "guestbook.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "entries.context_processors.release",
            ],
        },
    },
]

DATA_DIR = Path(os.environ.get("DATA_DIR") or os.environ.get("TANDEM_VOLUME_DATA") or BASE_DIR)
DATABASE_URL = os.environ.get("DATABASE_URL")
DATABASES = {"default": postgresql(DATABASE_URL) if DATABASE_URL else sqlite(DATA_DIR / "guestbook.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Names with a hash of the content may be cached for ever, and old pages find old files after a deploy.
HASHED_NAMES = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
PLAIN_NAMES = "django.contrib.staticfiles.storage.StaticFilesStorage"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": PLAIN_NAMES if DEBUG or TESTING else HASHED_NAMES},
}

EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
DEFAULT_FROM_EMAIL = "guestbook@guestbook.localhost"
OWNER_EMAIL = os.environ.get("OWNER_EMAIL", "owner@guestbook.localhost")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain",
            # The tests make things fail on purpose.
            "level": "CRITICAL" if TESTING else "INFO",
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    # Django's own handler prints nothing without DEBUG; the root's prints always, and once is enough.
    "loggers": {"django": {"handlers": [], "level": "INFO"}},
}
