//! Frames of one-off commands: however the bytes are cut, the same frames come out; what was read is written and read alike;
//! and no frame is longer than it may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Frame, FrameError, LONGEST};

fuzz_target!(|data: &[u8]| {
    let [piece, rest @ ..] = data else { return };
    let (frames, error) = read(rest.chunks(usize::from(*piece).max(1)));
    assert_eq!((&frames, &error), (&read(std::iter::once(rest)).0, &read(std::iter::once(rest)).1));
    let mut written = Vec::new();
    for frame in &frames {
        bounded(frame);
        frame.write(&mut written);
    }
    let (again, error) = read(std::iter::once(&written[..]));
    assert_eq!((again, error), (frames, None));
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn bounded(frame: &Frame) {
    match frame {
        Frame::Input(bytes) | Frame::Output(Stream::Stdout | Stream::Stderr | Stream::Tandem, bytes) => {
            assert!(bytes.len() <= LONGEST);
        }
        Frame::Signal(signal) => assert!((1..=64).contains(signal)),
        _ => {}
    }
}
