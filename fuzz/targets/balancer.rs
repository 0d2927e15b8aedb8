//! What a balancer reads: its state file, the heads of requests, paths of static files. A request that is passed on
//! carries nothing of the client's under the balancer's own names, ends in one way only, and no path leaves its folder.

#![no_main]

use std::path::{Component, Path};

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use tandem_balancer::fuzzing;
use tandem_rules::routing::{Match, RouteIndex};

/// Fields that end at the balancer, in any spelling that an app may take for them.
const OURS: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"];
const OF_ONE_CONNECTION: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authorization"];

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((b'{', _)) => state(data),
        Some((b'/', path)) => static_file(path),
        Some(_) => request(data),
        None => {}
    }
});

fn state(json: &[u8]) {
    let scratch = tempfile::tempdir().expect("there is room");
    let path = scratch.path().join("state.json");
    tandem_kit::files::write_atomic_unsynced(&path, json, 0o600).expect("there is room");
    let Some((table, written)) = fuzzing::state(&path) else { return };
    tandem_kit::files::write_atomic_unsynced(&path, &written, 0o600).expect("there is room");
    assert_eq!(fuzzing::state(&path), Some((table.clone(), written)), "written and read again");
    let index = RouteIndex::new(&table);
    for entry in &table.routes {
        for path in [entry.prefix.as_str(), "/", "*", "/a/b", ""] {
            if let Match::Route { route, folder } = index.find(&entry.domain, path) {
                let folders = &table.routes[route].static_folders;
                assert!(folder.is_none_or(|folder| path.starts_with(&folders[folder].prefix)));
            }
        }
    }
}

fn static_file(path: &[u8]) {
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Some(name) = fuzzing::file_name(path) else { return };
    assert!(!name.contains('\0'), "{name:?}");
    let mut below = Path::new("/tree").join(&name);
    assert!(
        below.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))),
        "{name:?}"
    );
    assert!(below.starts_with("/tree") && below.pop(), "{name:?}");
}

/// A head as text: the method, the target and then fields, one a line.
fn request(text: &[u8]) {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut next = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(method), Some(target)) = (next(), next()) else { return };
    let Ok(request) = Request::builder().method(method).uri(target).body(()) else { return };
    let (mut parts, ()) = request.into_parts();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    if !fuzzing::pass_on(&mut parts) {
        return;
    }
    assert_eq!(parts.headers.get_all(HOST).iter().count(), 1);
    assert_eq!(parts.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(parts.headers["x-forwarded-host"], parts.headers[HOST]);
    for name in parts.headers.keys() {
        let as_apps_see = name.as_str().replace('_', "-");
        let once = parts.headers.get_all(name).iter().count() == 1;
        let ours = OURS.contains(&as_apps_see.as_str());
        assert!(!ours || name.as_str() == as_apps_see && once, "{name} is the balancer's");
        assert!(!OF_ONE_CONNECTION.contains(&as_apps_see.as_str()), "{name} is for one connection");
    }
    let [length, chunked] = [CONTENT_LENGTH, TRANSFER_ENCODING].map(|name| parts.headers.contains_key(name));
    assert!(!(length && chunked), "a message that ends in two ways");
    let target = parts.uri.to_string();
    assert!(target.starts_with('/') || target == "*", "{target:?}");
}
