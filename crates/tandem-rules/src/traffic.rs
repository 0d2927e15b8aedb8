//! What is known of the traffic of the last minutes: the reports of all balancers added up, the slowest requests of each
//! minute, the latest ones.
//!
//! Everything here is bounded: seconds, minutes, requests of a list. Time is given, and that at which a report is taken in
//! counts: clocks of balancers differ, and a report is a second old at most.

use std::collections::{BTreeMap, VecDeque};

use tandem_types::traffic::{ReleaseTraffic, RequestRecord, Served, SlowMinute, Top, TopLine, TrafficReport};
use tandem_types::{AppName, BalancerId, EnvironmentName, Timestamp};

use crate::histogram::Histogram;

/// Seconds of which sums are kept.
const SECONDS: usize = 300;
/// Seconds that [`Traffic::top`] is of.
const WINDOW: i64 = 60;
/// Seconds over which requests per second are taken: fewer jump about, more lag behind.
const RATE: i64 = 5;
/// Minutes of which the slowest requests are kept.
const MINUTES: usize = 60;
/// Slowest requests kept of each minute and environment, and told.
const SLOWEST: usize = 10;
/// Latest requests kept, of all apps together.
const LATEST: usize = 400;
/// Latest requests told.
const LATEST_TOLD: usize = 20;
/// Seconds after which a balancer that reports nothing has nothing under way: one that has says so each second.
const SILENT: i64 = 5;

/// See the module.
#[derive(Debug, Default)]
pub struct Traffic {
    /// The latest in front. As they came: most of a histogram is empty.
    seconds: VecDeque<(i64, Vec<ReleaseTraffic>)>,
    in_flight: BTreeMap<(BalancerId, Timestamp), UnderWay>,
    /// The latest minute in front.
    slowest: VecDeque<(i64, BTreeMap<Environment, Vec<RequestRecord>>)>,
    /// The latest in front.
    latest: VecDeque<RequestRecord>,
}

/// What a process of a balancer has under way, and when it said so.
#[derive(Debug)]
struct UnderWay {
    heard: i64,
    counts: Vec<(Option<Served>, u64)>,
}

/// None: requests of no app.
type Environment = Option<(AppName, EnvironmentName)>;

/// What was seen of one release.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// How long requests took, by first digit of the status; 0: the client left before there was one.
    pub classes: BTreeMap<u8, Histogram>,
    /// Answers that did not get to their end.
    pub cut: u64,
    /// Bytes of requests' bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
}

impl Sums {
    fn add(&mut self, traffic: &ReleaseTraffic) {
        for class in &traffic.classes {
            self.classes.entry(class.class).or_default().add(class);
        }
        self.cut += traffic.cut;
        self.bytes_in += traffic.bytes_in;
        self.bytes_out += traffic.bytes_out;
    }

    /// How many requests there were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.classes.values().map(Histogram::count).sum()
    }

    /// How long answers took that there were: tunnels last as long as people look, and who left tells nothing of the app.
    #[must_use]
    pub fn answers(&self) -> Histogram {
        let mut all = Histogram::default();
        self.classes.range(2..).for_each(|(_, histogram)| all.merge(histogram));
        all
    }
}

/// Of what [`Traffic::top`] is to tell.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this app.
    pub app: Option<AppName>,
    /// Only environments of this name.
    pub environment: Option<EnvironmentName>,
}

impl Filter {
    fn admits(&self, served: Option<&Served>) -> bool {
        let is_app = self.app.as_ref().is_none_or(|app| served.is_some_and(|served| served.app == *app));
        let wanted = self.environment.as_ref();
        is_app && wanted.is_none_or(|name| served.is_some_and(|served| served.environment == *name))
    }
}

impl Traffic {
    /// Takes in what a balancer saw.
    pub fn take(&mut self, now: Timestamp, report: TrafficReport) {
        let second = now.as_second();
        let under_way = report.releases.iter().filter(|traffic| traffic.in_flight > 0);
        let counts = under_way.map(|traffic| (traffic.served.clone(), traffic.in_flight)).collect();
        self.in_flight.retain(|_, under_way| second - under_way.heard < SILENT);
        self.in_flight.insert((report.balancer, report.process), UnderWay { heard: second, counts });
        let added = report.releases.into_iter().filter(|traffic| !traffic.classes.is_empty());
        slot(&mut self.seconds, second, SECONDS).extend(added);
        let minute = slot(&mut self.slowest, second.div_euclid(60), MINUTES);
        for record in report.slowest {
            let environment = record.served.as_ref();
            let environment = environment.map(|served| (served.app.clone(), served.environment.clone()));
            let slowest = minute.entry(environment).or_default();
            slowest.push(record);
            shorten(slowest);
        }
        for record in report.latest {
            self.latest.push_front(record);
        }
        self.latest.truncate(LATEST);
    }

    /// What was seen of each release in so many seconds up to now: for witnesses and metrics.
    #[must_use]
    pub fn sums(&self, now: Timestamp, seconds: i64) -> BTreeMap<Option<Served>, Sums> {
        let mut all: BTreeMap<_, Sums> = BTreeMap::new();
        let seconds = self.seconds.iter().filter(|(at, _)| now.as_second() - at < seconds);
        for traffic in seconds.flat_map(|(_, releases)| releases) {
            all.entry(traffic.served.clone()).or_default().add(traffic);
        }
        all
    }

    /// Requests under way, by release.
    #[must_use]
    pub fn in_flight(&self, now: Timestamp) -> BTreeMap<Option<Served>, u64> {
        let mut all = BTreeMap::new();
        let live = self.in_flight.values().filter(|under_way| now.as_second() - under_way.heard < SILENT);
        for (served, count) in live.flat_map(|under_way| &under_way.counts) {
            *all.entry(served.clone()).or_default() += count;
        }
        all
    }

    /// The slowest requests of the last hour, ten of each minute and environment; the latest minute first, and of each the slowest.
    #[must_use]
    pub fn slow(&self, filter: &Filter) -> Vec<SlowMinute> {
        let minutes = self.slowest.iter().filter_map(|(minute, environments)| {
            let told = environments.values().flatten().filter(|record| filter.admits(record.served.as_ref()));
            let mut slowest: Vec<_> = told.cloned().collect();
            slowest.sort_by_key(|record| std::cmp::Reverse(record.total_us));
            let minute = Timestamp::from_second(minute * 60).ok()?;
            (!slowest.is_empty()).then_some(SlowMinute { minute, slowest })
        });
        minutes.collect()
    }

    /// The last minute, for people.
    #[must_use]
    pub fn top(&self, now: Timestamp, filter: &Filter) -> Top {
        let mut sums = self.sums(now, WINDOW);
        let (rates, in_flight) = (self.sums(now, RATE), self.in_flight(now));
        for served in in_flight.keys() {
            sums.entry(served.clone()).or_default();
        }
        sums.retain(|served, _| filter.admits(served.as_ref()));
        let mut releases: Vec<_> = sums
            .into_iter()
            .map(|(served, sums)| {
                let recent = rates.get(&served).map_or(0, Sums::requests);
                let in_flight = in_flight.get(&served).copied().unwrap_or_default();
                line(served, &sums, (recent, in_flight))
            })
            .collect();
        releases.sort_by_key(|line| std::cmp::Reverse(line.requests));
        let begin = now.as_second() - WINDOW;
        let told = |record: &&RequestRecord| filter.admits(record.served.as_ref()) && ended(record) >= begin;
        let all = self.slowest.iter().flat_map(|(_, environments)| environments.values().flatten());
        let mut slowest: Vec<_> = all.filter(told).cloned().collect();
        shorten(&mut slowest);
        let latest = self.latest.iter().filter(told).take(LATEST_TOLD).cloned().collect();
        Top { time: now, window_ms: WINDOW as u64 * 1000, releases, slowest, latest }
    }
}

fn line(served: Option<Served>, sums: &Sums, (recent, in_flight): (u64, u64)) -> TopLine {
    let answers = sums.answers();
    let count = |class: u8| sums.classes.get(&class).map_or(0, Histogram::count);
    TopLine {
        served,
        requests_per_second: recent as f64 / RATE as f64,
        requests: sums.requests(),
        classes: [0, 1, 2, 3, 4, 5].map(count),
        cut: sums.cut,
        p50_us: answers.quantile(500),
        p95_us: answers.quantile(950),
        p99_us: answers.quantile(990),
        in_flight,
    }
}

/// The second in which a request ended, by its balancer's clock: what took long began long ago.
fn ended(record: &RequestRecord) -> i64 {
    let micros = i64::try_from(record.total_us).unwrap_or(i64::MAX);
    record.time.as_second().saturating_add(micros / 1_000_000)
}

/// Leaves the slowest, the slowest first.
fn shorten(records: &mut Vec<RequestRecord>) {
    records.sort_by_key(|record| std::cmp::Reverse(record.total_us));
    records.truncate(SLOWEST);
}

/// The place of a point in time, made where it is the latest; of one before the latest, the latest: a clock that is set back
/// must not forget anything.
fn slot<T: Default>(slots: &mut VecDeque<(i64, T)>, at: i64, most: usize) -> &mut T {
    if slots.front().is_none_or(|(latest, _)| *latest < at) {
        slots.push_front((at, T::default()));
    }
    while slots.len() > most || slots.back().is_some_and(|(oldest, _)| at - oldest >= most as i64) {
        slots.pop_back();
    }
    &mut slots.front_mut().expect("one was pushed, and the latest is not popped").1
}

#[cfg(test)]
mod tests;
