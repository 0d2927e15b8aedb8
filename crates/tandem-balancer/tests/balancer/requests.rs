//! What goes through unchanged, what is changed on the way, and what is answered by the balancer itself.

use std::net::{Ipv6Addr, SocketAddr};

use http::header::{ACCEPT, CONNECTION, HOST};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tandem_types::instance::Address;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::{App, nobody, status, text};
use super::client::{Client, ask, fetch, get, raw};
use super::world::{World, route};

/// An app that answers with what it was asked: request line, headers, a blank line, body.
pub(super) async fn echo() -> App {
    App::start(|request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let mut answer = format!("{} {} {:?}\n", parts.method, parts.uri, parts.version);
        for (name, value) in parts.headers.iter().chain(&trailers) {
            answer.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        answer.push('\n');
        answer.push_str(std::str::from_utf8(&body.to_bytes()).unwrap());
        text(answer)
    })
    .await
}

#[tokio::test]
async fn a_request_reaches_the_app_and_its_answer_the_client() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    let request = Request::post("/form?a=1&b=%20")
        .header(HOST, "shop.example")
        .header("x-plain", "kept")
        .body(bodies::full("name=value"))
        .unwrap();
    let answer = ask(world.address, request).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(text.starts_with("POST /form?a=1&b=%20 HTTP/1.1\n"), "{text}");
    assert!(text.contains("\nhost: shop.example\n") && text.contains("\nx-plain: kept\n"), "{text}");
    assert!(text.contains("\ncontent-length: 10\n") && text.ends_with("\n\nname=value"), "{text}");
}

#[tokio::test]
async fn forwarded_headers_of_the_client_are_replaced_however_they_are_spelled() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    let mut request = get("/");
    for name in [
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x_forwarded_for",
        "X_Forwarded-Proto",
        "x_real_ip",
        "content_length",
    ] {
        request
            .headers_mut()
            .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), "6.6.6.6".parse().unwrap());
    }
    let answer = ask(world.address, request).await;
    let text = answer.text();
    assert!(!text.contains("6.6.6.6"), "{text}");
    for line in ["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: shop.example"] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_passed_on_and_any_other_replaced() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    let mut request = get("/");
    request.headers_mut().insert("x-request-id", "abc-123".parse().unwrap());
    let answer = ask(world.address, request).await;
    assert_eq!(answer.header("x-request-id"), "abc-123");
    assert!(answer.text().contains("\nx-request-id: abc-123\n"));
    let long = "a".repeat(200);
    for wrong in ["a b", "<script>", long.as_str(), ""] {
        let mut request = get("/");
        request.headers_mut().insert("x-request-id", wrong.parse().unwrap());
        let answer = ask(world.address, request).await;
        let id = answer.header("x-request-id");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(answer.text().contains(&format!("\nx-request-id: {id}\n")));
    }
}

#[tokio::test]
async fn hop_by_hop_headers_end_at_the_balancer_in_both_directions() {
    let app = App::start(|request| async move {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        Response::builder()
            .header("connection", "x-internal, host")
            .header("x-internal", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("upgrade", "h2c")
            .header("x-asked", names.join(","))
            .header("x-kept", "1")
            .body(bodies::empty())
            .unwrap()
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut request = get("/");
    for (name, value) in [
        ("connection", "keep-alive, X-Mine, host, content-length"),
        ("keep-alive", "300"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eA=="),
        ("proxy-connection", "close"),
        ("x-mine", "1"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
        ("expect", "nothing"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = ask(world.address, request).await;
    assert_eq!(answer.header("x-kept"), "1");
    for gone in ["connection", "x-internal", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.header(gone), "", "{gone}");
    }
    let mut asked: Vec<_> = answer.header("x-asked").split(',').collect();
    asked.sort_unstable();
    assert_eq!(asked, ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"]);
}

#[tokio::test]
async fn every_instance_answer_keeps_its_status_headers_and_length() {
    let app = App::start(|request| async move {
        match request.uri().path() {
            "/204" => status(204),
            "/304" => Response::builder().status(304).header("etag", "\"x\"").body(bodies::empty()).unwrap(),
            "/cookies" => Response::builder()
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .body(bodies::full("two"))
                .unwrap(),
            _ => text("hello"),
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let mut head = get("/hello");
    *head.method_mut() = http::Method::HEAD;
    let answer = client.ask(head).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("content-length"), answer.body.len()), (200, "5", 0));
    let answer = client.ask(get("/204")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (204, ""));
    let answer = client.ask(get("/304")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, "\"x\""));
    let answer = client.ask(get("/cookies")).await.unwrap();
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(client.ask(get("/hello")).await.unwrap().text(), "hello");
}

#[tokio::test]
async fn requests_sent_in_one_go_are_answered_in_order() {
    let app = App::start(|request| async move { text(request.uri().path().to_owned()) }).await;
    let world = World::serving(&[app.address]).await;
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{more}\r\n");
    let all = [one("/a", ""), one("/b", ""), one("/c", "Connection: close\r\n")].concat();
    let answers = raw(world.address, &all).await;
    let places: Vec<_> =
        ["\r\n\r\n/a", "\r\n\r\n/b", "\r\n\r\n/c"].map(|body| answers.find(body).unwrap()).into();
    assert!(places.is_sorted(), "{answers}");
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_answer_it_understands() {
    let app = App::start(|_| async {
        let chunks =
            ["one ", "two"].map(|chunk| Ok::<_, std::convert::Infallible>(bytes::Bytes::from(chunk)));
        Response::new(bodies::stream(futures_util::stream::iter(chunks)))
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let answer = raw(world.address, "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("chunked") && answer.ends_with("\r\n\r\none two"), "{answer}");
}

#[tokio::test]
async fn a_target_in_absolute_form_goes_before_the_host_header() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    let request =
        "GET http://shop.example:80/path?q HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n";
    let answer = raw(world.address, request).await;
    assert!(
        answer.contains("GET /path?q HTTP/1.1\n") && answer.contains("\nhost: shop.example:80\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_longest_prefix_leads_to_its_own_app() {
    let (site, api) = (App::saying("site").await, App::saying("api").await);
    let world = World::empty().await;
    world.place(&[(1, site.address), (2, api.address)]);
    world.serve(1, vec![route("shop.example", "/", &[1]), route("shop.example", "/api", &[2])]).await;
    assert_eq!(fetch(world.address, "/apis").await.text(), "site");
    assert_eq!(fetch(world.address, "/api/x").await.text(), "api");
}

#[tokio::test]
async fn an_unknown_host_gets_a_page_that_names_it() {
    let world = World::serving(&[nobody()]).await;
    let request = Request::get("/")
        .header(HOST, "other.example:81")
        .header(ACCEPT, "text/html")
        .body(bodies::empty())
        .unwrap();
    let answer = ask(world.address, request).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("other.example:81"), "{}", answer.text());
    assert!(answer.text().contains(answer.header("x-request-id")));
}

#[tokio::test]
async fn a_path_that_no_route_covers_is_not_found() {
    let world = World::empty().await;
    world.serve(1, vec![route("shop.example", "/api", &[])]).await;
    assert_eq!(fetch(world.address, "/other").await.status, 404);
}

#[tokio::test]
async fn an_app_without_instances_says_when_to_ask_again() {
    let world = World::empty().await;
    world.serve(1, vec![route("shop.example", "/", &[])]).await;
    let answer = fetch(world.address, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    assert!(answer.text().contains("shop"));
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_closed_and_others_are_kept() {
    let app = App::saying("hello").await;
    let world = World::serving(&[app.address]).await;
    let mut request = get("/");
    request.headers_mut().insert(CONNECTION, "close".parse().unwrap());
    assert_eq!(ask(world.address, request).await.header("connection"), "close");
    let mut client = Client::connect(world.address).await;
    for _ in 0..3 {
        let answer = client.ask(get("/")).await.unwrap();
        assert_eq!((answer.text(), &answer.headers.get(CONNECTION)), ("hello", &None));
    }
}

#[tokio::test]
async fn the_requests_of_all_threads_are_counted() {
    let app = App::saying("hello").await;
    let world = World::serving(&[app.address]).await;
    let before = world.until(|_| true).await.requests;
    for _ in 0..20 {
        fetch(world.address, "/").await;
    }
    // Requests alone are no news; the next sign of life tells them.
    let after = world.until(|status| status.requests > before).await.requests;
    assert_eq!(after - before, 20);
}

#[tokio::test]
async fn ipv6_clients_are_served_and_named() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, world.address.port()));
    let answer = fetch(address, "/").await;
    assert!(answer.text().contains("\nx-forwarded-for: ::1\n"), "{}", answer.text());
}

#[tokio::test]
async fn an_instance_on_a_unix_socket_is_served_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let _app = tasks::owned("app", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nover unix").await.unwrap();
        }
    });
    let world = World::empty().await;
    world.place_at(&[(1, Address::Unix(path.clone()))]);
    world.serve(1, vec![route("shop.example", "/", &[1])]).await;
    assert_eq!(fetch(world.address, "/").await.text(), "over unix");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(fetch(world.address, "/").await.status, 503);
}
