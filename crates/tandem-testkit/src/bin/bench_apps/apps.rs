//! The apps: where they come from, and what they are told. What they are given besides their source is in
//! `docs/apps/NAME.toml`; docs/apps.md tells what each of them stumbled over.

/// A public app.
#[derive(Debug)]
pub(crate) struct App {
    /// Its name in Tandem, that of its work tree, and that of its database.
    pub(crate) name: &'static str,
    /// Where it is published: `owner/name` at GitHub.
    pub(crate) repository: &'static str,
    /// What was measured.
    pub(crate) commit: &'static str,
    /// Its `tandem.toml`.
    pub(crate) file: &'static str,
    /// Config values; see [`crate::services::Services::fill_in`].
    pub(crate) config: &'static [(&'static str, &'static str)],
    /// A page that whoever is not logged in may ask for.
    pub(crate) page: &'static str,
    /// A file of its code that gets one more line.
    pub(crate) changed: &'static str,
}

/// All of them.
pub(crate) const APPS: &[App] = &[
    App {
        name: "microblog",
        repository: "miguelgrinberg/microblog",
        commit: "a975ef64864354867c88e0ed3a17ba7d17dca752",
        file: include_str!("../../../../../docs/apps/microblog.toml"),
        config: &[
            ("DATABASE_URL", "{database}"),
            ("REDIS_URL", "{redis}/0"),
            ("LOG_TO_STDOUT", "1"),
            ("FLASK_DEBUG", "0"),
            ("SECRET_KEY", "{password}"),
        ],
        page: "/auth/login",
        changed: "app/main/routes.py",
    },
    App {
        name: "ctfd",
        repository: "CTFd/CTFd",
        commit: "91ced62d44d3ec3142a0948ee96ed19947cfc979",
        file: include_str!("../../../../../docs/apps/ctfd.toml"),
        config: &[
            ("DATABASE_URL", "{database}"),
            ("REDIS_URL", "{redis}/1"),
            ("SECRET_KEY", "{password}"),
            ("UPLOAD_FOLDER", "/uploads"),
            ("LOG_FOLDER", "/tmp"),
            ("REVERSE_PROXY", "true"),
        ],
        page: "/setup",
        changed: "CTFd/views.py",
    },
    App {
        name: "babybuddy",
        repository: "babybuddy/babybuddy",
        commit: "fa8bf4cd66ed149e23c215763a49a2f76dbcd2b7",
        file: include_str!("../../../../../docs/apps/babybuddy.toml"),
        config: &[("DATABASE_URL", "{database}")],
        page: "/login/",
        changed: "core/views.py",
    },
    App {
        name: "healthchecks",
        repository: "healthchecks/healthchecks",
        commit: "29b5ec251059034b79e0120e2ff0c3e35d7bd9f8",
        file: include_str!("../../../../../docs/apps/healthchecks.toml"),
        config: &[
            ("DB", "postgres"),
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", "{database-port}"),
            ("DB_NAME", "healthchecks"),
            ("DB_USER", "tandem"),
            ("DB_PASSWORD", "{password}"),
            ("SECRET_KEY", "{password}"),
            ("DEBUG", "False"),
            ("SITE_ROOT", "http://healthchecks.localhost"),
        ],
        page: "/accounts/login/",
        changed: "hc/front/views.py",
    },
    App {
        name: "linkding",
        repository: "sissbruecker/linkding",
        commit: "65813a75404b1319aca8b09700fadc0b15adabaf",
        file: include_str!("../../../../../docs/apps/linkding.toml"),
        config: &[
            ("LD_DB_ENGINE", "postgres"),
            ("LD_DB_HOST", "127.0.0.1"),
            ("LD_DB_PORT", "{database-port}"),
            ("LD_DB_DATABASE", "linkding"),
            ("LD_DB_USER", "tandem"),
            ("LD_DB_PASSWORD", "{password}"),
        ],
        page: "/login/",
        changed: "bookmarks/views/bookmarks.py",
    },
    App {
        name: "bakerydemo",
        repository: "wagtail/bakerydemo",
        commit: "8e2b625755d8942412d5b7627b146a795933b8b2",
        file: include_str!("../../../../../docs/apps/bakerydemo.toml"),
        config: &[
            ("DATABASE_URL", "{database}"),
            ("REDIS_URL", "{redis}"),
            ("DJANGO_SECRET_KEY", "{password}"),
            ("SECURE_SSL_REDIRECT", "False"),
        ],
        page: "/",
        changed: "bakerydemo/base/models.py",
    },
    App {
        name: "fastapi",
        repository: "fastapi/full-stack-fastapi-template",
        commit: "68adb40d37425f6f8668ec7e5a054500d045e43e",
        file: include_str!("../../../../../docs/apps/fastapi.toml"),
        config: &[
            ("PROJECT_NAME", "Tandem"),
            ("DATABASE_URL", "{database}"),
            ("SECRET_KEY", "{password}"),
            ("FIRST_SUPERUSER", "admin@example.com"),
            ("FIRST_SUPERUSER_PASSWORD", "{password}"),
        ],
        page: "/",
        changed: "backend/app/api/main.py",
    },
    App {
        name: "uptime-kuma",
        repository: "louislam/uptime-kuma",
        commit: "6398a9581d1c3c427a7536559f47ccf45dac08b4",
        file: include_str!("../../../../../docs/apps/uptime-kuma.toml"),
        config: &[("UPTIME_KUMA_DB_TYPE", "sqlite")],
        page: "/dashboard",
        changed: "server/routers/api-router.js",
    },
];
