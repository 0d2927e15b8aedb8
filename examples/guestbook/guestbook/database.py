"""Turns a database URL into an entry of Django's `DATABASES`."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit


def sqlite(path: Path) -> dict:
    """A SQLite file that several processes may write to at once.

    Two releases share the file while a deploy moves traffic from one to the other, so readers must not
    block writers (WAL), a transaction takes the write lock when it begins instead of failing half way
    (IMMEDIATE), and whoever finds the lock taken waits for it.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        },
    }


def postgresql(url: str) -> dict:
    """PostgreSQL at `postgres://user:password@host:port/name?option=value`."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError(f"DATABASE_URL begins with {parts.scheme!r}; expected postgres or postgresql")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": dict(parse_qsl(parts.query)),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
