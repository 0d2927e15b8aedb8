//! One-off commands: talked with over the shim's socket, through pipes and through a terminal.

use std::time::Duration;

use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Ended, Frame, Hello, Welcome};
use tandem_types::session::{SessionSpec, Size, Terminal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::harness::{Bench, ENOUGH, end_of};
use crate::shim::{Error, ShimHandle, ShimSpec};
use crate::tests::{can_isolate, eventually};

pub(super) const WINDOW: Size = Size { rows: 33, columns: 101 };

/// Somebody who is attached, and what they have heard so far.
pub(super) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    lost: u64,
    taken: u64,
}

impl Client {
    pub(super) async fn attach(handle: &ShimHandle, hello: Hello) -> (Self, Welcome) {
        let stream = handle.attach().await.unwrap();
        let (stdout, stderr) = (Vec::new(), Vec::new());
        let mut client = Self { stream, decoder: Decoder::default(), stdout, stderr, lost: 0, taken: 0 };
        client.say(&Frame::Hello(hello)).await;
        let Some(Frame::Welcome(welcome)) = client.hear().await else { panic!("it is welcome") };
        (client, welcome)
    }

    pub(super) async fn say(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(super) async fn type_in(&mut self, text: &str) {
        self.say(&Frame::Input(text.into())).await;
    }

    async fn hear(&mut self) -> Option<Frame> {
        let heard = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                if let Some(frame) = self.decoder.next_frame().unwrap() {
                    return Some(frame);
                }
                match self.stream.read(&mut buffer).await.unwrap() {
                    0 => return None,
                    count => self.decoder.push(&buffer[..count]),
                }
            }
        };
        let heard = tokio::time::timeout(ENOUGH, heard).await;
        heard.unwrap_or_else(|_| {
            panic!("nothing more is said behind {:?}", String::from_utf8_lossy(&self.stdout))
        })
    }

    /// Takes one frame in; the end, once it comes.
    async fn listen(&mut self) -> Option<Ended> {
        match self.hear().await.expect("the end is told before the connection ends") {
            Frame::Output(Stream::Stderr, bytes) => self.stderr.extend(bytes),
            Frame::Output(_, bytes) => self.stdout.extend(bytes),
            Frame::Lost(bytes) => self.lost += bytes,
            Frame::Taken(bytes) => self.taken = bytes,
            Frame::Ended(ended) => return Some(ended),
            other => panic!("{other:?}"),
        }
        None
    }

    pub(super) async fn until_end(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.listen().await {
                assert_eq!(self.hear().await, None, "the end is the last that is said");
                return ended;
            }
        }
    }

    pub(super) async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            let ended = self.listen().await;
            assert_eq!(ended, None, "{text:?} was never said: {}", String::from_utf8_lossy(&self.stdout));
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace('\r', "")
    }
}

fn pipes(bench: &Bench, command: &str) -> ShimSpec {
    let session = SessionSpec { terminal: None, detached: false, cpus: None, pids: 512 };
    ShimSpec { session: Some(session), ..bench.spec(command) }
}

pub(super) fn terminal(bench: &Bench, command: &str) -> ShimSpec {
    let terminal = Some(Terminal { size: WINDOW, term: "xterm".to_owned() });
    let session = SessionSpec { terminal, detached: false, cpus: None, pids: 512 };
    ShimSpec { session: Some(session), ..bench.spec(command) }
}

#[tokio::test]
async fn ten_megabytes_through_pipes_come_back_unchanged_and_the_code_is_the_commands() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let command = "cat; echo done >&2; test -t 0 || test -t 1 || exit 7";
    let handle = bench.try_launch(&pipes(&bench, command)).await.unwrap();
    let (mut client, welcome) = Client::attach(&handle, Hello::default()).await;
    assert_eq!(welcome, Welcome { terminal: false, offset: 0, taken: 0 });
    let bytes: Vec<u8> =
        (0..10_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut rest = &bytes[..];
    let mut ended = None;
    while ended.is_none() {
        if client.stdout.len() + (256 << 10) > bytes.len() - rest.len() && !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.len().min(60_000));
            client.say(&Frame::Input(piece.to_vec())).await;
            rest = left;
            if rest.is_empty() {
                client.say(&Frame::EndOfInput).await;
            }
        } else {
            ended = client.listen().await;
        }
    }
    assert_eq!(ended.unwrap().exit.code, Some(7));
    assert!(client.stdout == bytes, "{} of {} bytes", client.stdout.len(), bytes.len());
    assert_eq!((client.stderr, client.lost), (b"done\n".to_vec(), 0));
    assert_eq!(client.taken, bytes.len() as u64);
    handle.dismiss().await.unwrap();
    eventually("the shim leaves", || !handle.lives()).await;
}

#[tokio::test]
async fn the_first_client_misses_nothing_however_late_it_comes() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.try_launch(&pipes(&bench, "seq 1 300000")).await.unwrap();
    // More than is kept: so it waits.
    let last = || bench.output().last().and_then(|line| line.parse::<u32>().ok());
    eventually("much of it is written", || last().is_some_and(|line| line > 60_000)).await;
    let (mut client, _) = Client::attach(&handle, Hello::default()).await;
    assert_eq!(client.until_end().await.exit.code, Some(0));
    let lines: Vec<_> = client.text().lines().map(|line| line.parse::<u32>().unwrap()).collect();
    assert!(lines.into_iter().eq(1..=300_000));
    assert_eq!(client.lost, 0);
}

#[tokio::test]
async fn what_is_detached_waits_for_nobody_and_is_come_back_to() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = terminal(&bench, "stty -echo -onlcr; seq 1 300000; read line; echo got $line");
    spec.session.as_mut().unwrap().detached = true;
    let handle = bench.try_launch(&spec).await.unwrap();
    bench.said("300000").await;
    let (mut client, welcome) = Client::attach(&handle, Hello::default()).await;
    assert!(welcome.offset > 500_000, "{welcome:?}");
    client.until("300000\n").await;
    client.say(&Frame::Leave).await;
    let has = welcome.offset + client.stdout.len() as u64;
    let (mut next, welcome) = Client::attach(&handle, Hello { after: Some(has), ..Hello::default() }).await;
    assert_eq!(welcome.offset, has);
    let screen = Hello { size: Some(Size { rows: 3, columns: 80 }), screenful: true, ..Hello::default() };
    let (mut other, _) = Client::attach(&handle, screen).await;
    next.type_in("it\n").await;
    for client in [&mut next, &mut other] {
        assert_eq!(client.until_end().await.exit.code, Some(0));
    }
    assert_eq!(next.text(), "got it\n");
    assert_eq!(other.text(), "299998\n299999\n300000\ngot it\n");
    handle.dismiss().await.unwrap();
    eventually("the shim leaves", || !handle.lives()).await;
}

#[tokio::test]
async fn what_is_detached_sees_the_end_of_its_input_at_once() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = pipes(&bench, "cat; echo over");
    spec.session.as_mut().unwrap().detached = true;
    let handle = bench.try_launch(&spec).await.unwrap();
    bench.said("over").await;
    assert_eq!(end_of(&handle).await.exit.code, Some(0));
}

#[tokio::test]
async fn a_command_over_its_memory_tells_its_client() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let mut spec = pipes(&bench, "/usr/bin/python3 -c 'x = b\"x\" * (256 << 20)'");
    spec.sandbox.limits.memory_bytes = Some(64 << 20);
    let handle = bench.try_launch(&spec).await.unwrap();
    let (mut client, _) = Client::attach(&handle, Hello::default()).await;
    assert!(client.until_end().await.exit.out_of_memory);
}

#[tokio::test]
async fn signals_reach_the_command_and_not_what_holds_it() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let command = "trap 'echo told' INT; echo up; while :; do sleep 0.05; done";
    let handle = bench.try_launch(&pipes(&bench, command)).await.unwrap();
    let (mut client, _) = Client::attach(&handle, Hello::default()).await;
    client.until("up").await;
    client.say(&Frame::Signal(2)).await;
    client.until("told").await;
    client.say(&Frame::Signal(9)).await;
    assert_eq!(client.until_end().await.exit.signal, Some(9));
}

#[tokio::test]
async fn a_command_that_reads_nothing_ends_although_somebody_goes_on_typing() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.try_launch(&pipes(&bench, "exec <&-; sleep 0.3; echo out")).await.unwrap();
    let (client, _) = Client::attach(&handle, Hello::default()).await;
    let (mut heard, mut said) = client.stream.into_split();
    let typing = async move {
        let mut bytes = Vec::new();
        Frame::Input(vec![b'x'; 60_000]).write(&mut bytes);
        while said.write_all(&bytes).await.is_ok() {}
    };
    let listening = async {
        let (mut decoder, mut buffer, mut ended) = (Decoder::default(), vec![0; 1 << 16], None);
        while let Ok(count @ 1..) = heard.read(&mut buffer).await {
            decoder.push(&buffer[..count]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                ended = if let Frame::Ended(end) = frame { Some(end) } else { ended };
            }
        }
        ended
    };
    let both = async { tokio::join!(typing, listening).1 };
    let ended = tokio::time::timeout(ENOUGH, both).await.expect("it ends").expect("the end was told");
    assert_eq!(ended.exit.code, Some(0));
}

#[tokio::test]
async fn with_an_instance_nobody_talks() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.launch("echo up; exec sleep 1000").await;
    bench.said("up").await;
    let Err(Error::Refused { reason }) = handle.attach().await else { panic!("it is refused") };
    assert_eq!(reason, "nobody can talk with it: it is no one-off command");
    handle.signal(9).await.unwrap();
    end_of(&handle).await;
}

#[tokio::test]
async fn the_last_words_of_a_client_are_heard_however_fast_the_command_writes() {
    if !can_isolate() {
        return;
    }
    // Each third one failed once.
    for _ in 0..12 {
        let bench = Bench::new();
        let handle = bench.try_launch(&pipes(&bench, "exec yes")).await.unwrap();
        let (mut client, _) = Client::attach(&handle, Hello::default()).await;
        client.until("y\ny\n").await;
        let mut words = Vec::new();
        Frame::Signal(1).write(&mut words);
        Frame::Leave.write(&mut words);
        client.stream.write_all(&words).await.unwrap();
        // Closed with much unread, as `head -1` leaves it.
        drop(client);
        assert_eq!(end_of(&handle).await.exit.signal, Some(1));
    }
}

#[tokio::test]
async fn one_client_too_many_is_told_so_and_has_room_once_another_has_left() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.try_launch(&pipes(&bench, "read line; echo $line")).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(Client::attach(&handle, Hello::default()).await.0);
    }
    let Err(Error::Refused { reason }) = handle.attach().await else { panic!("it is refused") };
    assert_eq!(reason, "too many are attached to it");
    drop(clients.pop());
    let has_room = async {
        while handle.attach().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(ENOUGH, has_room).await.expect("there is room");
    clients[0].type_in("all hear it\n").await;
    for mut client in clients {
        assert_eq!(client.until_end().await.exit.code, Some(0));
        assert_eq!(client.text(), "all hear it\n");
    }
}

#[tokio::test]
async fn a_shim_outlives_whoever_talks_nonsense() {
    if !can_isolate() {
        return;
    }
    let bench = Bench::new();
    let handle = bench.try_launch(&pipes(&bench, "read line; echo $line")).await.unwrap();
    let mut stream = handle.attach().await.unwrap();
    stream.write_all(&[1, 255, 255, 255, 255, 0]).await.unwrap();
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(cut.is_ok() && rest.is_empty(), "it is cut off");
    let (mut client, _) = Client::attach(&handle, Hello::default()).await;
    client.type_in("fine\n").await;
    assert_eq!(client.until_end().await.exit.code, Some(0));
    assert_eq!(client.text(), "fine\n");
}
