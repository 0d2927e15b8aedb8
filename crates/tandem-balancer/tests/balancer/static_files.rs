//! Static files of builds, served without the app.

use http::{Method, Request};
use tandem_kit::http::Body;
use tandem_types::{Digest, Epoch};

use super::app::{App, text};
use super::blobs::Blobs;
use super::client::{Answer, Client, ask, fetch, get, raw};
use super::world::{World, route, shop, table, with_static, within};

const BIG: usize = 300_000;

async fn app() -> App {
    App::start(|request| async move { text(format!("app {}", request.uri().path())) }).await
}

/// A balancer with one app and these trees under `/static/`.
async fn world(blobs: &Blobs, app: &App, trees: &[Digest]) -> World {
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    world.flip(table(0, Vec::new()), table(1, vec![with_static(shop(&[1]), trees)])).await;
    world
}

fn site(blobs: &Blobs) -> Digest {
    let big: Vec<u8> = (0..BIG).map(|place| (place % 251) as u8).collect();
    blobs.tree(&[
        ("site.css", b"body{}"),
        ("css/site.0123456789ab.css", b"hashed"),
        ("img/a b.svg", b"<svg/>"),
        ("empty.txt", b""),
        ("big.bin", &big),
    ])
}

fn with(path: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = get(path);
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn files_are_served_with_their_type_tag_and_time_to_keep() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = world(&blobs, &app, &[site(&blobs)]).await;
    let answer = fetch(world.address, "/static/site.css").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "body{}"));
    assert_eq!(answer.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    assert_eq!(answer.header("content-length"), "6");
    assert!(answer.header("etag").starts_with('"') && !answer.header("x-request-id").is_empty());
    let answer = fetch(world.address, "/static/css/site.0123456789ab.css").await;
    assert_eq!(
        (answer.text(), answer.header("cache-control")),
        ("hashed", "public, max-age=31536000, immutable")
    );
    assert_eq!(fetch(world.address, "/static/img/a%20b.svg?v=1").await.text(), "<svg/>");
    let answer = fetch(world.address, "/static/empty.txt").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = world(&blobs, &app, &[site(&blobs)]).await;
    let tag = fetch(world.address, "/static/site.css").await.header("etag").to_owned();
    let answer = ask(world.address, with("/static/site.css", &[("if-none-match", &tag)])).await;
    assert_eq!((answer.status.as_u16(), answer.body.len(), answer.header("etag")), (304, 0, tag.as_str()));
    let answer = ask(world.address, with("/static/site.css", &[("if-none-match", "\"old\"")])).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn parts_of_small_and_big_files_can_be_asked_for() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = world(&blobs, &app, &[site(&blobs)]).await;
    let answer = ask(world.address, with("/static/site.css", &[("range", "bytes=1-3")])).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (206, "ody"));
    assert_eq!((answer.header("content-range"), answer.header("content-length")), ("bytes 1-3/6", "3"));
    let whole = fetch(world.address, "/static/big.bin").await;
    assert_eq!(whole.body.len(), BIG);
    let answer = ask(world.address, with("/static/big.bin", &[("range", "bytes=200000-")])).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (206, &whole.body[200_000..]));
    let answer = ask(world.address, with("/static/site.css", &[("range", "bytes=6-")])).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */6"));
}

#[tokio::test]
async fn what_is_no_file_is_neither_kept_nor_said_to_be_compressed() {
    let (blobs, app) = (Blobs::new(), app().await);
    let tree = blobs.tree(&[("a.0123456789ab.css", b"as it is"), ("a.0123456789ab.css.gz", b"zip")]);
    let world = world(&blobs, &app, &[tree]).await;
    let path = "/static/a.0123456789ab.css";
    let asked = |name, value| with(path, &[("accept-encoding", "gzip"), (name, value)]);
    let whole = ask(world.address, asked("if-match", "*")).await;
    assert_eq!((whole.status.as_u16(), whole.header("content-encoding")), (200, "gzip"));
    for (request, status) in [(asked("range", "bytes=9-"), 416), (asked("if-match", "\"another\""), 412)] {
        let answer = ask(world.address, request).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (status, "no-store"));
        assert_eq!((answer.header("content-encoding"), answer.header("content-type")), ("", ""));
        assert_eq!(answer.header("content-length"), "0");
    }
    let tag = whole.header("etag").to_owned();
    assert_eq!(ask(world.address, asked("if-match", &tag)).await.status, 200);
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = world(&blobs, &app, &[site(&blobs)]).await;
    let mut client = Client::connect(world.address).await;
    for path in ["/static/site.css", "/static/big.bin"] {
        let mut head = get(path);
        *head.method_mut() = Method::HEAD;
        let (head, get) = (client.ask(head).await.unwrap(), client.ask(get(path)).await.unwrap());
        assert_eq!((head.status, head.body.len()), (get.status, 0));
        assert_eq!(head.header("content-length"), get.header("content-length"));
        assert_eq!(head.header("etag"), get.header("etag"));
        let mut part = with(path, &[("range", "bytes=0-1")]);
        *part.method_mut() = Method::HEAD;
        let part = client.ask(part).await.unwrap();
        assert_eq!((part.status, part.header("content-length")), (get.status, get.header("content-length")));
    }
}

#[tokio::test]
async fn what_is_no_file_is_the_apps_to_answer_and_no_path_leads_out_of_the_tree() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = world(&blobs, &app, &[site(&blobs)]).await;
    let secret = world.folder.path().join("balancer/secret");
    tandem_kit::files::write_atomic(&secret, b"secret", 0o600).unwrap();
    for path in [
        "/static/missing.css",
        "/static/",
        "/static/css",
        "/static/css/",
        "/static/../secret",
        "/static/%2e%2e/secret",
        "/static/..%2fsecret",
        "/static/css/../site.css",
        "/static//site.css",
        "/static/site.css%00",
        "/static/%73%69te.css/",
        "/static/../../../../etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        let answer = raw(world.address, &request).await;
        assert!(answer.ends_with(&format!("\r\n\r\napp {path}")), "{path}: {answer}");
    }
    let mut post = get("/static/site.css");
    *post.method_mut() = Method::POST;
    assert_eq!(ask(world.address, post).await.text(), "app /static/site.css");
    assert_eq!(fetch(world.address, "/static/%73ite.css").await.text(), "body{}");
}

#[tokio::test]
async fn precompressed_files_are_sent_to_those_who_take_them() {
    let (blobs, app) = (Blobs::new(), app().await);
    let tree = blobs.tree(&[
        ("a.css", b"as it is, and longest"),
        ("a.css.gz", b"gzipped, long"),
        ("a.css.br", b"brotli"),
        ("a.css.zst", b"zstandard"),
        ("b.css", b"b"),
    ]);
    let world = world(&blobs, &app, &[tree]).await;
    let show = |answer: &Answer| (answer.text().to_owned(), answer.header("content-encoding").to_owned());
    let pair = |text: &str, encoding: &str| (text.to_owned(), encoding.to_owned());
    let plain = fetch(world.address, "/static/a.css").await;
    assert_eq!((show(&plain), plain.header("vary")), (pair("as it is, and longest", ""), "accept-encoding"));
    let gzip = ask(world.address, with("/static/a.css", &[("accept-encoding", "gzip")])).await;
    assert_eq!(
        (show(&gzip), gzip.header("content-type")),
        (pair("gzipped, long", "gzip"), "text/css; charset=utf-8")
    );
    assert_ne!(gzip.header("etag"), plain.header("etag"));
    let both = ask(world.address, with("/static/a.css", &[("accept-encoding", "gzip, br")])).await;
    assert_eq!(show(&both), pair("brotli", "br"));
    let zstd = ask(world.address, with("/static/a.css", &[("accept-encoding", "br;q=0.5, zstd")])).await;
    assert_eq!(show(&zstd), pair("zstandard", "zstd"));
    let tags: std::collections::BTreeSet<_> =
        [&plain, &gzip, &both, &zstd].iter().map(|answer| answer.header("etag").to_owned()).collect();
    assert_eq!(tags.len(), 4, "each form has a tag of its own: {tags:?}");
    assert!(tags.iter().all(|tag| tag.starts_with('"')), "strong ones: {tags:?}");
    // A part is one of the form that is sent, and only where the client has the beginning of that very form.
    let part = |tag: &str| {
        with("/static/a.css", &[("accept-encoding", "br"), ("range", "bytes=3-"), ("if-range", tag)])
    };
    let same = ask(world.address, part(both.header("etag"))).await;
    assert_eq!((same.status.as_u16(), show(&same)), (206, pair("tli", "br")));
    let other = ask(world.address, part(gzip.header("etag"))).await;
    assert_eq!((other.status.as_u16(), show(&other)), (200, pair("brotli", "br")));
    let known = [("accept-encoding", "br"), ("if-none-match", gzip.header("etag"))];
    assert_eq!(ask(world.address, with("/static/a.css", &known)).await.status, 200, "it has another form");
    assert_eq!(fetch(world.address, "/static/b.css").await.header("vary"), "");
}

#[tokio::test]
async fn files_of_earlier_releases_are_found_after_those_of_the_serving_one() {
    let (blobs, app) = (Blobs::new(), app().await);
    let old = blobs.tree(&[("site.css", b"old"), ("gone.css", b"gone")]);
    let new = blobs.tree(&[("site.css", b"new")]);
    let world = world(&blobs, &app, &[new, old]).await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "new");
    assert_eq!(fetch(world.address, "/static/gone.css").await.text(), "gone");
}

#[tokio::test]
async fn a_table_is_not_ready_before_its_static_files_are_here() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    let next = table(1, vec![with_static(shop(&[1]), &[Digest([7; 32])])]);
    world.route(table(0, Vec::new()), Some(next));
    let status = world.until(|status| status.problem.is_some()).await;
    assert!(status.problem.unwrap().starts_with("fetch the static files"));
    assert_eq!(status.prepared, None);
}

/// The file of the balancer's disk that holds this content.
fn kept(world: &World, content: &[u8]) -> std::path::PathBuf {
    let digest = tandem_blobs::tree::digest_of(content);
    let shelf = world.folder.path().join("balancer/static");
    tandem_blobs::cache::LinkCache::open(&shelf).unwrap().path(&digest, false)
}

/// A rollback leads to a tree whose files were served before.
#[tokio::test]
async fn a_file_that_is_gone_from_the_disk_comes_again_or_its_release_takes_no_traffic() {
    let (blobs, app) = (Blobs::new(), app().await);
    let tree = site(&blobs);
    let world = world(&blobs, &app, &[tree]).await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
    let lost = kept(&world, b"hashed");
    assert!(lost.exists(), "{}", lost.display());
    std::fs::remove_file(&lost).unwrap();
    let back = |epoch: u64| {
        let mut back = with_static(shop(&[1]), &[tree]);
        back.pool.release = format!("r{epoch}").parse().unwrap();
        table(epoch, vec![back])
    };
    world.flip(table(1, vec![with_static(shop(&[1]), &[tree])]), back(2)).await;
    assert_eq!(fetch(world.address, "/static/css/site.0123456789ab.css").await.text(), "hashed");

    // Now the server has lost it as well.
    std::fs::remove_file(&lost).unwrap();
    blobs.lose(b"hashed");
    world.route(back(2), Some(back(3)));
    let status = world.until(|status| status.problem.is_some()).await;
    let problem = status.problem.unwrap();
    assert!(problem.starts_with("fetch static files of /static/ that are gone"), "{problem}");
    assert_eq!(status.prepared, None);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_keeps_its_release_from_taking_traffic() {
    let (blobs, app) = (Blobs::new(), app().await);
    let content = [b'x'; 4000];
    let before = blobs.tree(&[("a.css", b"this one is tried"), ("b.css", &content[..])]);
    let world = world(&blobs, &app, &[before]).await;
    let file = kept(&world, &content);
    // Of the right size, and nothing to be read: so does a file look of which the disk lost the content.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("y".repeat(content.len()), &file).unwrap();
    let mut next = with_static(shop(&[1]), &[blobs.tree(&[("site.css", &content[..])])]);
    next.pool.release = "r2".parse().unwrap();
    world.route(table(1, vec![with_static(shop(&[1]), &[before])]), Some(table(2, vec![next])));
    let status = world.until(|status| status.problem.is_some()).await;
    let told = "the static file /static/site.css cannot be opened by the balancer";
    assert_eq!((status.problem.as_deref(), status.prepared), (Some(told), None));
}

#[tokio::test]
async fn files_that_are_gone_from_an_older_build_or_another_app_hold_up_no_release() {
    let (blobs, app) = (Blobs::new(), app().await);
    let gone = [Digest([7; 32]), Digest([8; 32]), Digest([9; 32])];
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    let mut blog = with_static(route("blog.example", "/", &[1]), &gone[..2]);
    blog.pool.app = "blog".parse().unwrap();
    // As a balancer finds it that was cut off, or lost its disk.
    let before = vec![blog.clone(), with_static(shop(&[1]), &gone[2..])];
    world.serve(1, before.clone()).await;
    let mut deployed = with_static(shop(&[1]), &[site(&blobs), gone[2], Digest([6; 32])]);
    deployed.pool.release = "r2".parse().unwrap();
    let after = table(2, vec![blog.clone(), deployed]);
    world.flip(table(1, before), after.clone()).await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
    assert_eq!(fetch(world.address, "/static/gone.css").await.text(), "app /static/gone.css");
    // Back to the release whose own files are gone: not with broken pages.
    let mut back = with_static(shop(&[1]), &[gone[2], site(&blobs)]);
    back.pool.release = "r1".parse().unwrap();
    world.route(after, Some(table(3, vec![blog, back])));
    let status = world.until(|status| status.problem.is_some()).await;
    assert_eq!(status.prepared, None);
}

#[tokio::test]
async fn files_are_served_while_the_server_is_away_and_after_a_restart_without_it() {
    let (blobs, app) = (Blobs::new(), app().await);
    let mut world = world(&blobs, &app, &[site(&blobs)]).await;
    world.server.go_away();
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
    world.stop().await;
    world.start().await;
    assert_eq!(fetch(world.address, "/static/site.css").await.text(), "body{}");
    assert_eq!(fetch(world.address, "/static/big.bin").await.body.len(), BIG);
}

#[tokio::test]
async fn a_table_served_without_preparation_gets_its_files_as_soon_as_they_come() {
    let (blobs, app) = (Blobs::new(), app().await);
    let world = World::with_blobs(Some(blobs.store.clone())).await;
    world.place(&[(1, app.address)]);
    world.serve(1, vec![with_static(shop(&[1]), &[site(&blobs)])]).await;
    within(async { while fetch(world.address, "/static/site.css").await.text() != "body{}" {} }).await;
    assert_eq!(world.until(|_| true).await.serving, Epoch(1));
}
