//! Private readers of bytes as the fuzz targets need them (`fuzz/` at the root of the repository). No part of the crate's
//! interface: nothing else may use this.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::HeaderValue;
use http::request::Parts;
use tandem_types::routing::Table;

use crate::forward::{self, Origin};
use crate::static_files;
use crate::table::StateFile;

/// The table in a state file, and the file as it would be written again.
#[must_use]
pub fn state(path: &Path) -> Option<(Table, Vec<u8>)> {
    let saved = StateFile::new(path.to_owned()).load()?;
    let written = serde_json::to_vec(&saved).expect("what was read can be written");
    Some((saved.table, written))
}

/// The name of a static file that the path in a URL stands for.
#[must_use]
pub fn file_name(path: &str) -> Option<String> {
    static_files::file_name(path)
}

/// Makes a client's request ready for an instance; false where it is refused.
#[must_use]
pub fn pass_on(parts: &mut Parts) -> bool {
    let (Ok(framing), Ok(host)) = (forward::check_request(parts), forward::host_of(parts)) else {
        return false;
    };
    let origin = Origin {
        address: Origin::address_value(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        scheme: "http",
        host,
        id: HeaderValue::from_static("id"),
    };
    forward::prepare_request(parts, framing, &origin);
    true
}
