//! Lines in both formats, whatever a request brings.

use http::StatusCode;
use tandem_types::InstanceId;
use tandem_types::traffic::{AnsweredBy, RequestRecord};

use super::*;
use tandem_wire::{RequestHead, Version};

/// 2027-01-15T08:00:00.000123Z.
const AT_US: i64 = 1_800_000_000_000_123;

fn facts() -> Facts {
    Facts {
        at_us: AT_US,
        instance: Some(InstanceId(7)),
        status: Some(StatusCode::OK),
        by: AnsweredBy::Instance,
        retried: true,
        cut: false,
        bytes_in: 3,
        bytes_out: 5,
        queue_us: 1,
        connect_us: 2,
        first_byte_us: 900,
        total_us: 1_000,
    }
}

fn served() -> Served {
    Served {
        app: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: "r12".parse().unwrap(),
    }
}

fn line(format: AccessFormat, facts: &Facts, seen: &Seen<'_>) -> String {
    let mut out = Vec::new();
    Pen::new(format, false).write(&mut out, Some(&served()), (facts, seen));
    String::from_utf8(out).unwrap()
}

fn seen(target: &str) -> Seen<'_> {
    Seen { method: "GET", host: "shop.example", target, id: "abc", client: "192.0.2.7", head: None }
}

#[test]
fn a_line_of_json_is_a_record() {
    let text = line(AccessFormat::Json, &facts(), &seen("/a?token=secret"));
    assert!(text.ends_with("}\n") && !text.contains("secret"), "{text}");
    let record: RequestRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(record.time, Timestamp::from_microsecond(AT_US).unwrap());
    assert_eq!((&record.served, record.instance), (&Some(served()), Some(InstanceId(7))));
    assert_eq!((record.path.as_str(), record.status, record.retried), ("/a", Some(200), true));
    let again = serde_json::to_string(&record).unwrap();
    let sorted = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    assert_eq!(sorted(&again), sorted(&text), "no field more or less, nor otherwise written");
}

#[test]
fn who_left_before_an_answer_has_no_status() {
    let facts = Facts { status: None, instance: None, cut: true, ..facts() };
    let text = line(AccessFormat::Json, &facts, &Seen::default());
    let record: RequestRecord = serde_json::from_str(&text).unwrap();
    assert_eq!((record.status, record.instance, record.cut), (None, None, true));
    let text = line(AccessFormat::Combined, &facts, &Seen::default());
    assert_eq!(text, "- - - [15/Jan/2027:08:00:00 +0000] \"-\" 000 5 \"-\" \"-\"\n");
}

#[test]
fn nothing_that_a_client_sends_ends_a_line_or_a_field() {
    let evil = "/\"},\n{\"status\":200\\\u{1b}[2J\r\u{7f}\u{85}\u{2028}\u{202e}ü";
    let text = line(AccessFormat::Json, &facts(), &seen(evil));
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(!text.contains(['\u{1b}', '\r', '\u{7f}', '\u{85}', '\u{2028}', '\u{202e}']), "{text:?}");
    let record: RequestRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(record.path, evil, "it reads back as it was");
    let text = line(AccessFormat::Combined, &facts(), &seen(evil));
    assert_eq!((text.matches('\n').count(), text.matches('"').count()), (1, 6), "{text:?}");
    assert!(text.is_ascii() && text.contains("/\\x22},\\x0A{") && text.contains("\\x5C\\x1B[2J"), "{text}");
}

#[test]
fn the_combined_format_is_that_of_others_and_keeps_queries_to_itself_unless_asked() {
    let head =
        b"GET /a?b=secret HTTP/1.0\r\nHost: shop.example\r\nReferer: http://other.example/?c=secret\r\n\
User-Agent: x \"y\"\xff\r\n\r\n";
    let head = RequestHead::parse(head).unwrap();
    let seen = Seen::of(&head, "abc", "192.0.2.7");
    let text = line(AccessFormat::Combined, &facts(), &seen);
    assert_eq!(
        text,
        "192.0.2.7 - - [15/Jan/2027:08:00:00 +0000] \"GET /a HTTP/1.0\" 200 5 \"http://other.example/\" \
\"x \\x22y\\x22\\xFF\"\n"
    );
    let mut out = Vec::new();
    Pen::new(AccessFormat::Combined, true).write(&mut out, None, (&facts(), &seen));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("GET /a?b=secret HTTP/1.0") && text.contains("other.example/?c=secret"), "{text}");
    let mut head = head;
    head.version = Version::Http2;
    let text = line(AccessFormat::Combined, &facts(), &Seen::of(&head, "abc", "192.0.2.7"));
    assert!(text.contains("\"GET /a HTTP/2.0\""), "{text}");
}

#[test]
fn each_second_has_its_stamp() {
    let mut pen = Pen::new(AccessFormat::Json, false);
    let mut out = Vec::new();
    for at_us in [AT_US, AT_US + 999_000, AT_US + 1_000_000, AT_US, -1] {
        pen.write(&mut out, None, (&Facts { at_us, ..facts() }, &seen("/")));
    }
    let text = String::from_utf8(out).unwrap();
    let times: Vec<_> = text.lines().map(|line| &line[9..36]).collect();
    assert_eq!(
        times,
        [
            "2027-01-15T08:00:00.000123Z",
            "2027-01-15T08:00:00.999123Z",
            "2027-01-15T08:00:01.000123Z",
            "2027-01-15T08:00:00.000123Z",
            "1969-12-31T23:59:59.999999Z",
        ]
    );
}
