//! Sizes as people write them, in app files and in settings.

/// Reads a size such as `512MiB`; bytes. None where it is none.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 10] = [
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let size = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_bytes("512MiB"), Some(512 << 20));
        assert_eq!(parse_bytes("1 GiB"), Some(1 << 30));
        assert_eq!(parse_bytes("500MB"), Some(500_000_000));
        assert_eq!(parse_bytes("2TiB"), Some(2 << 40));
        assert_eq!(parse_bytes("1TB"), Some(1_000_000_000_000));
        for wrong in ["", "512", "MiB", "1.5GiB", "-1MiB", "512mib", "99999999999999GiB", "16777216TiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong:?}");
        }
    }
}
