//! Output of apps and the logs it becomes: lines are the same whatever the pieces, what is written is read, and a log that
//! is torn or forged is told without a panic and never longer than asked for.

#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use tandem_kit::files::write_atomic_unsynced;
use tandem_sandbox::{fuzzing, logs};
use tandem_types::Timestamp;
use tandem_types::event::Stream;

/// Short, so that lines are cut.
const LIMIT: usize = 16;

fuzz_target!(|data: &[u8]| {
    match data {
        [b'o', piece, text @ ..] => output(text, usize::from(*piece).max(1)),
        [count, text @ ..] => log(text, usize::from(*count)),
        [] => {}
    }
});

fn output(text: &[u8], piece: usize) {
    let whole = fuzzing::output_lines(LIMIT, [text].into_iter());
    assert_eq!(whole, fuzzing::output_lines(LIMIT, text.chunks(piece)));
    let ends = text.iter().filter(|byte| **byte == b'\n').count();
    let rest = usize::from(text.last().is_some_and(|byte| *byte != b'\n'));
    assert_eq!(whole.len(), ends + rest, "no line is lost, none is made up");
    for (number, text) in whole.iter().enumerate() {
        assert!(!text.contains('\n') && text.len() <= 3 * LIMIT + 40, "{text:?}");
        let time = Timestamp::from_microsecond(1_700_000_000_000_000 + number as i64).expect("within range");
        let written = fuzzing::write_line(time, Stream::Stderr, text);
        let line =
            fuzzing::read_line(written.strip_suffix('\n').expect("an end").as_bytes()).expect("a line");
        assert_eq!((line.time, line.stream, &line.text), (time, Stream::Stderr, text));
    }
}

/// Chunks of a log, with NUL between them.
fn log(text: &[u8], count: usize) {
    let scratch = tempfile::tempdir().expect("there is room");
    let folder = scratch.path().join("i1");
    fs::create_dir(&folder).expect("there is room");
    for (number, chunk) in (1..).zip(text.split(|byte| *byte == 0).take(4)) {
        write_atomic_unsynced(&folder.join(format!("{number:08}.log")), chunk, 0o600).expect("there is room");
    }
    let all = logs::tail(&folder, usize::MAX).expect("it can be read").lines;
    let some = logs::tail(&folder, count).expect("it can be read").lines;
    assert_eq!(some, all[all.len() - count.min(all.len())..], "the last ones");
    for line in &all {
        let written = fuzzing::write_line(line.time, line.stream, &line.text);
        let again = fuzzing::read_line(written.trim_end_matches('\n').as_bytes()).expect("a line");
        assert_eq!((again.stream, &again.text), (line.stream, &line.text));
    }
    if logs::fold(&folder).expect("there is room") {
        assert_eq!(logs::tail(&logs::folded(&folder), usize::MAX).expect("it can be read").lines, all);
    }
}
