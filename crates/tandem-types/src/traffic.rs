//! What balancers see of requests: one record for each, and sums by release that servers keep for some minutes.
//!
//! Sums are sent as what was added since the last report, so that one that gets lost costs its second and nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AppName, BalancerId, EnvironmentName, InstanceId, ReleaseNumber, Timestamp};

/// Whose request it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Served {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that took the traffic.
    pub release: ReleaseNumber,
}

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// An instance of the app.
    Instance,
    /// A static file.
    File,
    /// The balancer, with a page of its own; or nobody, since the client left first.
    #[default]
    Balancer,
}

impl AnsweredBy {
    /// As it is written in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::File => "file",
            Self::Balancer => "balancer",
        }
    }
}

impl fmt::Display for AnsweredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One request. A line of the access log is the same in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When its head had come in.
    pub time: Timestamp,
    /// Whose it was; none: of no app that is served here.
    #[serde(flatten)]
    pub served: Option<Served>,
    /// The instance that it was sent to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Its method; empty where the head could not be read.
    pub method: String,
    /// The host asked for, as sent.
    pub host: String,
    /// Its path, without the query, which often holds what nobody else should read.
    pub path: String,
    /// Status of the answer; none: the client left before there was one.
    pub status: Option<u16>,
    /// Who answered.
    pub answered_by: AnsweredBy,
    /// Whether it was sent more than once.
    pub retried: bool,
    /// Whether the answer did not get to its end.
    pub cut: bool,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Microseconds until a connection for it was begun, where one was made.
    pub queue_us: u64,
    /// Microseconds that making the connection took; 0 on a kept one.
    pub connect_us: u64,
    /// Microseconds until the head of the answer was there.
    pub first_byte_us: u64,
    /// Microseconds until the answer had been handed over.
    pub total_us: u64,
    /// Its id.
    pub request_id: String,
    /// Address of the client.
    pub client: String,
}

/// What a balancer saw since its last report (`PUT /v1/balancers/B/traffic`, each second where there is something to tell).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Which balancer.
    pub balancer: BalancerId,
    /// When its process started: one that finishes what it has reports beside the one that took over.
    pub process: Timestamp,
    /// Sums by release.
    #[serde(default)]
    pub releases: Vec<ReleaseTraffic>,
    /// The slowest requests, some of each release.
    #[serde(default)]
    pub slowest: Vec<RequestRecord>,
    /// The latest requests.
    #[serde(default)]
    pub latest: Vec<RequestRecord>,
}

/// What was added of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseTraffic {
    /// Which; none: requests of no app.
    #[serde(flatten)]
    pub served: Option<Served>,
    /// Requests under way now, tunnels among them.
    pub in_flight: u64,
    /// Answers that did not get to their end.
    #[serde(default)]
    pub cut: u64,
    /// Bytes of requests' bodies.
    #[serde(default)]
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    #[serde(default)]
    pub bytes_out: u64,
    /// How long requests took, by class of status.
    pub classes: Vec<ClassTraffic>,
}

/// How long the requests of one class took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTraffic {
    /// First digit of the status; 0: the client left before there was one.
    pub class: u8,
    /// Microseconds of all of them together.
    pub sum_us: u64,
    /// Buckets of a log-linear histogram of microseconds with their numbers of requests, in rising order.
    pub buckets: Vec<(u16, u32)>,
}

/// What `GET /v1/top` tells: the last minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// When.
    pub time: Timestamp,
    /// Milliseconds that the sums are of.
    pub window_ms: u64,
    /// By release, the busiest first.
    pub releases: Vec<TopLine>,
    /// The slowest requests, the slowest first.
    pub slowest: Vec<RequestRecord>,
    /// The latest requests, the latest first.
    pub latest: Vec<RequestRecord>,
}

/// What `GET /v1/slow` tells: the slowest requests of a minute, ten of each environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowMinute {
    /// When it began. A request belongs to the minute in which it ended.
    pub minute: Timestamp,
    /// The slowest requests, the slowest first.
    pub slowest: Vec<RequestRecord>,
}

/// One release in [`Top`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopLine {
    /// Which; none: requests of no app.
    #[serde(flatten)]
    pub served: Option<Served>,
    /// Over the last seconds.
    pub requests_per_second: f64,
    /// Requests in the window.
    pub requests: u64,
    /// Requests by first digit of the status; 0: the client left before there was one.
    pub classes: [u64; 6],
    /// Answers that did not get to their end.
    pub cut: u64,
    /// Half of the answers took at most so many microseconds. None where there was none, as below.
    pub p50_us: Option<u64>,
    /// 95 of 100 did.
    pub p95_us: Option<u64>,
    /// 99 of 100 did.
    pub p99_us: Option<u64>,
    /// Requests under way.
    pub in_flight: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"time":"2026-11-22T10:00:00.5Z","app":"shop","environment":"production","release":"r12","instance":"i7","method":"GET","host":"shop.example","path":"/a","status":200,"answered_by":"instance","retried":false,"cut":false,"bytes_in":0,"bytes_out":5,"queue_us":0,"connect_us":120,"first_byte_us":900,"total_us":1000,"request_id":"abc","client":"192.0.2.7"}"#;

    #[test]
    fn a_record_on_the_wire_stays_as_it_is() {
        let record: RequestRecord = serde_json::from_str(RECORD).unwrap();
        assert_eq!(record.served.as_ref().unwrap().release, ReleaseNumber(12));
        assert_eq!(serde_json::to_string(&record).unwrap(), RECORD);
        let nobodys = RequestRecord { served: None, instance: None, status: None, ..record };
        let text = serde_json::to_string(&nobodys).unwrap();
        assert!(!text.contains("app") && text.contains(r#""status":null"#), "{text}");
        assert_eq!(serde_json::from_str::<RequestRecord>(&text).unwrap(), nobodys);
    }

    #[test]
    fn a_report_on_the_wire_stays_as_it_is() {
        let golden = r#"{"balancer":"edge","process":"2026-11-22T10:00:00Z","releases":[{"app":"shop","environment":"production","release":"r12","in_flight":3,"cut":1,"bytes_in":0,"bytes_out":9,"classes":[{"class":2,"sum_us":1000,"buckets":[[80,1]]}]},{"in_flight":0,"cut":0,"bytes_in":0,"bytes_out":0,"classes":[]}],"slowest":[],"latest":[]}"#;
        let report: TrafficReport = serde_json::from_str(golden).unwrap();
        assert_eq!((report.releases.len(), &report.releases[1].served), (2, &None));
        assert_eq!(serde_json::to_string(&report).unwrap(), golden);
    }
}
