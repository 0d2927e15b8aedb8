//! Those who do not read, by a clock that the test moves.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tandem_kit::clock::{Clock, Moment};
use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Frame, Hello};

use super::talk::{Talk, pipe};

const MEGABYTE: usize = 1 << 20;

struct Scene {
    talk: Talk,
    now: Moment,
    /// The command's end of its input.
    _input: std::fs::File,
}

fn scene(expected: bool) -> Scene {
    let now = Clock::system().monotonic();
    let (input, ours) = pipe().unwrap();
    Scene { talk: Talk::new(ours, None, expected.then_some(now)), now, _input: input }
}

impl Scene {
    fn turn(&mut self) {
        self.talk.turn(self.now, &mut |signal| panic!("nobody sent signal {signal}"));
    }

    fn attach(&mut self, hello: Hello) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        ours.set_nonblocking(true).unwrap();
        self.talk.attach(theirs, b"");
        let mut bytes = Vec::new();
        Frame::Hello(hello).write(&mut bytes);
        (&ours).write_all(&bytes).unwrap();
        self.turn();
        ours
    }

    /// Puts output in until the command would have to wait, or so many bytes are in.
    fn write(&mut self, most: usize) -> usize {
        let mut written = 0;
        while written < most && !self.talk.holds(self.now) {
            self.talk.output(Stream::Stdout, &[b'x'; 10_000]);
            written += 10_000;
            self.turn();
        }
        written
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.turn();
    }
}

/// Reads what is there: bytes of output, and bytes that were lost.
fn read(scene: &mut Scene, from: &mut UnixStream) -> (u64, u64) {
    let (mut decoder, mut buffer, mut sums) = (Decoder::default(), vec![0; MEGABYTE], (0, 0));
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return sums,
            Ok(count) => count,
            Err(_) => {
                scene.turn();
                let Ok(count) = from.read(&mut buffer) else { return sums };
                count
            }
        };
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            match frame {
                Frame::Output(_, bytes) => sums.0 += bytes.len() as u64,
                Frame::Lost(bytes) => sums.1 += bytes,
                _ => {}
            }
        }
    }
}

#[test]
fn a_command_waits_for_who_does_not_read_and_not_for_ever() {
    let mut scene = scene(false);
    let mut client = scene.attach(Hello::default());
    let first = scene.write(100 * MEGABYTE);
    assert!(first < 2 * MEGABYTE, "{first}");
    scene.pass(Duration::from_secs(299));
    assert!(scene.talk.holds(scene.now));
    assert_eq!(scene.talk.patience(scene.now), Some(Duration::from_secs(1)));
    scene.pass(Duration::from_secs(1));
    assert!(!scene.talk.holds(scene.now));
    let second = scene.write(20 * MEGABYTE);
    assert!(second >= 20 * MEGABYTE, "it goes on: {second}");
    let (read, lost) = read(&mut scene, &mut client);
    assert_eq!(read + lost, (first + second) as u64, "every byte is read or counted");
    assert!(lost > 10 * MEGABYTE as u64, "{lost}");
    // It has everything, and counts again.
    assert!(scene.write(100 * MEGABYTE) < 2 * MEGABYTE);
}

#[test]
fn nothing_is_lost_while_a_client_that_was_cut_off_may_come_back() {
    let mut scene = scene(false);
    let mut client = scene.attach(Hello::default());
    let first = scene.write(MEGABYTE / 4);
    let (has, _) = read(&mut scene, &mut client);
    assert_eq!(has, first as u64);
    drop(client);
    scene.turn();
    let second = scene.write(100 * MEGABYTE);
    assert!(second < MEGABYTE, "{second}");
    let mut client = scene.attach(Hello { after: Some(has), ..Hello::default() });
    assert_eq!(read(&mut scene, &mut client), (second as u64, 0));
    drop(client);
    scene.pass(Duration::from_secs(30));
    scene.pass(Duration::from_secs(30));
    assert!(scene.write(3 * MEGABYTE) >= 3 * MEGABYTE, "it does not come back");
}

#[test]
fn the_first_client_is_waited_for_and_not_for_ever() {
    let mut scene = scene(true);
    assert!(scene.write(100 * MEGABYTE) < MEGABYTE);
    assert_eq!(scene.talk.patience(scene.now), Some(Duration::from_secs(30)));
    scene.pass(Duration::from_secs(30));
    assert!(scene.write(3 * MEGABYTE) >= 3 * MEGABYTE);
}
