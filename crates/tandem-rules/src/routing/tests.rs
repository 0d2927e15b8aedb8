//! What a balancer may rely on when it asks for a route.

use proptest::prelude::*;
use tandem_types::routing::{Pool, Route, StaticFolder, Table};
use tandem_types::{Epoch, Health};

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
            health: Health::default(),
        },
        static_folders: folders
            .iter()
            .map(|prefix| StaticFolder { prefix: (*prefix).to_owned(), trees: Vec::new() })
            .collect(),
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
        let _ = index(vec![route("d", "/", &["/s/"])]).find(&host, &path);
    }
}
