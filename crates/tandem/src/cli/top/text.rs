//! What `tandem top` shows, as text.

use std::fmt::Write as _;

use tandem_types::Timestamp;
use tandem_types::traffic::{AnsweredBy, RequestRecord, Served, SlowMinute, Top, TopLine};

use crate::output::{Cell, Style, Table, local_time, milliseconds};

/// Longest path shown: what is behind it tells little, and lines stay lines.
const LONGEST_PATH: usize = 60;

/// Which requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    Slowest,
    Latest,
}

/// The whole of it; `hint` is what to type where there is nothing.
pub(super) fn render(top: &Top, below: Below, hint: &str, style: Style) -> String {
    if top.releases.is_empty() {
        return format!("{hint}\n");
    }
    let headings = ["APP", "RELEASE", "REQ/S", "2XX", "3XX", "4XX", "5XX", "P50", "P95", "P99", "IN FLIGHT"];
    let mut table = Table::new(&headings);
    top.releases.iter().for_each(|line| table.row(release(line, style)));
    let mut text = table.render(style, "");
    let (records, what) = match below {
        Below::Slowest => (&top.slowest, "slowest of the last minute"),
        Below::Latest => (&top.latest, "latest"),
    };
    if !records.is_empty() {
        let _ = write!(text, "\n{}\n", style.dim(what));
        text.push_str(&list(records.iter(), style));
    }
    text
}

/// The log of slow requests.
pub(super) fn log_of(minutes: &[SlowMinute], style: Style) -> String {
    match minutes {
        [] => "no requests in the last hour; `tandem top` shows those that come\n".to_owned(),
        minutes => list(minutes.iter().flat_map(|minute| &minute.slowest), style),
    }
}

fn list<'r>(records: impl Iterator<Item = &'r RequestRecord>, style: Style) -> String {
    let mut table = Table::new(&["TIME", "TOOK", "STATUS", "APP", "FROM", "REQUEST", "ID"]);
    records.for_each(|record| table.row(request(record, style)));
    table.render(style, "")
}

/// What to type where nothing came yet.
pub(super) fn empty(address: Option<&str>) -> String {
    match address {
        Some(address) => format!("no requests yet: curl {address}"),
        None => "no requests yet; type `tandem deploy`".to_owned(),
    }
}

fn release(line: &TopLine, style: Style) -> Vec<Cell> {
    let [_, _, good, moved, refused, failed] = line.classes;
    let release = line.served.as_ref().map(|served| served.release.to_string());
    vec![
        place(line.served.as_ref()).into(),
        release.unwrap_or_else(|| "-".to_owned()).into(),
        format!("{:.1}", line.requests_per_second).into(),
        good.into(),
        moved.into(),
        refused.into(),
        if failed > 0 { Cell::painted(failed.to_string(), |text| style.red(text)) } else { failed.into() },
        took(line.p50_us).into(),
        took(line.p95_us).into(),
        took(line.p99_us).into(),
        line.in_flight.into(),
    ]
}

fn request(record: &RequestRecord, style: Style) -> Vec<Cell> {
    let status = record.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    let status = if record.cut { format!("{status} cut") } else { status };
    let is_bad = record.cut || record.status.is_none_or(|status| status >= 500);
    let from = match (record.answered_by, record.instance) {
        (AnsweredBy::Instance, Some(instance)) => instance.to_string(),
        (by, _) => by.to_string(),
    };
    let mut path: String = record.path.chars().take(LONGEST_PATH).collect();
    if path.len() < record.path.len() {
        path.push('…');
    }
    vec![
        clock_time(record.time).into(),
        took(Some(record.total_us)).into(),
        if is_bad { Cell::painted(status, |text| style.red(text)) } else { status.into() },
        place(record.served.as_ref()).into(),
        from.into(),
        format!("{} {}{path}", record.method, record.host).trim_start().into(),
        record.request_id.as_str().into(),
    ]
}

/// `shop`, `shop/staging`.
fn place(served: Option<&Served>) -> String {
    match served {
        None => "-".to_owned(),
        Some(served) if served.environment.as_str() == "production" => served.app.to_string(),
        Some(served) => format!("{}/{}", served.app, served.environment),
    }
}

/// The clock's time alone: all of it is of this hour.
fn clock_time(time: Timestamp) -> String {
    local_time(time).split(' ').next_back().unwrap_or_default().to_owned()
}

/// `0.3 ms`, `7 ms`, `1.2 s`.
fn took(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros @ ..10_000) => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        Some(micros) if micros < 1_000_000 => format!("{} ms", micros / 1_000),
        Some(micros) => milliseconds(micros / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> Top {
        let text = r#"{"time":"2026-11-22T10:00:01Z","window_ms":60000,"releases":[
            {"app":"shop","environment":"staging","release":"r12","requests_per_second":1.25,"requests":9,
             "classes":[0,0,7,1,0,1],"cut":1,"p50_us":350,"p95_us":12000,"p99_us":2500000,"in_flight":3},
            {"requests_per_second":0.0,"requests":1,"classes":[0,0,0,0,1,0],"cut":0,
             "p50_us":null,"p95_us":null,"p99_us":null,"in_flight":0}],
            "slowest":[{"time":"2026-11-22T10:00:00Z","app":"shop","environment":"staging","release":"r12",
             "instance":"i7","method":"GET","host":"shop.example","path":"/a\u001b[2J","status":200,
             "answered_by":"instance","retried":false,"cut":true,"bytes_in":0,"bytes_out":5,"queue_us":0,
             "connect_us":0,"first_byte_us":9,"total_us":2500000,"request_id":"abc","client":"192.0.2.7"}],
            "latest":[]}"#;
        serde_json::from_str(text).expect("a top")
    }

    #[test]
    fn releases_stand_above_the_slowest_requests_and_no_path_moves_the_cursor() {
        let text = render(&top(), Below::Slowest, "", Style::new(false));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            ["shop/staging", "r12", "1.2", "7", "1", "0", "1", "0.3", "ms", "12", "ms", "2.5", "s", "3"]
        );
        assert_eq!(lines[2], ["-", "-", "0.0", "0", "0", "1", "0", "-", "-", "-", "0"]);
        assert_eq!(lines[4], ["slowest", "of", "the", "last", "minute"]);
        assert_eq!(
            lines[6][1..],
            ["2.5", "s", "200", "cut", "shop/staging", "i7", "GET", "shop.example/a\\x1b[2J", "abc"]
        );
        assert!(!render(&top(), Below::Latest, "", Style::new(false)).contains("latest"), "there is none");
    }

    #[test]
    fn where_nothing_came_yet_the_command_to_type_is_told() {
        let nothing = Top { releases: Vec::new(), ..top() };
        let hint = empty(Some("http://shop.localhost:8080"));
        let text = render(&nothing, Below::Slowest, &hint, Style::new(false));
        assert_eq!(text, "no requests yet: curl http://shop.localhost:8080\n");
    }
}
