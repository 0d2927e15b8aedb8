//! Everything there is to show at one moment, and its page.

use std::collections::BTreeMap;

use tandem_record::{ClassTotal, Total};
use tandem_types::InstanceId;
use tandem_types::traffic::Served;

use super::text::{Format, Kind, Label, Page};
use crate::shared::Shared;
use crate::table::{Instance, Live};

/// States of an instance that is in the table.
const STATES: [&str; 3] = ["ready", "unhealthy", "left_out"];
/// Classes of status by their first digit.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// See the module.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) connections: usize,
    /// By release; none: requests of no app.
    pub(super) totals: BTreeMap<Option<Served>, Total>,
    /// By release and id.
    pub(super) instances: BTreeMap<(Served, InstanceId), Member>,
}

/// An instance in the table.
#[derive(Debug)]
pub(super) struct Member {
    /// Its place in [`STATES`].
    state: usize,
    address: String,
    in_flight: u64,
}

impl Member {
    fn of(instance: &Instance) -> Self {
        let state = match instance {
            left_out if left_out.is_left_out() => 2,
            other => usize::from(!other.is_healthy()),
        };
        let endpoint = instance.endpoint();
        let address = endpoint.as_ref().map(|endpoint| endpoint.address.to_string());
        Self { state, address: address.unwrap_or_default(), in_flight: instance.in_flight() }
    }
}

impl Figures {
    /// As things stand.
    pub(super) fn of(shared: &Shared, totals: BTreeMap<Option<Served>, Total>) -> Self {
        let (version, connections) = (crate::balancer::version(), shared.connections());
        Self { version, connections, totals, instances: members_of(&shared.live()) }
    }

    /// As a page.
    pub(super) fn page(&self, format: Format) -> String {
        let mut page = Page::new(format);
        page.family("tandem_build_info", Kind::Info, "Version of this balancer.");
        page.sample("tandem_build_info", &[("version", &self.version)], 1);
        page.family("tandem_client_connections", Kind::Gauge, "Connections of clients that are open.");
        page.sample("tandem_client_connections", &[], self.connections);
        self.write_requests(&mut page);
        self.write_durations(&mut page);
        self.write_sums(&mut page);
        self.write_instances(&mut page);
        page.finish()
    }

    /// Each release and class of status.
    fn each_class(&self, mut each: impl FnMut(&[Label<'_>], &ClassTotal)) {
        for (served, total) in &self.totals {
            let names = Names::of(served.as_ref());
            for (class, name) in total.classes.iter().zip(CLASSES) {
                let Some(class) = class else { continue };
                let [app, environment, release] = names.labels();
                each(&[app, environment, release, ("status_class", name)], class);
            }
        }
    }

    fn write_requests(&self, page: &mut Page) {
        let name = "tandem_requests_total";
        page.family(name, Kind::Counter, "Requests that are over, by release and class of status.");
        self.each_class(|labels, class| page.sample(name, labels, class.count()));
    }

    fn write_durations(&self, page: &mut Page) {
        let help = "Time from a request's head to the end of its answer.";
        page.family("tandem_request_duration_seconds", Kind::Histogram, help);
        self.each_class(|labels, class| {
            let mut bucket = |end: &str, below: u64| {
                let labels: Vec<_> = labels.iter().copied().chain([("le", end)]).collect();
                page.sample("tandem_request_duration_seconds_bucket", &labels, below);
            };
            for (end_us, below) in class.cumulative() {
                // With a decimal point in any case, as OpenMetrics wants it.
                bucket(&format!("{:?}", end_us as f64 / 1e6), below);
            }
            bucket("+Inf", class.count());
            page.sample("tandem_request_duration_seconds_sum", labels, seconds(class.sum_us));
            page.sample("tandem_request_duration_seconds_count", labels, class.count());
        });
    }

    fn write_sums(&self, page: &mut Page) {
        type Sum = (&'static str, Kind, &'static str, fn(&Total) -> u64);
        let sums: [Sum; 4] = [
            ("tandem_requests_cut_total", Kind::Counter, "Answers that did not get to their end.", |total| {
                total.cut
            }),
            ("tandem_request_body_bytes_total", Kind::Counter, "Bytes of requests' bodies.", |total| {
                total.bytes_in
            }),
            ("tandem_response_body_bytes_total", Kind::Counter, "Bytes of answers' bodies.", |total| {
                total.bytes_out
            }),
            (
                "tandem_requests_in_flight",
                Kind::Gauge,
                "Requests under way, open websockets among them.",
                |total| total.in_flight,
            ),
        ];
        for (name, kind, help, of) in sums {
            page.family(name, kind, help);
            for (served, total) in &self.totals {
                page.sample(name, &Names::of(served.as_ref()).labels(), of(total));
            }
        }
    }

    fn write_instances(&self, page: &mut Page) {
        let mut counts: BTreeMap<&Served, [u64; STATES.len()]> = BTreeMap::new();
        for ((served, _), member) in &self.instances {
            counts.entry(served).or_default()[member.state] += 1;
        }
        page.family("tandem_instances", Kind::Gauge, "Instances that take requests now, by how they are.");
        for (served, counts) in counts {
            let names = Names::of(Some(served));
            for (state, count) in STATES.iter().zip(counts) {
                let [app, environment, release] = names.labels();
                page.sample("tandem_instances", &[app, environment, release, ("state", state)], count);
            }
        }
        let name = "tandem_instance_requests_in_flight";
        page.family(name, Kind::Gauge, "Requests that an instance has now.");
        for ((served, id), Member { address, in_flight, .. }) in &self.instances {
            let (names, id) = (Names::of(Some(served)), id.to_string());
            let [app, environment, release] = names.labels();
            let labels = [app, environment, release, ("instance_id", &*id), ("address", address)];
            page.sample(name, &labels, in_flight);
        }
    }
}

/// The names of a release as labels.
struct Names<'a> {
    app: &'a str,
    environment: &'a str,
    release: String,
}

impl<'a> Names<'a> {
    /// An empty label is none.
    fn of(served: Option<&'a Served>) -> Self {
        let Some(Served { app, environment, release }) = served else {
            return Self { app: "", environment: "", release: String::new() };
        };
        Self { app: app.as_str(), environment: environment.as_str(), release: release.to_string() }
    }

    fn labels(&self) -> [Label<'_>; 3] {
        [("app", self.app), ("environment", self.environment), ("release", &self.release)]
    }
}

fn members_of(live: &Live) -> BTreeMap<(Served, InstanceId), Member> {
    let mut members = BTreeMap::new();
    for route in live.routes() {
        for instance in route.members() {
            let key = (Served::clone(route.served()), instance.id());
            members.entry(key).or_insert_with(|| Member::of(instance));
        }
    }
    members
}

/// Without rounding.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tandem_record::{Outbox, Recorder, Seen, Trace};
    use tandem_types::traffic::AnsweredBy;

    use super::*;

    fn served() -> Served {
        Served {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: "r12".parse().unwrap(),
        }
    }

    fn figures() -> Figures {
        let outbox = Arc::new(Outbox::new(1));
        let (totals, recorder) = (outbox.keep_totals(), Recorder::new(Arc::clone(&outbox), 0));
        for _ in 0..3 {
            let mut trace = Trace::begin();
            trace.belongs_to(recorder.slot(&Arc::new(served())));
            trace.answered(AnsweredBy::Instance, http::StatusCode::NOT_FOUND);
            recorder.finish(&trace, &Seen::default());
        }
        recorder.finish(&Trace::begin(), &Seen::default());
        recorder.drain();
        let member = Member { state: 1, address: "unix:/a\"b".to_owned(), in_flight: 2 };
        let instances = [((served(), InstanceId(7)), member)].into();
        Figures { version: "1.2.3".to_owned(), connections: 5, totals: totals.read(), instances }
    }

    /// Values of the buckets of a page's only release, in their order.
    fn buckets(page: &str) -> Vec<(&str, u64)> {
        let of_shop = page.lines().filter(|line| line.contains("_bucket{app=\"shop\""));
        of_shop
            .map(|line| {
                let (_, end) = line.split_once("le=\"").unwrap();
                let (end, value) = end.split_once("\"} ").unwrap();
                (end, value.parse().unwrap())
            })
            .collect()
    }

    #[test]
    fn a_page_has_each_family_once_and_its_buckets_rise_to_the_count() {
        for format in [Format::Text, Format::OpenMetrics] {
            let page = figures().page(format);
            let mut families: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
            assert_eq!(families.len(), 10, "{page}");
            families.sort_unstable();
            families.dedup();
            assert_eq!(families.len(), 10, "{page}");
            let buckets = buckets(&page);
            assert_eq!((buckets[0].0, buckets[10].0, buckets.len()), ("0.0005", "1.0", 17));
            assert!(buckets.is_sorted_by_key(|(_, below)| *below), "{buckets:?}");
            assert_eq!(buckets.last(), Some(&("+Inf", 3)));
            assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
    }

    #[test]
    fn a_page_says_whose_each_figure_is() {
        let page = figures().page(Format::Text);
        let shop = "app=\"shop\",environment=\"production\",release=\"r12\"";
        for line in [
            "tandem_build_info{version=\"1.2.3\"} 1".to_owned(),
            "tandem_client_connections 5".to_owned(),
            format!("tandem_requests_total{{{shop},status_class=\"4xx\"}} 3"),
            "tandem_requests_total{app=\"\",environment=\"\",release=\"\",status_class=\"none\"} 1"
                .to_owned(),
            format!("tandem_request_duration_seconds_count{{{shop},status_class=\"4xx\"}} 3"),
            format!("tandem_requests_in_flight{{{shop}}} 0"),
            format!("tandem_instances{{{shop},state=\"ready\"}} 0"),
            format!("tandem_instances{{{shop},state=\"unhealthy\"}} 1"),
            format!(
                "tandem_instance_requests_in_flight{{{shop},instance_id=\"i7\",address=\"unix:/a\\\"b\"}} 2"
            ),
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn seconds_are_written_without_rounding() {
        for (micros, text) in [(0, "0.000000"), (1, "0.000001"), (61_000_050, "61.000050")] {
            assert_eq!(seconds(micros), text);
        }
    }
}
