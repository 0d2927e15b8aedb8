//! Tables made of services.

use std::collections::BTreeSet;

use tandem_types::app::ProcessSpec;
use tandem_types::build::Subtree;
use tandem_types::release::Release;
use tandem_types::{BuildNumber, HostName, InstanceId, Timestamp};

use super::*;
use crate::draft::Draft;
use crate::rollout::tests::simulation::Simulation;
use crate::world::World;

fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

fn build(number: u64, domains: &[&str]) -> Build {
    let web = ProcessType::web();
    Build {
        subtrees: vec![Subtree {
            name: "static".to_owned(),
            mount: "/app/staticfiles".to_owned(),
            tree: Digest([u8::try_from(number).unwrap(); 32]),
            bytes: 0,
            files: 0,
        }],
        spec: AppSpec {
            processes: [(web.clone(), ProcessSpec::new(&web, "gunicorn"))].into(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            static_folders: [("/static".to_owned(), "staticfiles/".to_owned())].into(),
            ..AppSpec::default()
        },
        ..Build::new(app("guestbook"), BuildNumber(number), Digest([1; 32]), Timestamp::UNIX_EPOCH)
    }
}

fn member(instance: u64) -> Member {
    let host: HostName = "alpha".parse().unwrap();
    Member { host, instance: InstanceId(instance) }
}

fn service(build: &Build, members: &[u64], older: &[&Build]) -> Vec<Route> {
    let members: Vec<_> = members.iter().map(|id| member(*id)).collect();
    routes(&Service {
        app: &app("guestbook"),
        environment: &EnvironmentName::production(),
        release: ReleaseNumber(build.number.0),
        build,
        static_trees: &StaticTrees::new(),
        members: &members,
        older,
    })
}

#[test]
fn an_app_without_domains_is_found_under_its_name() {
    let spec = AppSpec::default();
    let staging = "staging".parse().unwrap();
    assert_eq!(domains(&app("shop"), &EnvironmentName::production(), &spec), ["shop.localhost"]);
    assert_eq!(domains(&app("shop"), &staging, &spec), ["staging.shop.localhost"]);
}

#[test]
fn declared_domains_belong_to_production_only() {
    let spec = AppSpec { domains: vec!["Shop.example".to_owned()], ..AppSpec::default() };
    let staging = "staging".parse().unwrap();
    assert_eq!(domains(&app("shop"), &EnvironmentName::production(), &spec), ["shop.example"]);
    assert_eq!(domains(&app("shop"), &staging, &spec), ["staging.shop.localhost"]);
}

#[test]
fn the_same_service_gives_the_same_routes_in_whatever_order_it_is_told() {
    let build = build(1, &["B.example", "a.example", "b.example"]);
    let routes = service(&build, &[3, 1, 2], &[]);
    assert_eq!(routes, service(&build, &[1, 2, 3], &[]));
    assert_eq!(
        routes.iter().map(|route| route.domain.as_str()).collect::<Vec<_>>(),
        ["a.example", "b.example"]
    );
    assert_eq!(routes[0].pool.members, [member(1), member(2), member(3)]);
}

#[test]
fn static_files_of_older_releases_come_after_those_of_the_serving_one() {
    let (new, old, oldest) = (build(3, &[]), build(2, &[]), build(1, &[]));
    let routes = service(&new, &[1], &[&old, &oldest, &old]);
    let folder = StaticFolder {
        prefix: "/static/".to_owned(),
        trees: vec![Digest([3; 32]), Digest([2; 32]), Digest([1; 32])],
    };
    assert_eq!(routes[0].static_folders, [folder]);
}

fn at(number: u64, prefix: &str) -> Build {
    let mut build = build(number, &[]);
    build.spec.static_folders = [(prefix.to_owned(), "staticfiles".to_owned())].into();
    build
}

#[test]
fn a_prefix_that_older_releases_alone_have_is_served_until_their_pages_are_gone() {
    let shown = |routes: Vec<Route>| -> Vec<(String, Vec<u8>)> {
        let folders = routes[0].static_folders.iter();
        folders
            .map(|folder| (folder.prefix.clone(), folder.trees.iter().map(|tree| tree.0[0]).collect()))
            .collect()
    };
    let folder = |prefix: &str, trees: &[u8]| (prefix.to_owned(), trees.to_vec());
    let (new, old, oldest) = (at(3, "/assets/"), at(2, "/static"), at(1, "static/"));
    assert_eq!(
        shown(service(&new, &[1], &[&old, &oldest])),
        [folder("/assets/", &[3]), folder("/static/", &[2, 1])]
    );
    // One that would hide newer files, or the app.
    for hiding in ["/assets/old/", "/"] {
        assert_eq!(shown(service(&new, &[1], &[&at(2, hiding)])), [folder("/assets/", &[3])], "{hiding}");
    }
    let mut own = build(4, &[]);
    own.spec.static_folders.clear();
    assert!(shown(service(&own, &[1], &[&old])).is_empty(), "the app answers for its files itself");
}

#[test]
fn a_static_folder_inside_of_a_part_is_served_from_where_it_was_found() {
    let build = build(1, &[]);
    let found = [("/static/".to_owned(), Digest([9; 32]))];
    let mut trees = StaticTrees::new();
    trees.insert(build.number, Arc::new(found.into()));
    let routes = routes(&Service {
        app: &app("guestbook"),
        environment: &EnvironmentName::production(),
        release: ReleaseNumber(1),
        build: &build,
        static_trees: &trees,
        members: &[],
        older: &[],
    });
    assert_eq!(routes[0].static_folders[0].trees, [Digest([9; 32])]);
}

#[test]
fn replacing_the_routes_of_one_environment_leaves_all_others_as_they_are() {
    let guestbook = service(&build(1, &["m.example"]), &[1], &[]);
    let mut other = guestbook[0].clone();
    other.pool.app = app("shop");
    let (before, after) = (
        Route { domain: "a.example".to_owned(), ..other.clone() },
        Route { domain: "z.example".to_owned(), ..other },
    );
    let table = Table { epoch: Epoch(4), routes: vec![before.clone(), guestbook[0].clone(), after.clone()] };
    let new = service(&build(2, &["n.example"]), &[2], &[]);
    let of = (&app("guestbook"), &EnvironmentName::production());
    let replaced = replace(&table, of, new.clone(), Epoch(5));
    assert_eq!(replaced, Table { epoch: Epoch(5), routes: vec![before, new[0].clone(), after] });
}

#[test]
fn a_withdrawn_epoch_is_never_used_again() {
    let mut routing = RoutingDocument { last: Epoch(7), ..RoutingDocument::default() };
    routing.serving.epoch = Epoch(5);
    assert_eq!(next_epoch(&routing), Epoch(8));
    routing.prepared = Some(Table { epoch: Epoch(9), routes: Vec::new() });
    assert_eq!(next_epoch(&routing), Epoch(10));
}

#[test]
fn a_domain_that_another_environment_owns_is_named_with_its_owner() {
    let owner = Owner { app: app("shop"), environment: EnvironmentName::production() };
    let taken = [("b.example".to_owned(), owner.clone())].into();
    let asked = ["a.example".to_owned(), "b.example".to_owned()];
    assert_eq!(conflict(&asked, &taken), Some(("b.example".to_owned(), &owner)));
    assert_eq!(conflict(&asked[..1], &taken), None);
}

#[test]
fn a_wildcard_and_a_name_below_it_may_belong_to_different_apps() {
    let owner = Owner { app: app("shop"), environment: EnvironmentName::production() };
    let taken = [("*.example.org".to_owned(), owner.clone())].into();
    for free in ["a.example.org", "example.org", "*.a.example.org"] {
        assert_eq!(conflict(&[free.to_owned()], &taken), None, "{free}");
    }
    let same = "*.example.org".to_owned();
    assert_eq!(conflict(std::slice::from_ref(&same), &taken), Some((same.clone(), &owner)));
}

#[test]
fn an_app_is_asked_under_an_exact_domain_where_it_has_one() {
    assert_eq!(host_to_ask(["*.example.org", "a.org", "b.org"]).as_deref(), Some("a.org"));
    assert_eq!(host_to_ask(["*.example.org", "*.b.org"]).as_deref(), Some("www.example.org"));
    assert_eq!(host_to_ask([]), None);
}

#[test]
fn static_files_of_a_release_are_served_for_a_day_after_its_last_request() {
    let simulation = Simulation::deployed(&[("web", 1)], 3);
    let mut world = simulation.world();
    let spec = at(1, "/static/").spec;
    for build in world.builds.values_mut() {
        let own = build.number;
        let spec = AppSpec { static_folders: spec.static_folders.clone(), ..build.spec.clone() };
        *build = Arc::new(Build { spec, ..(**build).clone() });
        let tree = Digest([u8::try_from(own.0).unwrap(); 32]);
        world.static_trees.insert(own, Arc::new([("/static/".to_owned(), tree)].into()));
    }
    let lost = |world: &mut World, release: u64, minutes: u64| {
        let release = world.releases.get_mut(&ReleaseNumber(release)).unwrap();
        let lost_traffic = Some(simulation.now - std::time::Duration::from_secs(60 * minutes));
        *release = Arc::new(Release { lost_traffic, ..(**release).clone() });
    };
    lost(&mut world, 1, 24 * 60);
    lost(&mut world, 2, 24 * 60 - 1);
    let routes = Draft::new(&world, simulation.now).routes(ReleaseNumber(3), &BTreeSet::new());
    assert_eq!(routes[0].static_folders[0].trees, [Digest([3; 32]), Digest([2; 32])]);
}
