//! What a balancer may rely on when it asks for a route.

use proptest::prelude::*;
use tandem_types::routing::{Pool, Route, StaticFolder, Table};
use tandem_types::{Epoch, Health, Limits};

use super::*;

fn route(domain: &str, prefix: &str, folders: &[&str]) -> Route {
    Route {
        domain: domain.to_owned(),
        prefix: prefix.to_owned(),
        pool: Pool {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: "r1".parse().unwrap(),
            members: Vec::new(),
            limits: Limits::default(),
            paused: None,
            canary: None,
            health: Health::default(),
        },
        static_folders: folders
            .iter()
            .map(|prefix| StaticFolder { prefix: (*prefix).to_owned(), trees: Vec::new() })
            .collect(),
        https: None,
    }
}

fn index(routes: Vec<Route>) -> RouteIndex {
    RouteIndex::new(&Table { epoch: Epoch(1), routes })
}

fn to(route: usize) -> Match {
    Match::Route { route, folder: None }
}

#[test]
fn a_domain_is_found_in_any_case_with_port_and_final_dot() {
    let index = index(vec![route("shop.example", "/", &[])]);
    for host in ["shop.example", "SHOP.Example", "shop.example:8080", "shop.example.", "Shop.Example.:443"] {
        assert_eq!(index.find(host, "/"), to(0), "{host}");
    }
    for host in
        ["", "example", "a.shop.example", "shop.example.org", "shop.example:80:80", "shop.example..", ":80"]
    {
        assert_eq!(index.find(host, "/"), Match::UnknownDomain, "{host}");
    }
}

#[test]
fn ip_addresses_are_domains_like_any_other() {
    let index = index(vec![route("[::1]", "/", &[]), route("127.0.0.1", "/", &[])]);
    assert_eq!(index.find("[::1]", "/"), to(0));
    assert_eq!(index.find("[::1]:8080", "/"), to(0));
    assert_eq!(index.find("127.0.0.1:8080", "/"), to(1));
}

#[test]
fn the_longest_prefix_wins_by_whole_segments() {
    let index = index(vec![
        route("shop.example", "/", &[]),
        route("shop.example", "/api/v2", &[]),
        route("shop.example", "/api/", &[]),
    ]);
    for (path, place) in [
        ("/", 0),
        ("/apis", 0),
        ("/api", 2),
        ("/api/", 2),
        ("/api/v1", 2),
        ("/api/v20", 2),
        ("/api/v2", 1),
        ("/api/v2/x", 1),
        ("*", 0),
    ] {
        assert_eq!(index.find("shop.example", path), to(place), "{path}");
    }
}

#[test]
fn a_path_outside_every_prefix_is_told_from_an_unknown_domain() {
    let index = index(vec![route("shop.example", "/api", &[])]);
    assert_eq!(index.find("shop.example", "/"), Match::UnknownPath);
    assert_eq!(index.find("other.example", "/api"), Match::UnknownDomain);
    assert!(index.knows("Shop.Example:80"));
    assert!(!index.knows("other.example"));
}

#[test]
fn the_longest_static_folder_is_tried_first() {
    let index = index(vec![route("shop.example", "/", &["/static/", "/static/admin/", "/media/"])]);
    for (path, folder) in [
        ("/static/site.css", Some(0)),
        ("/static/admin/site.css", Some(1)),
        ("/media/x", Some(2)),
        ("/static", None),
        ("/statics/x", None),
        ("/", None),
    ] {
        assert_eq!(index.find("shop.example", path), Match::Route { route: 0, folder }, "{path}");
    }
}

#[test]
fn the_first_of_two_equal_routes_wins() {
    let index = index(vec![route("shop.example", "/", &[]), route("SHOP.example", "/", &[])]);
    assert_eq!(index.find("shop.example", "/"), to(0));
}

#[test]
fn an_exact_domain_wins_then_the_longest_wildcard_then_any_host() {
    let domains = ["*", "*.example.org", "*.b.example.org", "a.example.org", "*.Caps.example"];
    let index = index(domains.iter().map(|domain| route(domain, "/", &[])).collect());
    for (host, place) in [
        ("a.example.org", 3),
        ("A.example.org.:80", 3),
        ("x.a.example.org", 1),
        ("c.example.org", 1),
        ("x.y.z.example.org", 1),
        ("b.example.org", 1),
        ("x.b.example.org", 2),
        ("x.y.B.Example.org:8080", 2),
        ("one.caps.example", 4),
        ("example.org", 0),
        ("badexample.org", 0),
        (".example.org", 0),
        ("..example.org", 0),
        ("a..example.org", 0),
        ("", 0),
        ("127.0.0.1", 0),
        ("[::1]:80", 0),
    ] {
        assert_eq!(index.find(host, "/"), to(place), "{host}");
    }
    assert!(index.knows("whatever"));
}

#[test]
fn a_wildcard_without_any_host_leaves_others_unknown() {
    let index = index(vec![route("*.example.org", "/", &[])]);
    assert!(index.knows("a.b.example.org") && !index.knows("example.org") && !index.knows("other"));
    let long = format!("{}.example.org", "a.".repeat(200));
    assert_eq!(index.find(&long, "/"), Match::UnknownDomain, "no name of a host is that long");
}

#[test]
fn a_domain_that_wins_is_not_helped_out_by_wider_ones() {
    let index = index(vec![route("a.example.org", "/api", &[]), route("*.example.org", "/", &[])]);
    assert_eq!(index.find("a.example.org", "/"), Match::UnknownPath);
    assert_eq!(index.find("b.example.org", "/"), to(1));
}

#[test]
fn an_app_is_asked_under_a_name_that_its_wildcard_covers() {
    assert_eq!(host_below("*.example.org"), "www.example.org");
    assert_eq!(host_below("example.org"), "example.org");
}

proptest! {
    #[test]
    fn the_answer_is_the_longest_of_all_prefixes_that_cover_the_path(
        prefixes in prop::collection::vec("(/[ab]{1,2}){0,3}", 1..8),
        path in "(/[ab]{1,2}){0,4}/?",
    ) {
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let routes = prefixes.iter().map(|prefix| route("d", prefix, &[])).collect();
        let segments = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let best = prefixes.iter().filter(|prefix| segments(&path).starts_with(&segments(prefix))).map(String::len).max();
        match index(routes).find("d", &path) {
            Match::Route { route, .. } => prop_assert_eq!(Some(prefixes[route].len()), best),
            _ => prop_assert_eq!(None, best),
        }
    }

    #[test]
    fn no_host_or_path_makes_it_panic(host in ".*", path in ".*") {
        let _ = index(vec![route("d", "/", &["/s/"]), route("*.d", "/", &[])]).find(&host, &path);
    }

    #[test]
    fn the_domain_found_is_the_longest_of_all_that_cover_the_host(
        wildcards in prop::collection::btree_set("([ab]{1,2}[.]){0,2}z", 1..8),
        host in "([ab]{1,2}[.]){0,4}z",
    ) {
        let wildcards: Vec<_> = wildcards.into_iter().collect();
        let routes = wildcards.iter().map(|suffix| route(&format!("*.{suffix}"), "/", &[])).collect();
        let best = wildcards.iter().filter(|suffix| host.ends_with(&format!(".{suffix}"))).map(String::len).max();
        match index(routes).find(&host, "/") {
            Match::Route { route, .. } => prop_assert_eq!(Some(wildcards[route].len()), best),
            _ => prop_assert_eq!(None, best),
        }
    }
}
