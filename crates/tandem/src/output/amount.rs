//! Amounts as people read them: bytes, lengths of time, counted things.

/// Bytes with one digit behind the point from a kilobyte on: `812 B`, `4.2 kB`, `1.3 MB`. Powers of ten, as disks
/// and networks are sold.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Memory as limits are written: `512 MiB`, `2 GiB`; powers of two, whole where the number is.
pub(crate) fn memory(bytes: u64) -> String {
    const MEBIBYTE: f64 = 1_048_576.0;
    let mebibytes = bytes as f64 / MEBIBYTE;
    let (value, unit) = if mebibytes < 1_024.0 { (mebibytes, "MiB") } else { (mebibytes / 1_024.0, "GiB") };
    if value.fract() == 0.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A length of time: `40 ms`, `1.2 s`, `2 min 5 s`, `1 h 3 min`.
pub(crate) fn milliseconds(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        _ if millis < 100 => format!("{millis} ms"),
        0..60 => format!("{}.{} s", seconds, millis % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `1 file`, `3 files`.
pub(crate) fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_change_their_unit_before_they_need_four_digits() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_300_000_000, "1.3 GB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn memory_is_told_in_the_units_of_limits() {
        for (number, text) in [(536_870_912, "512 MiB"), (2_147_483_648, "2 GiB"), (1_572_864, "1.5 MiB")] {
            assert_eq!(memory(number), text);
        }
    }

    #[test]
    fn lengths_of_time_have_two_units_at_most() {
        for (millis, text) in [
            (7, "7 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (59_999, "59.9 s"),
            (125_000, "2 min 5 s"),
            (3_780_000, "1 h 3 min"),
        ] {
            assert_eq!(milliseconds(millis), text);
        }
    }
}
