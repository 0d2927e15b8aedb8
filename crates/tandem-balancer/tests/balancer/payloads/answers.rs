//! Answers of an instance that are malformed, cut or lie: the client gets a clean 502, or sees that the answer is not
//! whole; the next answer on its connection is its own.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;

use super::{converse, statuses};
use crate::app::App;
use crate::client::read_until;
use crate::world::World;

/// What is smuggled: an answer behind another one, which nobody asked for.
macro_rules! leak {
    ($answer:literal) => {
        concat!($answer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nLEAK")
    };
}

type Table = &'static [(&'static str, &'static str)];

/// No answers.
const REFUSED: Table = &[
    ("nothing", ""),
    ("an empty line", "\r\n"),
    ("nonsense", leak!("what?\r\n\r\n")),
    ("another protocol", leak!("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    ("a page without a head", "<!doctype html>\r\n\r\nhello"),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
    ("a later version", leak!("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    ("no status", leak!("HTTP/1.1 OK\r\n\r\n")),
    ("a short status", leak!("HTTP/1.1 20 OK\r\n\r\n")),
    ("a long status", leak!("HTTP/1.1 2000 OK\r\n\r\n")),
    ("a status below 100", leak!("HTTP/1.1 099 OK\r\n\r\n")),
    ("no space", leak!("HTTP/1.1 200OK\r\n\r\n")),
    ("no CR", leak!("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")),
    ("a field without CR", leak!("HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nok")),
    ("a CR in a value", leak!("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok")),
    ("a NUL in a value", leak!("HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 2\r\n\r\nok")),
    ("a folded line", leak!("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok")),
    ("a space behind a name", leak!("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok")),
    ("a line without a colon", leak!("HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok")),
    ("two lengths", leak!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok")),
    ("a list of lengths", leak!("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok")),
    ("a length below zero", leak!("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok")),
    (
        "a length and chunks",
        leak!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    ("another coding", leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
    ("chunks in chunks", leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")),
    (
        "chunks twice",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    ("no coding", leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok")),
    ("chunks in HTTP/1.0", leak!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
    (
        "another protocol, unasked",
        leak!("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ),
    ("news and nothing else", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    ("news with nonsense behind", leak!("HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n")),
];

/// Answers that end where they say, whatever follows.
const WHOLE: Table = &[
    ("more than said", leak!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    (
        "more behind chunks",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ),
    ("lengths alike", leak!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")),
    ("a body where none can be", leak!("HTTP/1.1 204 No Content\r\n\r\n")),
    ("a length where none can be", leak!("HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n")),
    ("chunks where none can be", leak!("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")),
    ("a body of what is known", leak!("HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n")),
    (
        "news ahead",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "fields of one connection",
        "HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: LEAK\r\nKeep-Alive: LEAK\r\nProxy-Authenticate: LEAK\r\n\
         Upgrade: LEAK\r\nTE: LEAK\r\nTrailer: LEAK\r\nX-Request-Id: LEAK\r\nContent-Length: 2\r\n\r\nok",
    ),
];

/// Answers with chunks that are none, which are seen before the client has heard anything.
const BAD_CHUNKS: Table = &[
    (
        "a size that is none",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n"),
    ),
    (
        "a size below zero",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n"),
    ),
    (
        "more in a chunk than said",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n"),
    ),
    ("a chunk without CR", leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n")),
    (
        "a folded trailer",
        leak!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ),
];

/// Answers that break off.
const CUT: Table = &[
    ("less than said", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"),
    ("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
    ("half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok"),
    (
        "no end of the trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n",
    ),
];

/// An instance that answers `/bad` with what it is told to, and closes; everything else with `good`.
struct Liar {
    world: World,
    lie: Arc<Mutex<Vec<u8>>>,
    _app: App,
}

impl Liar {
    async fn new() -> Self {
        let lie = Arc::<Mutex<Vec<u8>>>::default();
        let told = Arc::clone(&lie);
        let app = App::raw(move |mut stream| {
            let told = Arc::clone(&told);
            async move {
                let head = read_until(&mut stream, "\r\n\r\n").await;
                let good = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood".to_vec();
                let answer = if head.contains(" /bad ") { told.lock().unwrap().clone() } else { good };
                // Who has heard enough closes.
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await;
        let world = World::serving(&[app.address]).await;
        Self { world, lie, _app: app }
    }

    /// Tells the lie, then the truth, on one connection: what the client is told.
    async fn tell(&self, method: &str, lie: impl Into<Vec<u8>>) -> (Vec<u16>, String) {
        *self.lie.lock().unwrap() = lie.into();
        let host = "Host: shop.example\r\n";
        let asked = format!("{method} /bad HTTP/1.1\r\n{host}\r\nGET /good HTTP/1.1\r\n{host}\r\n");
        let said = converse(self.world.address, asked.as_bytes()).await;
        (statuses(&said), said)
    }
}

#[tokio::test]
async fn what_is_no_answer_becomes_a_502_and_the_next_answer_is_its_own() {
    let liar = Liar::new().await;
    for (name, lie) in REFUSED.iter().chain(BAD_CHUNKS) {
        for method in ["GET", "POST"] {
            let (told, said) = liar.tell(method, *lie).await;
            let news = if lie.starts_with("HTTP/1.1 103") { &[103][..] } else { &[] };
            let told: Vec<_> = told.iter().filter(|status| !news.contains(status)).collect();
            assert_eq!(told, [&502, &200], "{name}: {said}");
            assert!(said.ends_with("\r\n\r\ngood") && !said.contains("LEAK"), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn an_answer_ends_where_it_says_and_what_follows_is_nobodys() {
    let liar = Liar::new().await;
    for (name, lie) in WHOLE {
        for method in ["GET", "POST", "HEAD"] {
            let (told, said) = liar.tell(method, *lie).await;
            let status = lie.get(9..12).unwrap().parse().unwrap();
            let expected = if status == 103 { vec![103, 200, 200] } else { vec![status, 200] };
            assert_eq!(told, expected, "{name}: {said}");
            assert!(said.ends_with("\r\n\r\ngood") && !said.contains("LEAK"), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let liar = Liar::new().await;
    for (name, lie) in CUT {
        let (told, said) = liar.tell("GET", *lie).await;
        let is_refused = told == [502, 200] && said.ends_with("\r\n\r\ngood");
        let is_cut =
            matches!(told.as_slice(), [] | [200]) && !said.contains("\r\n0\r\n") && !said.contains("good");
        assert!((is_refused || is_cut) && !said.contains("LEAK"), "{name}: {said}");
    }
}

#[tokio::test]
async fn what_can_become_no_answer_is_not_waited_for() {
    for beginning in ["\0\x01\x02", "SSH-2.0-OpenSSH_9.2\r\n", "\r\nHTPP/1.1 2"] {
        let app = App::raw(move |mut stream| async move {
            let _ = read_until(&mut stream, "\r\n\r\n").await;
            let _ = stream.write_all(beginning.as_bytes()).await;
            let _ = read_until(&mut stream, "never").await;
        })
        .await;
        let world = World::serving(&[app.address]).await;
        let said = converse(world.address, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        assert_eq!(statuses(&said), [502], "{beginning:?}: {said}");
    }
}

#[tokio::test]
async fn a_bad_chunk_behind_good_ones_breaks_off_what_the_client_has_heard_of() {
    let app = App::raw(|mut stream| async move {
        let _ = read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let _ = stream.write_all(b"x\r\nLEAK\r\n0\r\n\r\n").await;
        let _ = read_until(&mut stream, "never").await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let said = converse(world.address, b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert!(said.ends_with("\r\n2\r\nok\r\n"), "{said}");
}

#[tokio::test]
async fn a_head_that_is_too_long_becomes_a_502() {
    let liar = Liar::new().await;
    let many: String = (0..101).map(|number| format!("X-{number}: a\r\n")).collect();
    for fields in [format!("X: {}\r\n", "a".repeat(70_000)), many] {
        let (told, said) =
            liar.tell("GET", format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")).await;
        assert_eq!(told, [502, 200], "{said}");
    }
}

#[tokio::test]
async fn news_without_end_becomes_a_502() {
    let liar = Liar::new().await;
    for news in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"] {
        let (told, said) = liar.tell("GET", news.repeat(10_000)).await;
        let told: Vec<_> = told.into_iter().filter(|status| *status != 103).collect();
        assert_eq!(told, [502, 200], "{said:.500}");
        assert!(said.len() < 100_000, "{} bytes", said.len());
    }
}
