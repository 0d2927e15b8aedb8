//! Transfers against a server that is this crate's own code behind a real socket.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tandem_kit::api::Server;
use tandem_kit::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::scan::{Options, scan_source};
use crate::store::BlobStore;

struct Bench {
    folder: tempfile::TempDir,
    store: BlobStore,
    client: Client,
    /// Bytes that came to the server, heads of requests included.
    wire: Arc<Mutex<u64>>,
    _server: tasks::Owned<()>,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path().join("blobs")).unwrap();
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let wire = Arc::new(Mutex::new(0));
    let server = tasks::owned("serve", serve(listener, store.clone(), Arc::clone(&wire)));
    Bench { folder, store, client: Client::new(Server::Unix(path)), wire, _server: server }
}

/// One request a connection, enough of HTTP for three paths.
async fn serve(listener: UnixListener, store: BlobStore, wire: Arc<Mutex<u64>>) {
    while let Ok((connection, _)) = listener.accept().await {
        answer(connection, &store, &wire).await;
    }
}

async fn answer(mut connection: UnixStream, store: &BlobStore, wire: &Mutex<u64>) {
    let request = read_request(&mut connection).await;
    *wire.lock().unwrap() += request.length;
    let body = match request.path.as_str() {
        MISSING => {
            let asked: Digests = serde_json::from_slice(&request.body).unwrap();
            serde_json::to_vec(&Digests { digests: store.missing(&asked.digests).unwrap() }).unwrap()
        }
        PUSH => {
            let pieces = request.body.chunks(777).map(|piece| Ok(Bytes::copy_from_slice(piece)));
            let receiver = Receiver::new(Target::Store(store.clone()), Limits::default());
            stream::receive(futures_util::stream::iter(pieces), receiver).await.unwrap();
            Vec::new()
        }
        FETCH => {
            let asked: Digests = serde_json::from_slice(&request.body).unwrap();
            let pieces: Vec<_> = stream::send(store.clone(), asked.digests).collect().await;
            pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect()
        }
        other => panic!("unexpected {other}"),
    };
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&body).await.unwrap();
}

struct Request {
    path: String,
    body: Vec<u8>,
    length: u64,
}

async fn read_request(connection: &mut UnixStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        if let Some(request) = parse(&bytes) {
            return request;
        }
        assert!(connection.read_buf(&mut bytes).await.unwrap() > 0, "the client went away");
    }
}

fn parse(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let rest = &bytes[end..];
    let body = match head.split_once("content-length: ") {
        Some((_, length)) => {
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            rest.get(..length)?.to_vec()
        }
        None => parse_chunks(rest)?,
    };
    Some(Request { path, body, length: bytes.len() as u64 })
}

fn parse_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(rest.get(line + 2..line + 2 + length)?);
        rest = rest.get(line + 2 + length + 2..)?;
        if length == 0 {
            return Some(body);
        }
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    io::Write::write_all(&mut File::create(path).unwrap(), content.as_bytes()).unwrap();
}

impl Bench {
    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// 40 files of Python in ten folders.
    fn write_source(&self) {
        for number in 0..40 {
            let text = format!("# file {number}\n{}", "value = compute(value)\n".repeat(50));
            write(&self.source().join(format!("app{}/module{number}.py", number % 10)), &text);
        }
    }

    fn scan(&self) -> Scan {
        let options = Options { include: &[], cache: None, clock: &Clock::system() };
        scan_source(&self.source(), &options).unwrap()
    }
}

#[tokio::test]
async fn a_changed_line_sends_one_file_and_the_folders_above_it() {
    let bench = bench();
    bench.write_source();
    let first = push_missing(&bench.client, &bench.scan(), None).await.unwrap();
    assert_eq!(first.blobs, 51);
    assert!(bench.store.is_complete(&bench.scan().root).unwrap());

    *bench.wire.lock().unwrap() = 0;
    let unchanged = push_missing(&bench.client, &bench.scan(), None).await.unwrap();
    assert_eq!((unchanged.blobs, unchanged.bytes), (0, 81));

    write(&bench.source().join("app3/module3.py"), "changed = True\n");
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress: Progress = Arc::new({
        let told = Arc::clone(&told);
        move |done, all| told.lock().unwrap().push((done, all))
    });
    *bench.wire.lock().unwrap() = 0;
    let changed = push_missing(&bench.client, &bench.scan(), Some(progress)).await.unwrap();
    assert_eq!(changed.blobs, 3);
    assert_eq!(*told.lock().unwrap(), [(1, 3), (2, 3), (3, 3)]);
    assert!(bench.store.is_complete(&bench.scan().root).unwrap());
    let wire = *bench.wire.lock().unwrap();
    assert!(changed.bytes <= wire && wire < changed.bytes + 4_000, "{} told, {wire} seen", changed.bytes);
    assert!(wire < 12_000, "a changed line took {wire} bytes");
}

#[tokio::test]
async fn a_server_that_lost_one_file_is_sent_that_file() {
    let bench = bench();
    bench.write_source();
    let scan = bench.scan();
    push_missing(&bench.client, &scan, None).await.unwrap();
    let file = scan.origins.iter().find(|(_, origin)| matches!(origin, Origin::File { .. })).unwrap().0;
    let name = file.to_string();
    fs::remove_file(bench.folder.path().join("blobs").join(&name[..2]).join(&name[2..])).unwrap();
    let store = BlobStore::open(bench.folder.path().join("blobs")).unwrap();
    let again = Bench { store: store.clone(), ..bench_over(bench, store) };
    let pushed = push_missing(&again.client, &scan, None).await.unwrap();
    assert_eq!(pushed.blobs, 3, "the file and the two folders above it");
    assert!(again.store.is_complete(&scan.root).unwrap());
}

#[tokio::test]
async fn what_the_server_loses_during_an_upload_is_sent_behind_it() {
    let bench = bench();
    bench.write_source();
    let scan = bench.scan();
    let file = scan.origins.iter().find(|(_, origin)| matches!(origin, Origin::File { .. })).unwrap().0;
    let name = file.to_string();
    let path = bench.folder.path().join("blobs").join(&name[..2]).join(&name[2..]);
    let socket = bench.folder.path().join("loses.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (store, wire) = (bench.store.clone(), Arc::clone(&bench.wire));
    let _server = tasks::owned("serve", async move {
        let mut lost = false;
        while let Ok((connection, _)) = listener.accept().await {
            answer(connection, &store, &wire).await;
            lost = lost || fs::remove_file(&path).is_ok();
        }
    });
    let pushed = push_missing(&Client::new(Server::Unix(socket)), &scan, None).await.unwrap();
    assert!(bench.store.is_complete(&scan.root).unwrap());
    assert_eq!(pushed.blobs, scan.origins.len() as u64 + 3, "the file and the two folders above it");
}

/// Another life of the server on the same folder.
fn bench_over(bench: Bench, store: BlobStore) -> Bench {
    let path = bench.folder.path().join("again.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tasks::owned("serve", serve(listener, store, Arc::clone(&bench.wire)));
    Bench { client: Client::new(Server::Unix(path)), _server: server, ..bench }
}

#[tokio::test]
async fn a_file_that_changes_between_scan_and_send_stops_the_push() {
    for content in ["longer than before", "other", ""] {
        let bench = bench();
        write(&bench.source().join("a"), "first");
        let scan = bench.scan();
        write(&bench.source().join("a"), content);
        let error = push_missing(&bench.client, &scan, None).await.unwrap_err();
        assert!(matches!(error, PushError::Changed(_)), "{error}");
        assert!(!bench.store.is_complete(&scan.root).unwrap());
    }
}

#[tokio::test]
async fn a_file_that_takes_long_to_be_packed_keeps_its_upload_alive() {
    let bench = bench();
    // Read from a pipe, which is as slow as whoever fills it.
    let path = bench.folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let content: Vec<u8> = (0..60_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let digest = tree::digest_of(&content);
    let blobs = vec![(digest, Origin::File { path: path.clone(), size: content.len() as u64 })];
    let (clock, hands) = Clock::manual(Timestamp::UNIX_EPOCH);
    let mut sent = std::pin::pin!(stream::produce_by(clock, "send", move |pieces| {
        send_all(&blobs, pieces, None).map_err(io::Error::other)
    }));
    let open = move || File::options().write(true).open(&path);
    let mut pipe = tasks::blocking("open a pipe", open).await.unwrap();
    let mut receiver = Receiver::new(Target::Store(bench.store.clone()), Limits::default());
    // The head of the stream and the 53 bytes of the blob's that are known; then there is nothing left to be said.
    for (part, number) in content.chunks(content.len() / 60).zip(0..) {
        hands.advance(Duration::from_secs(20));
        io::Write::write_all(&mut pipe, part).unwrap();
        if number < 54 {
            let piece = tokio::time::timeout(Duration::from_secs(30), sent.next()).await;
            receiver.push(&piece.expect("the sender is silent").unwrap().unwrap()).unwrap();
        }
    }
    drop(pipe);
    while let Some(piece) = sent.next().await {
        receiver.push(&piece.unwrap()).unwrap();
    }
    receiver.finish().unwrap();
    assert_eq!(bench.store.read(&digest).unwrap(), content[..]);
}

#[tokio::test]
async fn a_host_fetches_a_tree_with_its_times_and_then_nothing() {
    let bench = bench();
    bench.write_source();
    write(&bench.source().join("empty"), "");
    write(&bench.source().join("large"), &"0123456789".repeat(100_000));
    let scan = bench.scan();
    push_missing(&bench.client, &scan, None).await.unwrap();
    let cache = LinkCache::open(bench.folder.path().join("cache")).unwrap();
    assert!(fetch_tree(&bench.client, &cache, scan.root).await.unwrap() > 1000);
    assert_eq!(fetch_tree(&bench.client, &cache, scan.root).await.unwrap(), 0);
    let out = bench.folder.path().join("out");
    crate::checkout::checkout(&cache, &scan.root, &out, None).unwrap();
    let copied = fs::read(out.join("app3/module3.py")).unwrap();
    assert_eq!(copied, fs::read(bench.source().join("app3/module3.py")).unwrap());
    assert_eq!(fs::metadata(out.join("large")).unwrap().len(), 1_000_000);
    let seen = bench.store.first_seen(&tree::digest_of(&copied)).unwrap();
    let modified = fs::metadata(out.join("app3/module3.py")).unwrap().modified().unwrap();
    assert_eq!(modified, std::time::SystemTime::from(seen));
    crate::checkout::remove(&out).unwrap();
}

#[tokio::test]
async fn blobs_that_are_not_what_they_claim_get_no_name() {
    let bench = bench();
    let right = packed::pack(b"right").unwrap();
    for (digest, raw_len, packed) in [
        (tree::digest_of(b"wrong"), 5, right.clone()),
        (tree::digest_of(b"right"), 4, right.clone()),
        (tree::digest_of(b"right"), 6, right.clone()),
        (tree::digest_of(b"right"), 5, right[..right.len() - 1].to_vec()),
        (tree::digest_of(b"right"), 5, b"no frame".to_vec()),
    ] {
        let cache = LinkCache::open(bench.folder.path().join("cache")).unwrap();
        for target in [Target::Store(bench.store.clone()), Target::Cache(cache.clone())] {
            let first_seen = Timestamp::UNIX_EPOCH;
            let head = Head { digest, first_seen, raw_len, packed_len: packed.len() as u64 };
            let mut receiver = Receiver::new(target, Limits::default());
            receiver.push(&crate::frames::stream_head()).unwrap();
            let pushed = receiver.push(&[&crate::frames::blob_head(&head)[..], &packed].concat());
            assert!(matches!(pushed, Err(receive::Error::Wrong { .. })));
        }
        assert!(!bench.store.has(&[digest])[0]);
        assert!(!cache.path(&digest, false).exists());
    }
    assert_eq!(fs::read_dir(bench.folder.path().join("blobs/aside")).unwrap().count(), 0);
}
