//! Points in time as people read them: how long ago in tables, the clock's time in streams. `--json` has RFC 3339.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `just now`, `40 s ago`, `3 min ago`, `5 h ago`, `4 days ago`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..5 => "just now".to_owned(),
        5..90 => format!("{seconds} s ago"),
        90..5_400 => format!("{} min ago", (seconds + 30) / 60),
        5_400..172_800 => format!("{} h ago", (seconds + 1_800) / 3_600),
        _ => format!("{} days ago", (seconds + 43_200) / 86_400),
    }
}

/// Date and time in the time zone of whoever looks: `2026-11-21 14:03:09`.
pub(crate) fn local_time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit_and_clocks_that_differ_do_not_tell_of_the_future() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a valid time");
        for (then, text) in [
            ("2026-11-21T12:00:09Z", "just now"),
            ("2026-11-21T11:59:20Z", "40 s ago"),
            ("2026-11-21T11:57:00Z", "3 min ago"),
            ("2026-11-21T07:00:00Z", "5 h ago"),
            ("2026-11-17T12:00:00Z", "4 days ago"),
        ] {
            assert_eq!(ago(then.parse().expect("a valid time"), now), text);
        }
    }
}
