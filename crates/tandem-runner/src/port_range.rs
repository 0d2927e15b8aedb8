//! From which ports instances get theirs: some that the kernel gives to nobody by itself.
//!
//! The kernel takes the local end of every outgoing connection from `ip_local_port_range`. An instance whose port lies in
//! there finds it taken now and then, for as long as some connection lives. Ports in `ip_local_reserved_ports` are
//! exempt, so that an administrator who has widened the range can set some aside.

use std::path::Path;

use tandem_types::defaults;

/// Where the kernel tells both.
const SETTINGS: &str = "/proc/sys/net/ipv4";
/// Ports below are for root's own services.
const LOWEST: u16 = 1024;
/// Most services that people run have ports below: one that is stopped just now must find its own free later.
const HIGH: u16 = 10_000;
/// With fewer ports than that, one that was given back would be given again too soon.
const FEWEST: u16 = 1000;
/// With more, packet rules and people's firewalls would only cover more than is used.
const MOST: u16 = 10_000;

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortRange {
    /// The first.
    pub(crate) first: u16,
    /// The last; never before the first.
    pub(crate) last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: defaults::FIRST_PORT, last: defaults::LAST_PORT }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

impl PortRange {
    /// The range for this machine, as the kernel is set now. Says so in the log where it is not the usual one, and loudly
    /// where there is none that is safe.
    pub(crate) fn of_this_machine() -> Self {
        let read = |name| std::fs::read_to_string(Path::new(SETTINGS).join(name)).unwrap_or_default();
        let (ephemeral, reserved) = (read("ip_local_port_range"), read("ip_local_reserved_ports"));
        let usual = Self::default();
        let Some(ephemeral) = parse_range(&ephemeral) else {
            tracing::warn!("cannot tell which ports the kernel takes for itself; instances get {usual}");
            return usual;
        };
        let chosen = choose(ephemeral, &parse_list(&reserved));
        match chosen {
            Some(range) if range == usual => {}
            Some(range) => {
                tracing::info!(
                    "instances get ports from {range}: the kernel takes {ephemeral} for outgoing connections"
                );
            }
            None => tracing::warn!(
                "instances get ports from {usual}, and may find one taken: the kernel takes {ephemeral} for outgoing \
                 connections and leaves too few; type: {}",
                usual.reserve()
            ),
        }
        chosen.unwrap_or(usual)
    }

    /// The line to type where the kernel leaves no ports that are safe, with what it takes; none where all is well.
    pub(crate) fn lacking() -> Option<(String, String)> {
        let read = |name| std::fs::read_to_string(Path::new(SETTINGS).join(name)).unwrap_or_default();
        let ephemeral = parse_range(&read("ip_local_port_range"))?;
        let chosen = choose(ephemeral, &parse_list(&read("ip_local_reserved_ports")));
        chosen.is_none().then(|| (ephemeral.to_string(), Self::default().reserve()))
    }

    fn reserve(self) -> String {
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={}-{}", self.first, self.last)
    }

    /// Where the search for ports begins: spread by the name of the data folder, so that two of them on one machine
    /// do not race for the same ports.
    pub(crate) fn spread(self, name: &str) -> u16 {
        let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let span = u32::from(self.last - self.first) + 1;
        self.first + u16::try_from(sum % span).expect("less than the span of ports")
    }

    fn holds(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    fn count(self) -> u16 {
        (self.last - self.first).saturating_add(1)
    }

    /// The port of this range that is nearest.
    pub(crate) fn nearest(self, port: u16) -> u16 {
        port.clamp(self.first, self.last)
    }
}

/// The usual range, or the largest part of it that is safe, or a safe one anywhere; none where fewer than
/// [`FEWEST`] ports in a row are.
fn choose(ephemeral: PortRange, reserved: &[PortRange]) -> Option<PortRange> {
    let safe = |port: u16| !ephemeral.holds(port) || reserved.iter().any(|range| range.holds(port));
    let usual = PortRange::default();
    let within = largest(runs(usual.first..=usual.last, safe));
    let high = || largest(runs(HIGH..=u16::MAX, safe));
    let range = within.or_else(high).or_else(|| largest(runs(LOWEST..=u16::MAX, safe)))?;
    Some(PortRange { first: range.first.max(range.last.saturating_sub(MOST - 1)), last: range.last })
}

fn largest(runs: Vec<PortRange>) -> Option<PortRange> {
    let enough = runs.into_iter().filter(|run| run.count() >= FEWEST);
    enough.max_by_key(|run| run.count())
}

/// Ports in a row that are all safe.
fn runs(ports: std::ops::RangeInclusive<u16>, safe: impl Fn(u16) -> bool) -> Vec<PortRange> {
    let mut runs: Vec<PortRange> = Vec::new();
    for port in ports.filter(|port| safe(*port)) {
        match runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(port) => run.last = port,
            _ => runs.push(PortRange { first: port, last: port }),
        }
    }
    runs
}

/// `32768\t60999`.
fn parse_range(text: &str) -> Option<PortRange> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    let (first, last) = (first.parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(PortRange { first, last })
}

/// `8080,9148,20000-29999`; nothing where none is set. What is not understood is left out: a port too few is safe.
fn parse_list(text: &str) -> Vec<PortRange> {
    let one = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(PortRange { first, last })
    };
    text.trim().split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_chosen_outside_of_what_the_kernel_takes() {
        for (ephemeral, reserved, chosen) in [
            // As Linux is set.
            ("32768\t60999\n", "\n", Some((20_000, 29_999))),
            // What is reserved where nothing is taken changes nothing.
            ("32768\t60999\n", "22000,25000-25999\n", Some((20_000, 29_999))),
            // As for many connections: nothing but what was set aside.
            ("1024\t65535\n", "\n", None),
            ("1024\t65535\n", "8080,20000-20100\n", None),
            ("1024\t65535\n", "20000-29999\n", Some((20_000, 29_999))),
            ("1024\t65535\n", "8080,40000-44999\n", Some((40_000, 44_999))),
            // Part of the usual range.
            ("25000\t65535\n", "\n", Some((20_000, 24_999))),
            ("20500\t21000\n", "\n", Some((21_001, 29_999))),
            // None of it: above where services are, and no more than is needed.
            ("10000\t60000\n", "\n", Some((60_001, 65_535))),
            ("10000\t65000\n", "\n", Some((1_024, 9_999))),
            ("15000\t30000\n", "\n", Some((55_536, 65_535))),
            ("1024\t60999\n", "\n", Some((61_000, 65_535))),
        ] {
            let ephemeral = parse_range(ephemeral).expect("it is a range");
            let range = choose(ephemeral, &parse_list(reserved));
            assert_eq!(range.map(|range| (range.first, range.last)), chosen, "{ephemeral}, {reserved}");
        }
    }

    #[test]
    fn settings_that_are_not_understood_are_none() {
        for text in ["", "\n", "32768", "60999 32768", "a b", "1024 65536"] {
            assert_eq!(parse_range(text), None, "{text:?}");
        }
        let list = parse_list("8080,x,9-8,,20000-20001,1-2-3");
        assert_eq!(
            list.iter().map(PortRange::to_string).collect::<Vec<_>>(),
            ["8080 to 8080", "20000 to 20001"]
        );
    }
}
