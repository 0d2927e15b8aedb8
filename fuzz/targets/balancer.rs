//! What a balancer reads: its state file, requests, answers, paths of static files. A request that is passed on
//! carries nothing of the client's under the balancer's own names, ends in one way only, and no path leaves its folder.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use tandem_balancer::fuzzing;
use tandem_rules::routing::{Match, RouteIndex};

mod written;

use written::{body, request_is_ours, requests_are_the_same_behind};

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
    requests_are_the_same_behind(&all);
}

/// What an instance answers. What comes out is one answer, and is read as the same one.
fn answer(bytes: &[u8]) {
    let Some(written) = fuzzing::pass_back(bytes) else { return };
    let again = fuzzing::pass_back(&written).expect("what is written is an answer");
    assert_eq!(body(&written), body(&again));
}
