//! The figures as a page.

use tandem_testkit::bench::tables::{section, spread, table};

use crate::apps::App;
use crate::measure::{Measured, Steps};

pub(crate) fn page(machine: &str, results: &[(&App, Measured)]) -> String {
    let head = format!(
        "# What public apps cost\n\n{machine}\n\nWritten by `make bench-apps`; the program is \
         `crates/tandem-testkit/src/bin/bench_apps`. Each app is its authors' repository at one commit and \
         `docs/apps/NAME.toml`, with PostgreSQL (Uptime Kuma: SQLite in a volume) and, where it wants one, Redis. Everything \
         runs on this one machine, the load too. The first build has no cache but uv itself. A change is one more line in a \
         file of the app's code, deployed over TCP by a client that has sent the source once before; figures of changes are median \
         (least–most). What an app stumbled over is told in [apps](../apps.md).\n"
    );
    head + &section("Deploys", &deploys(results))
        + &section("Sizes and bytes", &sizes(results))
        + &section("Load", &load(results))
}

fn deploys(results: &[(&App, Measured)]) -> String {
    let row = |(app, measured): &(&App, Measured)| {
        let of = |part: fn(&Steps) -> f64, decimals| {
            let values: Vec<f64> = measured.changes.iter().map(part).collect();
            spread(&values, decimals)
        };
        let Steps { build, release, whole, .. } = &measured.first;
        vec![
            app.name.to_owned(),
            format!("{build:.1}"),
            format!("{release:.1}"),
            format!("{whole:.1}"),
            of(|steps| steps.build, 2),
            of(|steps| steps.staging, 2),
            of(|steps| steps.release, 2),
            of(|steps| steps.boot, 2),
            of(|steps| steps.whole, 1),
        ]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let head = [
        "app",
        "first build",
        "first release phase",
        "first deploy",
        "build after a change",
        "staging",
        "release phase",
        "boot",
        "whole deploy",
    ];
    format!(
        "Seconds. Boot is from the start of the new instances until the last is ready.\n\n{}",
        table(&head, &rows)
    )
}

fn sizes(results: &[(&App, Measured)]) -> String {
    let row = |(app, measured): &(&App, Measured)| {
        let kilobytes: Vec<f64> = measured.wire.iter().map(|bytes| bytes / 1e3).collect();
        vec![
            app.name.to_owned(),
            measured.processes.join(", "),
            measured.packages.to_string(),
            measured.files.to_string(),
            measured.static_files.to_string(),
            format!("{:.1}", measured.bytes as f64 / 1e6),
            spread(&kilobytes, 1),
        ]
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let head = [
        "app",
        "processes",
        "Python packages",
        "files",
        "of them static",
        "MB",
        "kB moved for a changed line, both ways",
    ];
    table(&head, &rows)
}

fn load(results: &[(&App, Measured)]) -> String {
    let row = |(app, measured): &(&App, Measured)| {
        let cells = [measured.changes.len(), measured.requests, measured.failed];
        let page = format!("`{}`", app.page);
        [vec![app.name.to_owned(), page], cells.map(|cell| cell.to_string()).to_vec()].concat()
    };
    let rows: Vec<_> = results.iter().map(row).collect();
    let about = "Eight requests a second on fresh connections and four clients that keep theirs, through all changes. Failed is what \
                 a visitor would see: no answer within 10 s, a status from 400 on, a kept connection closed without a word.";
    format!("{about}\n\n{}", table(&["app", "page", "deploys", "requests", "failed"], &rows))
}
