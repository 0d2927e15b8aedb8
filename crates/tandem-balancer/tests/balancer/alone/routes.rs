//! Routes to targets, and what becomes of them when the file changes.

use std::convert::Infallible;

use http::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tokio::net::UnixListener;

use super::{Lone, http, route};
use crate::app::{App, nobody, status, text};
use crate::client::{Client, get, raw};
use crate::requests::echo;
use crate::world::{eventually, within};

#[tokio::test]
async fn hosts_and_prefixes_lead_where_the_file_says() {
    let (exact, below, any) =
        (App::saying("exact").await, App::saying("below").await, App::saying("any").await);
    let routes = [
        route("www.example.org", &[&http(exact.address)]),
        route("*.example.org", &[&http(below.address)]),
        route("*", &[&http(any.address)]) + "prefix = \"/api\"\n",
    ];
    let lone = Lone::serving(&routes.concat()).await;
    for (host, path, said) in [
        ("www.example.org", "/", "exact"),
        ("a.b.example.org:80", "/", "below"),
        ("example.org", "/api/x", "any"),
        ("127.0.0.1", "/api", "any"),
    ] {
        assert_eq!(lone.get(host, path).await.text(), said, "{host}{path}");
    }
    assert_eq!(lone.get("other", "/").await.status, 404);
    lone.stop().await;
}

#[tokio::test]
async fn where_nobody_is_told_of_the_client_what_it_says_of_itself_is_dropped_too() {
    let app = echo().await;
    let bare = route("bare", &[&http(app.address)]) + "forwarded = false\n";
    let lone = Lone::serving(&(bare + &route("told", &[&http(app.address)]))).await;
    for (host, is_told) in [("bare", false), ("told", true)] {
        let lies = "X-Forwarded-For: 192.0.2.7\r\nX-Request-Id: client-says-so\r\nConnection: close";
        let said = raw(lone.address, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n{lies}\r\n\r\n")).await;
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains(&format!("\nhost: {host}\n")), "{said}");
        assert_eq!(said.contains("\nx-forwarded-for: 127.0.0.1\n"), is_told, "{said}");
        assert_eq!(said.matches("x-request-id").count(), if is_told { 2 } else { 0 }, "{said}");
        assert!(!said.contains("192.0.2.7"), "{said}");
    }
    lone.stop().await;
}

#[tokio::test]
async fn a_unix_socket_is_a_target_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("app.sock")).unwrap();
    let _app = tasks::owned("unix app", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(bodies::full("unix"))) });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    });
    let lone = Lone::serving_in(folder, &route("*", &[&"unix:app.sock"])).await;
    assert_eq!(lone.get("a", "/").await.text(), "unix");
    lone.stop().await;
}

#[tokio::test]
async fn a_changed_file_is_seen_by_itself_and_one_with_a_mistake_changes_nothing() {
    let (old, new) = (App::saying("old").await, App::saying("new").await);
    let lone = Lone::serving(&route("a", &[&http(old.address)])).await;
    assert_eq!(lone.get("a", "/").await.text(), "old");
    lone.change("[[route]]\ndomain = 3\n");
    // The last of them is asked for behind the file with the mistake.
    let good = route("a", &[&http(old.address)]) + &route("b", &[&http(new.address)]);
    assert_eq!(lone.get("a", "/").await.text(), "old");
    tandem_kit::files::write_atomic(&lone.path(), good.as_bytes(), 0o644).unwrap();
    lone.until(("b", "/"), |answer| answer.status == 200).await;
    assert_eq!(lone.get("a", "/").await.text(), "old");
    std::fs::remove_file(lone.path()).unwrap();
    lone.asked.notify_one();
    assert_eq!(lone.get("a", "/").await.text(), "old");
    lone.change(&route("a", &[&http(new.address)]));
    lone.until(("a", "/"), |answer| answer.text() == "new").await;
    assert_eq!(lone.get("b", "/").await.status, 404);
    lone.stop().await;
}

#[tokio::test]
async fn a_target_keeps_its_connections_when_the_file_changes_around_it() {
    let (app, other) = (App::saying("app").await, App::saying("other").await);
    let lone = Lone::serving(&route("shop.example", &[&http(app.address)])).await;
    let mut client = Client::connect(lone.address).await;
    assert_eq!(client.ask(get("/")).await.unwrap().text(), "app");
    let more = route("b", &[&http(other.address)]) + &route("shop.example", &[&http(app.address)]);
    lone.change(&more);
    lone.until(("b", "/"), |answer| answer.status == 200).await;
    assert_eq!(client.ask(get("/")).await.unwrap().text(), "app");
    assert_eq!(app.connections(), 1, "the kept connection was used again");
    lone.stop().await;
}

#[tokio::test]
async fn a_request_under_way_ends_well_when_its_target_is_named_no_more() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    let slow = App::raw(move |mut stream| {
        let (arrived, mut gone) = (arrived.clone(), gone.clone());
        async move {
            let mut bytes = [0; 1024];
            // A connection without a request looks whether somebody listens.
            let Ok(1..) = stream.read(&mut bytes).await else { return };
            let _ = arrived.send(());
            let _ = gone.wait_for(|gone| *gone).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
        }
    })
    .await;
    let new = App::saying("new").await;
    let lone = Lone::serving(&route("shop.example", &[&http(slow.address)])).await;
    let address = lone.address;
    let asking = tasks::owned("asking", async move { crate::client::fetch(address, "/").await });
    within(arrival.recv()).await.unwrap();
    let now = http(new.address);
    lone.change(&(route("shop.example", &[&now]) + &route("b", &[&now])));
    // Under another name: who comes before the change would wait as well.
    lone.until(("b", "/"), |answer| answer.text() == "new").await;
    assert_eq!(lone.get("shop.example", "/").await.text(), "new");
    go.send_replace(true);
    assert_eq!(within(asking).await.text(), "slow");
    lone.stop().await;
}

#[tokio::test]
async fn a_target_that_refuses_is_left_out_until_it_takes_connections_again() {
    let (one, address) = (App::saying("one").await, nobody());
    let lone = Lone::serving(&route("a", &[&http(one.address), &http(address)])).await;
    for _ in 0..20 {
        assert_eq!(lone.get("a", "/").await.text(), "one", "a refused connection is no answer");
    }
    let _two = App::raw_on(address, |stream| async move {
        let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(bodies::full("two"))) });
        let connection = hyper::server::conn::http1::Builder::new();
        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
    })
    .await;
    lone.until(("a", "/"), |answer| answer.text() == "two").await;
    lone.stop().await;
}

#[tokio::test]
async fn a_target_with_a_health_is_asked_as_the_file_says_now() {
    let app = App::start(|request| async move {
        let is_good = request.uri().path() != "/down" && request.headers()["host"] != "localhost";
        if is_good { text("page") } else { status(500) }
    })
    .await;
    let other = App::saying("other").await;
    let both = route("*.example.org", &[&http(app.address), &http(other.address)]);
    let lone = Lone::serving(&(both.clone() + "health = \"/up\"\n")).await;
    lone.until(("x.example.org", "/"), |answer| answer.text() == "page").await;
    lone.change(&(both.clone() + "health = { path = \"/down\", status = \"200\" }\n"));
    // Three probes in a row find that it is not well.
    within(async {
        let mut others = 0;
        while others < 50 {
            let page = lone.get("x.example.org", "/").await;
            others = if page.text() == "other" { others + 1 } else { 0 };
        }
    })
    .await;
    lone.stop().await;
}

#[tokio::test]
async fn nobody_waits_at_a_port_that_is_closing() {
    let (app, busy) = (
        App::saying("app").await,
        App::raw(|stream| async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
        .await,
    );
    let routes = route("a", &[&http(app.address)]) + &route("busy", &[&http(busy.address)]);
    let lone = Lone::serving(&routes).await;
    let mut stream = tokio::net::TcpStream::connect(lone.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: busy\r\n\r\n").await.unwrap();
    eventually(|| busy.connections() == 1).await;
    lone.drain.fire();
    let address = lone.address;
    eventually(|| std::net::TcpStream::connect(address).is_err()).await;
    // What is under way is waited for; its target breaks off.
    drop(busy);
    within(lone.run).await.unwrap();
}

#[tokio::test]
async fn a_route_has_the_limits_of_an_app() {
    let app = App::saying("hello").await;
    let routes =
        |limits: &str| format!("{}limits = {{ {limits} }}\n", route("a.example", &[&http(app.address)]));
    let lone = Lone::serving(&routes("body = \"3B\"")).await;
    let post = |body: &'static str| {
        let request = http::Request::post("/").header(http::header::HOST, "a.example");
        super::super::client::ask(lone.address, request.body(tandem_kit::http::full(body)).unwrap())
    };
    assert_eq!((post("abc").await.status.as_u16(), post("abcd").await.status.as_u16()), (200, 413));
    lone.stop().await;
}

#[tokio::test]
async fn a_file_that_was_emptied_takes_nothing_away() {
    let app = App::saying("hello").await;
    let routes = route("a.example", &[&http(app.address)]);
    let lone = Lone::serving(&routes).await;
    lone.change("# being written\n");
    // What was read is served from the next request on; the second of these comes after it.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(lone.get("a.example", "/").await.text(), "hello");
    lone.change(&(routes + &route("b.example", &[&http(app.address)])));
    lone.until(("b.example", "/"), |answer| answer.text() == "hello").await;
    lone.change(&route("b.example", &[&http(app.address)]));
    lone.until(("a.example", "/"), |answer| answer.status == 404).await;
    lone.stop().await;
}
