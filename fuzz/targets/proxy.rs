//! The PROXY header that a connection begins with: whatever the bytes, what was read is written and read alike, and what
//! comes behind it changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_wire::{LONGEST_PROXY_HEADER, ProxyArrival, ProxyVersion, read_proxy_header};

fuzz_target!(|bytes: &[u8]| {
    match read_proxy_header(bytes) {
        Ok(ProxyArrival::Whole { length, ends }) => {
            assert!((15..=LONGEST_PROXY_HEADER).contains(&length) && length <= bytes.len());
            for shorter in 0..length {
                let arrived = read_proxy_header(&bytes[..shorter]);
                assert_eq!(arrived, Ok(ProxyArrival::Partial), "its first {shorter} bytes");
            }
            let whole = Ok(ProxyArrival::Whole { length, ends });
            assert_eq!(read_proxy_header(&bytes[..length]), whole, "without what is behind");
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let Some(ends) = ends else { break };
                let written = version.header(ends);
                let expected = ProxyArrival::Whole { length: written.len(), ends: Some(ends) };
                assert_eq!(read_proxy_header(&written), Ok(expected), "written and read again");
            }
        }
        Ok(ProxyArrival::Partial) => assert!(bytes.len() < LONGEST_PROXY_HEADER, "it never ends"),
        // What is none does not become one by more bytes.
        Err(error) => assert_eq!(read_proxy_header(&[bytes, b"\r\n"].concat()), Err(error)),
    }
});
