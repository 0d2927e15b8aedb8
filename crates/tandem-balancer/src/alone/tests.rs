//! What people write into a file of routes, and what they mistype.

use std::path::Path;

use tandem_types::Health;
use tandem_wire::ProxyVersion;

use super::file::{Probe, Target, To};
use super::parse::parse;
use super::{Mistake, file};

const FILE: &str = "/etc/tandem/routes.toml";

fn read(text: &str) -> Result<file::RoutesFile, Mistake> {
    parse(Path::new(FILE), text)
}

#[test]
fn routes_are_read_with_their_defaults() {
    let file = read(
        r#"
[[route]]
domain = "www.example.org"
targets = ["http://127.0.0.1:9000", "unix:/run/app.sock", "http://app.internal:80"]
health = "/up"

[[route]]
domain = "*.example.org"
prefix = "/docs/"
folder = "docs"

[[route]]
domain = "*"
targets = ["http://[::1]:1"]

[[route]]
tcp = ":5432"
targets = ["db.internal:5432", "unix:/run/db.sock"]
proxy_protocol = "v2"

[proxy_protocol]
from = ["10.0.0.0/8", "2001:db8::1"]

[[certificate]]
domains = ["www.example.org", "*.example.org"]
cert = "tls/chain.pem"
key = "/etc/key.pem"
"#,
    )
    .unwrap();
    let [first, second, third] = file.routes.as_slice() else { panic!("{file:?}") };
    assert_eq!((first.domain.value.as_str(), first.prefix.as_str()), ("www.example.org", "/"));
    let To::Targets(targets, probe) = &first.to else { panic!("{first:?}") };
    let targets: Vec<_> = targets.iter().map(|target| target.value.clone()).collect();
    let host = |name: &str, port| Target::Host(name.to_owned(), port);
    assert_eq!(
        targets,
        [host("127.0.0.1", 9000), Target::Unix("/run/app.sock".into()), host("app.internal", 80)]
    );
    let asked = Probe::Asked { host: "www.example.org".to_owned(), health: Health::at("/up") };
    assert_eq!(probe, &asked);
    assert_eq!(second.prefix, "/docs/");
    assert!(matches!(&second.to, To::Folder(folder) if folder.value == Path::new("/etc/tandem/docs")));
    assert!(matches!(&third.to, To::Targets(_, Probe::Watched)));
    let [door] = file.doors.as_slice() else { panic!("{file:?}") };
    assert_eq!((door.address.value.to_string().as_str(), door.targets.len()), ("[::]:5432", 2));
    assert_eq!(door.proxy, Some(ProxyVersion::V2));
    let trusted: Vec<_> = file.trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "2001:db8::1"]);
    let [certificate] = file.certificates.as_slice() else { panic!("{file:?}") };
    assert_eq!(certificate.domains, ["www.example.org", "*.example.org"]);
    assert_eq!(certificate.cert.value, Path::new("/etc/tandem/tls/chain.pem"));
    assert_eq!(certificate.key.value, Path::new("/etc/key.pem"));
}

#[test]
fn an_app_is_asked_as_the_file_says_and_under_a_name_that_it_knows() {
    for (domain, health, expected) in [
        ("*.example.org", "\"/\"", ("www.example.org", None)),
        ("*", "\"/\"", ("localhost", None)),
        ("*", "{ path = \"/\", host = \"a.org\" }", ("localhost", Some("a.org"))),
    ] {
        let text = format!("[[route]]\ndomain = \"{domain}\"\ntargets = [\"unix:/a\"]\nhealth = {health}\n");
        let file = read(&text).unwrap();
        let To::Targets(_, Probe::Asked { host, health }) = &file.routes[0].to else { panic!("{file:?}") };
        assert_eq!((host.as_str(), health.host.as_deref()), expected, "{text}");
    }
}

#[test]
fn an_empty_file_has_no_routes() {
    assert_eq!(read("").unwrap(), file::RoutesFile::default());
}

/// A route with one more line.
fn with(line: &str) -> String {
    format!("[[route]]\ndomain = \"a.org\"\n{line}\n")
}

#[test]
fn mistakes_are_told_with_line_column_and_what_was_meant() {
    let targets = "targets = [\"http://127.0.0.1:1\"]";
    let tcp = |line: &str| format!("[[route]]\ntcp = \":1\"\ntargets = [\"a:1\"]\n{line}");
    let two = |line: &str| with(&format!("{targets}\n{line}"));
    for (text, place, message, hint) in [
        (
            "[[routes]]\n".to_owned(),
            (1, 3),
            "unknown key `routes` in a file of routes",
            "did you mean `route`?",
        ),
        ("[route]\n".to_owned(), (1, 1), "expected a list of tables", "[[route]], with two brackets"),
        ("[[route]]\ndoman = \"a\"".to_owned(), (2, 1), "unknown key `doman` in [[route]]", "`domain`?"),
        ("[[route]]\nx = 1".to_owned(), (2, 1), "unknown key `x`", "known here: domain, "),
        ("\n[[route]]\nfolder = \"/a\"".to_owned(), (2, 1), "this route has no `domain`", "www.example.org"),
        (with(""), (1, 1), "neither `targets` nor a `folder`", "http://127.0.0.1:9000"),
        (two("folder = \"/a\""), (4, 10), "both `targets` and a `folder`", "`prefix`"),
        (with("folder = \"/a\"\nhealth = \"/\""), (4, 1), "`health` means nothing for a folder", ""),
        (with("targets = []"), (3, 11), "`targets` is empty", ""),
        (with("targets = \"http://a:1\""), (3, 11), "expected a list of texts", ""),
        (with("targets = [\"https://a:1\"]"), (3, 12), "is not a target", "plain HTTP"),
        (with("targets = [\"http://a:1\", \"http://a:1/\"]"), (3, 26), "is there twice", ""),
        (two("prefix = \"api\""), (4, 10), "is not the beginning of a path", "\"/api\""),
        (two("health = \"up\""), (4, 10), "is not a path of a URL", "/healthz"),
        (two("health = { paht = \"/\" }"), (4, 12), "unknown key `paht` in `health`", "`path`?"),
        ("[[route]]\ndomain = \"A.org\"".to_owned(), (2, 10), "is not a host name", "lower case"),
        ("[[route]]\ndomain = 3".to_owned(), (2, 10), "`domain` is a value of type integer", ""),
        ("[[route]]\ntcp = \":1\"".to_owned(), (1, 1), "this route has no `targets`", "127.0.0.1:5433"),
        (tcp("forwarded = false"), (4, 1), "`forwarded` means nothing for TCP", ""),
        (tcp("prefix = \"/\""), (4, 1), "`prefix` means nothing for TCP", ""),
        (tcp("proxy_protocol = \"v3\""), (4, 18), "no version of the PROXY protocol", "\"v2\""),
        (
            "[[route]]\ntcp = \"5\"\ntargets = [\"a:1\"]".to_owned(),
            (2, 7),
            "no address to listen on",
            ":5432",
        ),
        (
            "[[route]]\ntcp = \":1\"\ntargets = [\"http://a:1\"]".to_owned(),
            (3, 12),
            "is not a target",
            "5433",
        ),
        (two("proxy_protocol = \"v1\""), (4, 1), "means nothing for HTTP", ""),
        (tcp("[[route]]\ntcp = \":1\"\ntargets = [\"a:1\"]"), (5, 7), "is there twice", "line 2"),
        ("[[certificate]]\ndomains = [\"*\"]".to_owned(), (2, 12), "good for every host", "name them"),
        (
            "[[certificate]]\ndomains = [\"a\"]\ncert = \"c\"".to_owned(),
            (1, 1),
            "has no `key`",
            "privkey.pem",
        ),
        ("[[certificate]]\ncrt = \"c\"".to_owned(), (2, 1), "unknown key `crt`", "`cert`?"),
        ("[[route]\n".to_owned(), (1, 9), "", ""),
    ] {
        is_told(&text, place, (message, hint));
    }
}

#[test]
fn mistakes_of_https_and_of_names_are_told_like_the_others() {
    let route = |line: &str| with(&format!("folder = \"/a\"\n{line}"));
    let tcp = "[[route]]\ntcp = \":1\"\ntargets = [\"a:1\"]\nhttps = { redirect = true }".to_owned();
    let name = "[[route]]\ndomain = \"bücher.example\"".to_owned();
    for (text, place, message, hint) in [
        (tcp, (4, 1), "`https` means nothing for TCP", ""),
        (name, (2, 10), "is not a host name", "as browsers send it"),
        (route("https = { hsst = \"1d\" }"), (4, 11), "unknown key `hsst` in `https`", "`hsts`?"),
        (route("https = true"), (4, 9), "`https`", ""),
    ] {
        is_told(&text, place, (message, hint));
    }
}

#[test]
fn limits_that_cannot_be_are_told_where_they_are() {
    let targets = "targets = [\"http://127.0.0.1:1\"]";
    let two = |line: &str| with(&format!("{targets}\n{line}"));
    for (text, place, message, hint) in [
        (two("limits = { hold = \"2m\" }"), (4, 19), "`hold` cannot be 2m", "to \"1m\""),
        (two("limits = { requests = 0 }"), (4, 23), "no request could ever", "requests = 1000"),
        (two("limits = { bodi = \"1MiB\" }"), (4, 12), "unknown key `bodi` in `limits`", "`body`?"),
        (with("folder = \"/a\"\nlimits = {}"), (4, 1), "`limits` means nothing for a folder", ""),
    ] {
        is_told(&text, place, (message, hint));
    }
}

fn is_told(text: &str, place: (usize, usize), (message, hint): (&str, &str)) {
    let mistake = read(text).unwrap_err();
    assert_eq!((mistake.line, mistake.column), place, "{text:?}: {mistake}");
    assert!(mistake.message.contains(message), "{text:?}: {mistake}");
    assert!(mistake.hint.contains(hint), "{text:?}: {:?}", mistake.hint);
}

#[test]
fn whom_to_trust_is_told_by_networks() {
    for (text, place, message, hint) in [
        ("proxy_protocol = \"v1\"", (1, 18), "expected a table", ""),
        ("[proxy_protocol]\nfor = []", (2, 1), "unknown key `for` in `proxy_protocol`", "known here: from"),
        ("[proxy_protocol]\nfrom = [\"a\"]", (2, 9), "\"a\" cannot be trusted", "10.0.0.0/8"),
        ("[proxy_protocol]\nfrom = [\"10.0.0.1/8\"]", (2, 9), "did you mean 10.0.0.0/8?", ""),
    ] {
        let mistake = read(text).unwrap_err();
        assert_eq!((mistake.line, mistake.column), place, "{text:?}: {mistake}");
        assert!(mistake.message.contains(message) && mistake.hint.contains(hint), "{text:?}: {mistake:?}");
    }
}

#[test]
fn a_route_that_is_there_twice_is_told_with_the_line_of_the_other() {
    let route = |prefix: &str| with(&format!("prefix = \"{prefix}\"\nfolder = \"/a\""));
    let mistake = read(&format!("{}\n{}", route("/a"), route("/a/"))).unwrap_err();
    assert_eq!((mistake.line, mistake.column), (7, 10));
    assert!(mistake.message.contains("is there twice") && mistake.hint.contains("line 2"), "{mistake:?}");
}

#[test]
fn a_mistake_shows_its_line() {
    let mistake = read("[[route]]\n\tdoman = \"é\"").unwrap_err();
    assert_eq!(mistake.to_string(), format!("{FILE}:2:2: unknown key `doman` in [[route]]"));
    assert_eq!(mistake.detail(), "2 | \tdoman = \"é\"\n  | \t^");
    assert!(mistake.in_one_line().ends_with("(hint: did you mean `domain`?)"));
}
