//! What a balancer reads: its state file, requests, answers, paths of static files. A request that is passed on
//! carries nothing of the client's under the balancer's own names, ends in one way only, and no path leaves its folder.

#![no_main]

use std::path::{Component, Path};

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
        Some(_) if data.starts_with(b"HTTP/") => answer(data),
        Some(_) => requests(data),
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

/// What a client sends. What comes out is read by another parser, and passed on once more: whoever stands behind this
/// balancer must see the same requests.
fn requests(bytes: &[u8]) {
    let all = fuzzing::pass_on(bytes);
    for request in &all {
        request_is_ours(request);
    }
    let again = fuzzing::pass_on(&all.concat());
    assert_eq!(again.len(), all.len(), "requests that are understood otherwise behind");
    for (first, second) in all.iter().zip(&again) {
        assert_eq!(body(first), body(second));
    }
}

fn body(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("it has a head");
    &message[end + 4..]
}

fn request_is_ours(written: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(written).expect("what is written is a head");
    assert!(parsed.is_complete() && request.version == Some(1));
    let target = request.path.expect("it has a target");
    assert!(target.starts_with('/') || target == "*", "{target:?}");
    let named = |name: &str| {
        let is = |field: &&httparse::Header<'_>| field.name.replace('_', "-").eq_ignore_ascii_case(name);
        request.headers.iter().filter(is).map(|field| field.value).collect::<Vec<_>>()
    };
    assert_eq!(named("host").len(), 1);
    assert_eq!(named("x-forwarded-for"), [b"127.0.0.1"]);
    assert_eq!(named("x-forwarded-host"), named("host"));
    for name in OURS {
        assert!(named(name).len() <= 1, "{name} is the balancer's");
    }
    let switches = named("upgrade").len() == 1 && named("connection") == [b"upgrade"];
    for name in OF_ONE_CONNECTION {
        let stays = switches && matches!(name, "connection" | "upgrade");
        assert!(stays || named(name).is_empty(), "{name} is for one connection");
    }
    let ends = named("content-length").len() + named("transfer-encoding").len();
    assert!(ends <= 1, "a message that ends in two ways");
    let lines = &written[..written.len() - body(written).len()];
    let bare = lines.iter().enumerate().any(|(at, byte)| {
        (*byte == b'\n' && lines[at - 1] != b'\r') || (*byte == b'\r' && lines.get(at + 1) != Some(&b'\n'))
    });
    assert!(!bare && !lines.contains(&0), "another reader may see other lines");
}

/// What an instance answers. What comes out is one answer, and is read as the same one.
fn answer(bytes: &[u8]) {
    let Some(written) = fuzzing::pass_back(bytes) else { return };
    let again = fuzzing::pass_back(&written).expect("what is written is an answer");
    assert_eq!(body(&written), body(&again));
}
