//! Those who do not read, by a clock that the test moves.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tandem_kit::clock::{Clock, Moment};
use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Frame, Hello, Welcome};

use super::talk::{Talk, pipe};

const MEGABYTE: usize = 1 << 20;

struct Scene {
    talk: Talk,
    now: Moment,
    /// The command's end of its input.
    input: std::fs::File,
}

fn scene(expected: bool) -> Scene {
    let now = Clock::system().monotonic();
    let (input, ours) = pipe().unwrap();
    Scene { talk: Talk::new(ours, None, expected.then_some(now)), now, input }
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

/// What a shim says to a client that has said hello.
fn welcome(from: &mut UnixStream) -> Welcome {
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 1024]);
    loop {
        let count = from.read(&mut buffer).expect("it is welcome");
        decoder.push(&buffer[..count]);
        if let Some(Frame::Welcome(welcome)) = decoder.next_frame().unwrap() {
            return welcome;
        }
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

/// More than the shim keeps for a command that does not read, so that the rest waits in its connection.
#[test]
fn input_that_waits_in_a_connection_is_forgotten_where_its_client_says_it_again_over_another() {
    let mut scene = scene(false);
    let mine = Hello { client: Some(7), ..Hello::default() };
    let bytes: Vec<u8> =
        (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let say = |scene: &mut Scene, to: &UnixStream, mut rest: &[u8]| {
        while !rest.is_empty() {
            let mut frame = Vec::new();
            Frame::Input(rest[..rest.len().min(10_000)].to_vec()).write(&mut frame);
            let Ok(count) = { to }.write(&frame) else { break };
            assert_eq!(count, frame.len(), "whole frames, for a simple test");
            rest = &rest[rest.len().min(10_000)..];
            scene.turn();
        }
    };
    let mut first = scene.attach(mine.clone());
    assert_eq!(welcome(&mut first).taken, 0);
    let mut stranger = scene.attach(Hello { client: Some(8), ..Hello::default() });
    say(&mut scene, &first, &bytes[..250_000]);
    // Nobody has noticed that the first connection is cut, and what it brought waits in it.
    let mut second = scene.attach(mine.clone());
    let taken = welcome(&mut second).taken as usize;
    assert!(taken < 250_000, "{taken}");
    let (mut came, mut piece) = (Vec::new(), vec![0; MEGABYTE]);
    nix::fcntl::fcntl(&scene.input, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    let mut rest = &bytes[taken..];
    while came.len() < bytes.len() {
        say(&mut scene, &second, &rest[..rest.len().min(10_000)]);
        rest = &rest[rest.len().min(10_000)..];
        for _ in 0..4 {
            scene.turn();
            let count = scene.input.read(&mut piece).unwrap_or(0);
            came.extend_from_slice(&piece[..count]);
        }
    }
    drop((first, second));
    scene.turn();
    assert!(scene.input.read(&mut piece).is_err(), "nothing more comes");
    assert!(came == bytes, "each byte once, and in order");
    let mut third = scene.attach(mine);
    assert_eq!(welcome(&mut third).taken, 300_000, "also of one that was away");
    assert_eq!(welcome(&mut stranger).taken, 0, "what others say is not counted for it");
}

#[test]
fn who_was_cut_is_waited_for_although_another_comes_back_before() {
    let mut scene = scene(false);
    let named = |key, after| Hello { client: Some(key), after, ..Hello::default() };
    let (mut ann, mut ben) = (scene.attach(named(1, None)), scene.attach(named(2, None)));
    let first = scene.write(MEGABYTE / 4) as u64;
    assert_eq!((read(&mut scene, &mut ann).0, read(&mut scene, &mut ben).0), (first, first));
    drop((ann, ben));
    scene.turn();
    let mut ann = scene.attach(named(1, Some(first)));
    let mut second = 0;
    while scene.write(10_000) > 0 {
        second += 10_000;
        read(&mut scene, &mut ann);
        assert!(second < MEGABYTE as u64, "ben is not waited for");
    }
    let mut ben = scene.attach(named(2, Some(first)));
    assert_eq!(read(&mut scene, &mut ben), (second, 0));
}

#[test]
fn who_says_nothing_is_sent_away() {
    let mut scene = scene(false);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    scene.talk.attach(theirs, b"");
    scene.turn();
    assert_eq!(scene.talk.patience(scene.now), Some(Duration::from_secs(30)));
    scene.pass(Duration::from_secs(30));
    assert_eq!(ours.read(&mut [0]).unwrap(), 0, "it is cut off");
}
