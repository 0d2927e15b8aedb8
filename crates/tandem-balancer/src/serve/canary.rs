//! Clients of an environment that several releases serve: each gets one of them, and the same one again.
//!
//! A client's place is drawn once and kept in a cookie that balancers sign, so that each of them knows it again and nobody can
//! make one up. Which release the place means is up to the table: when shares change, so does what some places mean.

use std::sync::Arc;

use tandem_rules::canary::{PLACES, share_of};
use tandem_types::Digest;
use tandem_types::canary::ShareKey;
use tandem_wire::{RequestHead, ResponseHead};

use super::exchange::Exchange;
use crate::table::LiveRoute;

/// The cookie's name.
const COOKIE: &str = "tandem_share";
/// How long a client keeps it: longer than any canary should last.
const KEPT_SECONDS: u32 = 7 * 24 * 60 * 60;
/// Its parts: the client's number, and the signature.
const NUMBER: usize = 16;
const SIGNED: usize = NUMBER + 64;

/// A client as far as shares go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    /// Drawn by lot.
    number: u64,
    /// It has no cookie of this canary yet.
    is_new: bool,
    key: ShareKey,
}

impl Exchange<'_> {
    /// The route of the release that this client gets.
    pub(super) fn share_of(&mut self, route: Arc<LiveRoute>) -> Arc<LiveRoute> {
        let Some(canary) = route.canary() else { return route };
        let client = self.shared.filter(|client| client.key == canary.key);
        let client = client.unwrap_or_else(|| self.draw(canary.key));
        self.shared = Some(client);
        let share = share_of(&canary.shares, place(canary.key, client.number));
        let share = share.map(|share| &canary.routes[share]);
        // Better the release of all others than none.
        let share = share.filter(|share| share.members().iter().any(|member| member.is_available()));
        let route = share.map(Arc::clone).unwrap_or(route);
        self.trace.belongs_to(self.client.thread.recorder.slot(route.served()));
        route
    }

    fn draw(&self, key: ShareKey) -> Shared {
        match number_of(&self.head, key) {
            Some(number) => Shared { number, is_new: false, key },
            None => Shared { number: self.client.thread.random(), is_new: true, key },
        }
    }

    /// Gives a new client its cookie along with an answer.
    pub(super) fn mark(&self, head: &mut ResponseHead) {
        if let Some(Shared { number, is_new: true, key }) = self.shared {
            let value = set_cookie(key, number, self.client.socket.scheme() == "https");
            head.fields.push(b"set-cookie", value.as_bytes());
        }
    }
}

/// Where among the places a client is.
fn place(key: ShareKey, number: u64) -> u16 {
    let digest = blake3::keyed_hash(&key.0.0, &[b"place".as_slice(), &number.to_be_bytes()].concat());
    let [first, second, third, fourth, ..] = *digest.as_bytes();
    let drawn = u32::from_be_bytes([first, second, third, fourth]) % u32::from(PLACES);
    u16::try_from(drawn).expect("places are few")
}

fn signature(key: ShareKey, number: u64) -> blake3::Hash {
    blake3::keyed_hash(&key.0.0, &[b"cookie".as_slice(), &number.to_be_bytes()].concat())
}

fn set_cookie(key: ShareKey, number: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    let signature = Digest(*signature(key, number).as_bytes());
    format!(
        "{COOKIE}={number:016x}{signature}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Lax{secure}"
    )
}

/// The number in a request's cookie. None: there is none, or it is not signed by a balancer of this canary.
fn number_of(head: &RequestHead, key: ShareKey) -> Option<u64> {
    let fields = head.fields.iter().filter(|(name, ..)| name.eq_ignore_ascii_case(b"cookie"));
    let cookies = fields.flat_map(|(_, value, _)| value.split(|byte| *byte == b';'));
    let ours =
        cookies.filter_map(|cookie| cookie.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="));
    ours.filter_map(|value| read(value, key)).next()
}

fn read(value: &[u8], key: ShareKey) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() == SIGNED && text.is_ascii())?;
    let (number, signed) = text.split_at(NUMBER);
    // A sign would be taken for a part of the number.
    let number = u64::from_str_radix(number, 16).ok().filter(|_| !number.starts_with('+'))?;
    let signed: Digest = signed.parse().ok()?;
    // The comparison takes as long however much of it is right.
    (signature(key, number) == blake3::Hash::from_bytes(signed.0)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: ShareKey = ShareKey(Digest([1; 32]));
    const OTHERS: ShareKey = ShareKey(Digest([2; 32]));

    fn request(cookies: &str) -> RequestHead {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n");
        RequestHead::parse(head.as_bytes()).unwrap()
    }

    fn cookie(key: ShareKey, number: u64) -> String {
        let whole = set_cookie(key, number, true);
        assert!(whole.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{whole}");
        assert!(!set_cookie(key, number, false).contains("Secure"));
        whole.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn every_balancer_knows_a_client_again_and_nobody_makes_one_up() {
        let good = cookie(OURS, 7);
        assert_eq!(number_of(&request(&format!("a=b; {good}; c=d")), OURS), Some(7));
        assert_eq!(number_of(&request(&good), OTHERS), None);
        let forged = good.replacen("0000000000000007", "0000000000000008", 1);
        let short = &good[..good.len() - 1];
        let signed = good.replacen("0000000000000007", "+000000000000007", 1);
        for wrong in [&forged, short, &signed, "tandem_share=", "x"] {
            assert_eq!(number_of(&request(wrong), OURS), None, "{wrong}");
        }
        assert_eq!(number_of(&request(&format!("{forged}; {good}")), OURS), Some(7));
    }

    #[test]
    fn clients_are_spread_over_all_places_alike() {
        let below = (0..10_000).filter(|number| place(OURS, *number) < 100).count();
        assert!((800..1200).contains(&below), "{below} of a tenth of 10,000");
    }
}
