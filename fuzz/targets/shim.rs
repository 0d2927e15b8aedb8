//! What runner and shim say to each other and leave on the disk: requests and answers are the same whatever the pieces,
//! what is too long is given up, and nothing in a folder of records makes a runner panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tandem_kit::files::write_atomic_unsynced;
use tandem_sandbox::fuzzing;
use tandem_sandbox::shim::{self, Adopted};
use tandem_types::shim::{Answer, Request};

fuzz_target!(|data: &[u8]| {
    match data {
        [b'r', piece, text @ ..] => requests(text, usize::from(*piece).max(1)),
        [b'a', text @ ..] => answer(text),
        [b'p', text @ ..] => stat(text),
        [b'd', text @ ..] => records(text),
        _ => {}
    }
});

fn requests(text: &[u8], piece: usize) {
    let whole = fuzzing::requests(text.chunks(1024));
    let pieces = fuzzing::requests(text.chunks(piece.min(1024)));
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    assert!(whole.len() <= lines && pieces.len() <= lines);
    let shorter = whole.len().min(pieces.len());
    assert_eq!(whole[..shorter], pieces[..shorter], "what was understood does not depend on the pieces");
    if text.len() <= 4096 {
        assert_eq!(whole.len(), lines);
        assert_eq!(pieces.len(), lines);
    }
    for request in whole.into_iter().flatten() {
        let written = serde_json::to_vec(&request).expect("a request is JSON");
        assert_eq!(serde_json::from_slice::<Request>(&written).expect("its own JSON"), request);
    }
}

fn answer(text: &[u8]) {
    let answer = block_on(fuzzing::answer(text));
    let line = text.iter().position(|byte| *byte == b'\n').map(|end| &text[..end]);
    let expected = line.and_then(|line| serde_json::from_slice::<Answer>(line).ok());
    assert_eq!(answer.ok(), expected.filter(|_| line.is_some_and(|line| line.len() < 64 * 1024)));
}

/// `/proc/PID/stat` has the name that the process gives itself.
fn stat(name: &[u8]) {
    let line = [b"42 (", name, b") S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2\n"].concat();
    assert_eq!(fuzzing::pid_in_stat(&line), Some(42));
    // Anything at all: no panic.
    let _ = fuzzing::pid_in_stat(name);
}

/// Three files of a shim's folder, with NUL between them.
fn records(text: &[u8]) {
    let scratch = tempfile::tempdir().expect("there is room");
    let mut contents = text.splitn(3, |byte| *byte == 0);
    for name in ["exit.json", "shim.json", "spec.json"] {
        let Some(content) = contents.next() else { break };
        // With a whole specification, a runner ends what is left of the shim: real processes of this machine, if the
        // record happens to name some.
        if name != "spec.json" || serde_json::from_slice::<shim::ShimSpec>(content).is_err() {
            write_atomic_unsynced(&scratch.path().join(name), content, 0o600).expect("there is room");
        }
    }
    match block_on(shim::adopt(scratch.path())) {
        Ok(Adopted::Ended(record)) => {
            let written = serde_json::to_vec(&record).expect("a record is JSON");
            assert_eq!(serde_json::from_slice::<shim::ExitRecord>(&written).expect("its own JSON"), record);
        }
        Ok(Adopted::Gone { ran }) => assert_eq!(ran, Path::new(scratch.path()).join("shim.json").exists()),
        Ok(Adopted::Live(handle)) => panic!("nothing lives here: {handle:?}"),
        Err(_) => {}
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}
