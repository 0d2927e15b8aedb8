//! The figures as a page.

use tandem_testkit::bench::tables::{median, section, spread, table};

use crate::contest::{Entry, Miss, Sample, compare};
use crate::proxies::Kind;
use crate::rows::{Against, IDLE, Row, SUITE};
use crate::{IDLE_ROUNDS, Plan, ground};

/// A row with what came of it.
pub(crate) type Told<'a> = (&'a Row, Vec<Entry>);

pub(crate) fn page(machine: &str, plan: &Plan, results: &[Told<'_>]) -> String {
    let versions =
        [Kind::Tandem, Kind::Nginx, Kind::Haproxy, Kind::Caddy].map(|kind| kind.version(&plan.binary));
    let head = format!(
        "# The balancer beside nginx, HAProxy and Caddy\n\n{machine}\n\nWritten by `make bench-balancer`; the program is \
         `crates/tandem-testkit/src/bin/bench_balancer`. Versions: {}; {}. Each proxy has one thread (nginx one worker, Caddy \
         `GOMAXPROCS=1`) on core {}; the backend (an nginx) and the load (`wrk`, `h2load`, or a client of the benchmark's own for \
         handshakes and idle connections) share core {}. All are started anew for each row and take turns within each of {} \
         rounds of {} s ({IDLE_ROUNDS} for memory), in another order each time. {}\n",
        versions.join(", "),
        builds(plan.given_to_others),
        ground::PROXY_CORE,
        ground::OTHER_CORE,
        plan.rounds,
        plan.length.as_secs(),
        method(),
    );
    head + &section("Aims", &aims(results))
        + &section("Where we lose, and why", &losses(results))
        + &section("Each proxy", &proxies(results))
        + &section("Equal work", &work(results))
}

/// How what is measured was built.
fn builds(given_to_others: bool) -> &'static str {
    if given_to_others {
        "that of tandem is what `make dist` builds, arranged by what it did under a load of the same kinds in other numbers and sizes \
         (decision 027), those of the others are what is installed here"
    } else {
        "that of tandem is one that was named, rather than what `make dist` builds (decision 027), those of the others are what is \
         installed here"
    }
}

fn method() -> String {
    format!(
        "CPU is what the scheduler has counted for all threads of the proxy's process group (as in `schedstat`), the kernel's \
         work for its sockets included. The ratio is that of each round, ours to the better one of nginx and HAProxy (by its \
         median), and figures are median (least–most) of the rounds; Caddy is printed and no part of the aims. *Busy* is the \
         share of its core that a proxy used: where it is well below 100 %, the load or the backend was the limit, and throughput \
         and latency are theirs; CPU per request stays the proxy's. Over TLS all clients ask for TLS 1.3 with {SUITE} and X25519. \
         Handshakes are connections that end after it: 32 at a time, full or each with the ticket of the one before, by a client \
         that does not check signatures, so that it does less than the server. Tandem gives a new client one ticket, nginx and HAProxy \
         two, as their OpenSSL does by itself. Idle connections are {IDLE} that have each asked \
         once; their memory is the growth of the resident memory of a proxy that was just started, without the kernel's sockets. \
         A row in which a request is not answered with 2xx has failed. The congestion control of this system is {}: with BBR each \
         socket sends by a timer of its own, also over loopback, but for those of tandem, which turns that off on a listener that \
         is bound to loopback, as here, and towards its instances there (decision 026).",
        congestion_control()
    )
}

fn congestion_control() -> String {
    let setting = "/proc/sys/net/ipv4/tcp_congestion_control";
    std::fs::read_to_string(setting).map_or_else(|_| "not known".to_owned(), |text| text.trim().to_owned())
}

fn aims(results: &[Told<'_>]) -> String {
    let head = ["work", "figure", "aim", "ours", "nginx", "HAProxy", "Caddy", "ratio", ""];
    let rows: Vec<_> = results.iter().map(|(row, entries)| aim(row, entries)).collect();
    table(&head, &rows)
}

/// What makes the difference in the rows whose aim was missed.
fn losses(results: &[Told<'_>]) -> String {
    let missed = results.iter().filter(|(row, entries)| verdict(row, entries) == "**missed**");
    let lines: Vec<_> = missed.map(|(row, _)| format!("- `{}`: {}", row.name, row.cost)).collect();
    if lines.is_empty() { "Nowhere, in this run.".to_owned() } else { lines.join("\n") }
}

fn aim(row: &Row, entries: &[Entry]) -> Vec<String> {
    let cell = |label: &str| {
        let entry = entries.iter().find(|entry| entry.label == label);
        entry.map_or_else(|| "–".to_owned(), |entry| figures(row, entry))
    };
    let (sign, against) = (if row.work.more_is_better() { "≥" } else { "≤" }, against(row));
    let compared = compare(row, entries);
    let ratio = compared.as_ref().map_or_else(
        || "–".to_owned(),
        |(rival, ratios)| format!("{} of {}", spread(ratios, 2), rival.label),
    );
    let mut ours = cell("tandem");
    if row.against == Against::OneDomain {
        ours = format!("{ours}; 1 domain: {}", cell("tandem, 1 domain"));
    }
    vec![
        format!("{} (`{}`)", row.what, row.name),
        row.work.figure().to_owned(),
        format!("{sign} {} of {against}", row.aim),
        ours,
        cell("nginx"),
        cell("haproxy"),
        cell("caddy"),
        ratio,
        verdict(row, entries),
    ]
}

fn against(row: &Row) -> &'static str {
    match row.against {
        Against::Best => "the best",
        Against::Nginx => "nginx",
        Against::Haproxy => "HAProxy",
        Against::OneDomain => "1 domain",
    }
}

fn figures(row: &Row, entry: &Entry) -> String {
    match &entry.miss {
        Some(Miss::NotMeasured(text)) => format!("not measured: {text}"),
        Some(Miss::Failed(text)) => format!("**failed**: {text}"),
        None => spread(
            &entry.figures(),
            if row.work.more_is_better() || row.work.is_fresh_each_round() { 0 } else { 2 },
        ),
    }
}

/// Judged as it was measured, not as it is printed.
pub(crate) fn verdict(row: &Row, entries: &[Entry]) -> String {
    let ours = entries.iter().find(|entry| entry.label == Kind::Tandem.name());
    if ours.is_some_and(|entry| matches!(entry.miss, Some(Miss::Failed(_)))) {
        return "**failed**".to_owned();
    }
    let ratio = compare(row, entries).and_then(|(_, ratios)| median(&ratios));
    let hit = |ratio: f64| if row.work.more_is_better() { ratio >= row.aim } else { ratio <= row.aim };
    match ratio {
        None => "not measured",
        Some(ratio) if hit(ratio) => "hit",
        Some(_) => "**missed**",
    }
    .to_owned()
}

/// One line with how many were hit.
pub(crate) fn count(results: &[Told<'_>]) -> String {
    let verdicts: Vec<_> = results.iter().map(|(row, entries)| verdict(row, entries)).collect();
    let with = |verdict: &str| verdicts.iter().filter(|found| *found == verdict).count();
    let (hit, missed, failed) = (with("hit"), with("**missed**"), with("**failed**"));
    format!("{hit} aims hit, {missed} missed, {failed} failed, {} not measured", with("not measured"))
}

fn proxies(results: &[Told<'_>]) -> String {
    let head = ["work", "proxy", "figure", "per second", "p50, ms", "p99, ms", "memory, MB", "busy, %"];
    let measured = results.iter().flat_map(|(row, entries)| entries.iter().map(move |entry| (*row, entry)));
    let measured = measured.filter(|(_, entry)| entry.miss.is_none());
    let cells = |(row, entry): (&Row, &Entry)| {
        let of = |part: fn(&Sample) -> f64, decimals: usize| {
            let values: Vec<f64> = entry.samples.iter().map(part).collect();
            // Idle connections have no throughput and no latency.
            if values.iter().all(|value| *value == 0.0) {
                "–".to_owned()
            } else {
                spread(&values, decimals)
            }
        };
        vec![
            row.name.to_owned(),
            entry.label.to_owned(),
            figures(row, entry),
            of(|sample| sample.per_second, 0),
            of(|sample| sample.latency.0, 2),
            of(|sample| sample.latency.1, 2),
            of(|sample| sample.memory as f64 / 1e6, 1),
            of(|sample| sample.busy * 100.0, 0),
        ]
    };
    table(&head, &measured.map(cells).collect::<Vec<_>>())
}

fn work(results: &[Told<'_>]) -> String {
    let about = "What was seen when each proxy was asked once before its row: status 200 and the very bytes of the body, by the \
                 version of HTTP that the row is about, and at the backend the headers below, by HTTP/1.1 on a connection that \
                 had been used before. *Bare* means that none of them is on, nor an access log, as far as a proxy can do \
                 without. *As operated* means an access log in a file with a line for each request (counted), an id of 128 random \
                 bits that the client gets too, and `X-Forwarded-For`, `-Proto` and `-Host`; nginx and Tandem collect lines before \
                 they write them, HAProxy writes each as it comes, which is the one way it has to a file. Bodies are not \
                 compressed, and nothing of a backend's is kept. Of files nginx keeps the descriptors (`open_file_cache`), Tandem the \
                 content of those up to 64 KiB for half a second.";
    let rows: Vec<_> = results.iter().flat_map(|(row, entries)| manners(row, entries)).collect();
    let head = [
        "work",
        "proxy",
        "bytes of the answer's head",
        "bytes of the request at the backend",
        "headers there",
    ];
    format!("{about}\n\n{}", table(&head, &rows))
}

fn manners(row: &Row, entries: &[Entry]) -> Vec<Vec<String>> {
    let seen = entries.iter().filter_map(|entry| Some((entry, entry.manner.as_ref()?)));
    let cells = seen.map(|(entry, manner)| {
        let names = [
            ("for", "X-Forwarded-For"),
            ("proto", "X-Forwarded-Proto"),
            ("forwarded-host", "X-Forwarded-Host"),
            ("id", "X-Request-Id"),
            ("via", "Via"),
            ("forwarded", "Forwarded"),
            ("connection", "Connection"),
        ];
        let is_there = |name: &str| manner.asked.get(name).is_some_and(|value| !value.is_empty());
        let there: Vec<_> =
            names.iter().filter(|(name, _)| is_there(name)).map(|(_, header)| *header).collect();
        let there = if there.is_empty() { "none of these".to_owned() } else { there.join(", ") };
        let there = if row.setting.folder { "–".to_owned() } else { there };
        let bytes = manner.asked.get("bytes").map_or("–", String::as_str).to_owned();
        vec![row.name.to_owned(), entry.label.to_owned(), manner.head.to_string(), bytes, there]
    });
    cells.collect()
}
