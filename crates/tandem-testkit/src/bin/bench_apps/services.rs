//! What apps need beside them: PostgreSQL and Redis, real ones.

use std::net::{TcpListener, TcpStream};
use std::path::Path;

use anyhow::Context as _;
use tandem_testkit::bench::record::Record;
use tandem_testkit::postgres::{PASSWORD, Postgres};
use tandem_testkit::program::Running;
use tandem_testkit::wait::eventually;

/// Both, until this is dropped.
#[derive(Debug)]
pub(crate) struct Services {
    postgres: Postgres,
    redis: u16,
    _redis: Running,
}

impl Services {
    /// Starts both on free ports.
    pub(crate) fn start(record: &Record, scratch: &Path) -> anyhow::Result<Self> {
        let postgres = Postgres::start();
        let redis = TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?.port();
        let port = redis.to_string();
        let words = ["redis-server", "--bind", "127.0.0.1", "--port", &port, "--save", ""];
        std::fs::create_dir_all(scratch).context("make the folder of the benchmark")?;
        let program = Record::gate().arguments(words).folder(scratch).output(&scratch.join("redis.log"));
        let running = record.start("Redis", program)?;
        eventually("Redis takes connections", || TcpStream::connect(("127.0.0.1", redis)).ok());
        Ok(Self { postgres, redis, _redis: running })
    }

    /// An empty database for an app, unless it has one.
    pub(crate) fn database_of(&self, app: &str) {
        self.postgres.create(app);
    }

    /// A config value with its places filled in: `{database}`, `{database-port}`, `{password}`, `{redis}`.
    pub(crate) fn fill_in(&self, value: &str, app: &str) -> String {
        let port = self.postgres.port().to_string();
        let values = [
            ("{database}", self.postgres.url(app)),
            ("{database-port}", port),
            ("{password}", PASSWORD.to_owned()),
            ("{redis}", format!("redis://127.0.0.1:{}", self.redis)),
        ];
        values.iter().fold(value.to_owned(), |value, (place, with)| value.replace(place, with))
    }
}
