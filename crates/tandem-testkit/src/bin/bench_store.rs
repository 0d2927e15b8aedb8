//! Measures the store: transactions a second with full sync, and how long it takes to open with thousands of releases.
//!
//! `bench_store FOLDER [RELEASES [LISTED]]`: fills a store in the folder, which should be on the disk that is meant. Listed are the
//! releases that are documents still; a server keeps 200 of each environment. Prints, asserts nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tandem_kit::clock::Clock;
use tandem_store::sqlite;
use tandem_store::sqlite::snapshots::{Reason, Snapshots};
use tandem_testkit::filled_store::{Filling, fill, write_one_by_one, write_together};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: bench_store FOLDER [RELEASES [LISTED]]")?);
    let mut number = || arguments.next().and_then(|text| text.to_str()?.parse().ok());
    let releases = number().unwrap_or(10_000);
    let listed = number().unwrap_or(releases);
    let database = folder.join("tandem.sqlite3");
    let clock = Clock::system();
    let start = clock.monotonic();
    fill(&database, Filling { releases, listed }).await?;
    let bytes = std::fs::metadata(&database)?.len();
    tell(&format!("filled with {releases} releases, {bytes} bytes"), since(&clock, start));
    for _ in 0..5 {
        let start = clock.monotonic();
        let store = sqlite::open(&database, clock.clone()).await?;
        tell("opened", since(&clock, start));
        let start = clock.monotonic();
        let all = store.list("").await?.documents.len();
        tell(&format!("read {all} documents"), since(&clock, start));
    }
    let store = sqlite::open(&database, clock.clone()).await?;
    for (what, number) in [("one by one", 500_u64), ("together", 5_000)] {
        let start = clock.monotonic();
        match what {
            "one by one" => write_one_by_one(&store, number).await?,
            _ => write_together(&store, number).await?,
        }
        let took = since(&clock, start);
        let rate = number as f64 / took.as_secs_f64();
        tell(&format!("{number} transactions {what}: {rate:.0} a second"), took);
    }
    let start = clock.monotonic();
    let taken = Snapshots::of(&database).take(Reason::Manual, "bench", clock.now())?;
    tell(&format!("a snapshot of {} bytes", taken.bytes), since(&clock, start));
    Ok(())
}

fn since(clock: &Clock, start: tandem_kit::clock::Moment) -> Duration {
    clock.monotonic().elapsed_since(start)
}

#[expect(clippy::print_stdout, reason = "a measuring program prints what it measured")]
fn tell(what: &str, took: Duration) {
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1_000.0);
}
