//! Counts, shares and histograms, added up and thinned out.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn served(app: &str, release: u64) -> Served {
    Served {
        app: app.parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: tandem_types::ReleaseNumber(release),
    }
}

fn added(served: Option<Served>, in_flight: u64, times: &[(u8, u64)]) -> ReleaseTraffic {
    let mut classes: BTreeMap<u8, Histogram> = BTreeMap::new();
    times.iter().for_each(|(class, micros)| classes.entry(*class).or_default().record(*micros));
    let classes = classes.iter().map(|(class, histogram)| histogram.to_traffic(*class)).collect();
    ReleaseTraffic { served, in_flight, cut: 0, bytes_in: 0, bytes_out: 0, classes }
}

fn record(served: Option<Served>, second: i64, total_us: u64) -> RequestRecord {
    RequestRecord {
        time: at(second),
        served,
        instance: None,
        method: "GET".to_owned(),
        host: "shop.example".to_owned(),
        path: "/".to_owned(),
        status: Some(200),
        answered_by: tandem_types::traffic::AnsweredBy::Instance,
        retried: false,
        cut: false,
        bytes_in: 0,
        bytes_out: 0,
        queue_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        total_us,
        request_id: "id".to_owned(),
        client: "192.0.2.7".to_owned(),
    }
}

fn report(balancer: &str, releases: Vec<ReleaseTraffic>) -> TrafficReport {
    let balancer = balancer.parse().unwrap();
    TrafficReport { balancer, process: at(0), releases, slowest: Vec::new(), latest: Vec::new() }
}

#[test]
fn reports_of_several_balancers_add_up_by_release() {
    let mut traffic = Traffic::default();
    let (old, new) = (Some(served("shop", 1)), Some(served("shop", 2)));
    let one = vec![added(old.clone(), 2, &[(2, 1000), (5, 9000)]), added(new.clone(), 0, &[(2, 500)])];
    traffic.take(at(10), report("one", one));
    traffic.take(at(10), report("other", vec![added(old.clone(), 3, &[(2, 1000), (0, 77)])]));
    let top = traffic.top(at(12), &Filter::default());
    assert_eq!(top.releases.len(), 2);
    let line = &top.releases[0];
    assert_eq!((&line.served, line.requests, line.in_flight), (&old, 4, 5));
    assert_eq!(line.classes, [1, 0, 2, 0, 0, 1]);
    assert_eq!(line.requests_per_second, 0.8);
    assert!((1000..=1062).contains(&line.p50_us.unwrap()), "who left is no answer: {line:?}");
    assert!((9000..=9562).contains(&line.p99_us.unwrap()));
    assert_eq!(top.releases[1].served, new);
}

#[test]
fn what_is_older_than_the_window_is_not_told_and_what_is_older_than_all_is_forgotten() {
    let mut traffic = Traffic::default();
    let shop = Some(served("shop", 1));
    for second in 0..1000 {
        traffic.take(at(second), report("edge", vec![added(shop.clone(), 0, &[(2, 10)])]));
    }
    assert_eq!(traffic.top(at(999), &Filter::default()).releases[0].requests, 60);
    assert_eq!(traffic.sums(at(999), i64::MAX)[&shop].requests(), SECONDS as u64);
    let later = traffic.top(at(2000), &Filter::default());
    assert!(later.releases.is_empty() && later.slowest.is_empty());
}

#[test]
fn a_balancer_that_is_silent_has_nothing_under_way_and_one_that_reports_says_how_much() {
    let mut traffic = Traffic::default();
    let shop = Some(served("shop", 1));
    traffic.take(at(0), report("edge", vec![added(shop.clone(), 7, &[])]));
    traffic.take(at(1), report("edge", vec![added(shop.clone(), 4, &[])]));
    let line = &traffic.top(at(1), &Filter::default()).releases[0];
    assert_eq!((line.in_flight, line.requests, line.p50_us), (4, 0, None));
    assert!(traffic.in_flight(at(1 + SILENT)).is_empty());
}

#[test]
fn the_slowest_of_each_minute_are_kept_for_an_hour_by_environment() {
    let mut traffic = Traffic::default();
    for second in 0..2 * 3600 {
        let mut told = report("edge", Vec::new());
        told.slowest = vec![record(Some(served("shop", 1)), second, 1_000_000 + second as u64)];
        if second == 7_190 {
            told.slowest.push(record(Some(served("blog", 1)), second, 5));
        }
        traffic.take(at(second), told);
    }
    let log = traffic.slow(&Filter::default());
    let kept: usize = log.iter().map(|minute| minute.slowest.len()).sum();
    assert!(((MINUTES - 1) * SLOWEST..=MINUTES * SLOWEST + 1).contains(&kept), "{kept}");
    assert!(log.windows(2).all(|pair| pair[0].minute > pair[1].minute));
    let of_minute =
        |minute: &SlowMinute| minute.slowest.windows(2).all(|pair| pair[0].total_us >= pair[1].total_us);
    assert!(log.iter().all(of_minute));
    let now = at(7_199);
    let top = traffic.top(now, &Filter::default());
    assert_eq!(top.slowest.len(), SLOWEST);
    assert!(top.slowest.windows(2).all(|pair| pair[0].total_us >= pair[1].total_us));
    let blog = Filter { app: "blog".parse().ok(), environment: None };
    let top = traffic.top(now, &blog);
    assert_eq!(top.slowest.len(), 1, "the shop's slow requests leave room for those of the blog");
    let staging = Filter { environment: "staging".parse().ok(), ..blog };
    assert!(traffic.top(now, &staging).slowest.is_empty());
}

#[test]
fn a_request_that_took_longer_than_the_window_is_told_when_it_has_ended() {
    let mut traffic = Traffic::default();
    let long = record(Some(served("shop", 1)), 0, 65_000_000);
    let told = TrafficReport {
        slowest: vec![long.clone()],
        latest: vec![long.clone()],
        ..report("edge", Vec::new())
    };
    traffic.take(at(66), told);
    let top = traffic.top(at(67), &Filter::default());
    assert_eq!((&top.slowest, &top.latest), (&vec![long.clone()], &vec![long.clone()]));
    assert!(traffic.top(at(126), &Filter::default()).slowest.is_empty());
    let log = traffic.slow(&Filter::default());
    assert_eq!(log, [SlowMinute { minute: at(60), slowest: vec![long] }]);
}

#[test]
fn the_latest_are_told_first_and_bounded() {
    let mut traffic = Traffic::default();
    for second in 0..100 {
        let mut told = report("edge", Vec::new());
        told.latest = (0..10).map(|part| record(None, second, part)).collect();
        traffic.take(at(second), told);
    }
    let top = traffic.top(at(99), &Filter::default());
    assert_eq!(top.latest.len(), LATEST_TOLD);
    assert_eq!((top.latest[0].time, top.latest[0].total_us), (at(99), 9));
    assert_eq!(traffic.latest.len(), LATEST);
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let mut traffic = Traffic::default();
    let shop = Some(served("shop", 1));
    traffic.take(at(100), report("edge", vec![added(shop.clone(), 0, &[(2, 10)])]));
    traffic.take(at(40), report("edge", vec![added(shop, 0, &[(2, 10)])]));
    assert_eq!(traffic.top(at(100), &Filter::default()).releases[0].requests, 2);
}
