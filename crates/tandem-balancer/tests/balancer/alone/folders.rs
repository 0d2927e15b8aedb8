//! Folders of the disk: what is served of them, and what is not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use http::header::{ACCEPT_ENCODING, HOST, IF_NONE_MATCH, RANGE};
use http::{Method, Request};
use nix::sys::stat::Mode;
use tandem_kit::http as bodies;

use super::Lone;
use crate::client::{Answer, ask, raw};

fn write(path: &Path, text: &str) {
    tandem_kit::files::ensure_dir(path.parent().unwrap(), 0o755).unwrap();
    tandem_kit::files::write_atomic(path, text.as_bytes(), 0o644).unwrap();
}

/// A balancer that serves `www` below its own folder, in which there is something secret.
async fn serving(prefix: &str, files: &[(&str, &str)]) -> Lone {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(&folder.path().join("www").join(name), text);
    }
    write(&folder.path().join("secret.txt"), "secret");
    let route = format!("[[route]]\ndomain = \"*\"\nprefix = \"{prefix}\"\nfolder = \"www\"\n");
    Lone::serving_in(folder, &route).await
}

impl Lone {
    async fn with(&self, path: &str, name: http::HeaderName, value: &str) -> Answer {
        let request = Request::get(path).header(HOST, "a").header(name, value);
        ask(self.address, request.body(bodies::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn files_are_served_with_their_types_and_folders_by_their_index() {
    let lone = serving("/", &[("index.html", "home"), ("a/index.html", "a"), ("a/b c.css", "css")]).await;
    for (path, said, kind) in [
        ("/", "home", "text/html; charset=utf-8"),
        ("/a/", "a", "text/html; charset=utf-8"),
        ("/a/b%20c.css?x=1", "css", "text/css; charset=utf-8"),
    ] {
        let answer = lone.get("a", path).await;
        assert_eq!((answer.text(), answer.header("content-type")), (said, kind), "{path}");
        assert!(answer.headers.get("access-control-allow-origin").is_none(), "it may be private");
    }
    let moved = lone.get("a", "/a?x=1").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (301, "/a/?x=1"));
    assert_eq!(lone.get("a", "/b").await.status, 404);
    assert_eq!(lone.get("a", "/a/index.html/").await.status, 404);
    lone.stop().await;
}

#[tokio::test]
async fn a_prefix_is_no_part_of_the_name() {
    let lone = serving("/docs", &[("index.html", "home"), ("x.txt", "x")]).await;
    assert_eq!(lone.get("a", "/docs/").await.text(), "home");
    assert_eq!(lone.get("a", "/docs/x.txt").await.text(), "x");
    assert_eq!(lone.get("a", "/docs").await.header("location"), "/docs/");
    assert_eq!(lone.get("a", "/x.txt").await.status, 404);
    lone.stop().await;
}

#[tokio::test]
async fn nothing_leads_out_of_the_folder() {
    let lone = serving("/", &[("index.html", "home"), ("real.txt", "real"), (".env", "hidden")]).await;
    let www = lone.folder.path().join("www");
    symlink("../secret.txt", www.join("up.txt")).unwrap();
    symlink(lone.folder.path().join("secret.txt"), www.join("absolute.txt")).unwrap();
    symlink("..", www.join("parent")).unwrap();
    symlink("/proc/self/cwd", www.join("magic")).unwrap();
    symlink("loop", www.join("loop")).unwrap();
    symlink("real.txt", www.join("within.txt")).unwrap();
    nix::unistd::mkfifo(&www.join("pipe"), Mode::S_IRWXU).unwrap();
    for path in [
        "/up.txt",
        "/absolute.txt",
        "/parent/secret.txt",
        "/parent/",
        "/magic/",
        "/loop",
        "/pipe",
        "/.env",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/a/%2e%2e/%2e%2e/secret.txt",
        "//secret.txt",
        "/x%00.txt",
        &format!("/{}", "a".repeat(300)),
    ] {
        let answer = lone.get("a", path).await;
        assert_eq!(answer.status, 404, "{path}: {:?}", answer.body);
    }
    let climbing = "GET /../secret.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(raw(lone.address, climbing).await.starts_with("HTTP/1.1 404"));
    assert_eq!(lone.get("a", "/within.txt").await.text(), "real", "links within it are followed");
    lone.stop().await;
}

#[tokio::test]
async fn a_file_is_told_from_its_later_self() {
    let lone = serving("/", &[("x.txt", "0123456789")]).await;
    let file = lone.folder.path().join("www/x.txt");
    let first = lone.get("a", "/x.txt").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "strong: {tag}");
    assert_eq!(lone.with("/x.txt", IF_NONE_MATCH, &tag).await.status, 304);
    let part = lone.with("/x.txt", RANGE, "bytes=2-4").await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(lone.with("/x.txt", RANGE, "bytes=10-").await.status, 416);
    // The same size, and another file.
    write(&file, "abcdefghij");
    // What was short and just read counts for half a second.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let second = lone.with("/x.txt", IF_NONE_MATCH, &tag).await;
    assert_eq!(second.text(), "abcdefghij");
    assert_ne!(second.header("etag"), tag);
    lone.stop().await;
}

#[tokio::test]
async fn compressed_neighbors_are_sent_to_who_takes_them() {
    let files = [("x.css", "plain, and the longest"), ("x.css.gz", "gzip, longer"), ("x.css.br", "brotli")];
    let lone = serving("/", &files).await;
    for (accepted, said, coding) in [
        ("gzip, br", "brotli", "br"),
        ("gzip", "gzip, longer", "gzip"),
        ("zstd", "plain, and the longest", ""),
    ] {
        let answer = lone.with("/x.css", ACCEPT_ENCODING, accepted).await;
        assert_eq!((answer.text(), answer.header("content-encoding")), (said, coding));
        assert_eq!(answer.header("vary"), "accept-encoding");
        assert_eq!(answer.header("content-type"), "text/css; charset=utf-8");
    }
    let plain = lone.get("a", "/x.css").await;
    let brotli = lone.with("/x.css", ACCEPT_ENCODING, "br").await;
    assert_ne!(plain.header("etag"), brotli.header("etag"));
    lone.stop().await;
}

#[tokio::test]
async fn a_long_file_comes_whole_and_files_are_only_read() {
    let long: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    let lone = serving("/", &[("long.txt", &long)]).await;
    assert_eq!(lone.get("a", "/long.txt").await.text(), long);
    let head = Request::head("/long.txt").header(HOST, "a").body(bodies::empty()).unwrap();
    let head = ask(lone.address, head).await;
    assert_eq!((head.header("content-length"), head.body.len()), (long.len().to_string().as_str(), 0));
    let post = Request::builder().method(Method::POST).uri("/long.txt").header(HOST, "a");
    let post = ask(lone.address, post.body(bodies::full("body")).unwrap()).await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET, HEAD"));
    lone.stop().await;
}

#[tokio::test]
async fn a_folder_that_another_took_the_place_of_is_served_no_more() {
    let lone = serving("/", &[("x.txt", "old")]).await;
    assert_eq!(lone.get("a", "/x.txt").await.text(), "old");
    let (www, aside) = (lone.folder.path().join("www"), lone.folder.path().join("aside"));
    write(&lone.folder.path().join("next/x.txt"), "new");
    fs::rename(&www, &aside).unwrap();
    assert_eq!(lone.get("a", "/x.txt").await.text(), "old", "until another one is there");
    fs::rename(lone.folder.path().join("next"), &www).unwrap();
    lone.until(("a", "/x.txt"), |answer| answer.text() == "new").await;
    lone.stop().await;
}
