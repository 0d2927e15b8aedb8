//! What an authority sends: read or refused, never beyond its end, and only times that a calendar has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_certificates::validity;

fuzz_target!(|der: &[u8]| {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    pem.push_str(&base64(der));
    pem.push_str("\n-----END CERTIFICATE-----\n");
    if let Ok((from, to)) = validity(&pem) {
        assert_eq!((from.subsec_nanosecond(), to.subsec_nanosecond()), (0, 0));
        // A certificate behind it changes nothing that is read in it.
        assert_eq!(validity(&format!("{pem}{pem}")), Ok((from, to)));
    }
    if let Ok(text) = std::str::from_utf8(der) {
        let _ = validity(text);
    }
});

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number =
            (0..3).fold(0_u32, |sum, place| sum << 8 | group.get(place).map_or(0, |byte| u32::from(*byte)));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place > group.len() { '=' } else { digit });
        }
    }
    text
}
