//! What two balancers say to each other. Both may be of any version: fields are added, never changed, and an unknown
//! message ends the conversation, which leaves the old one serving.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_types::routing::BalancerStatus;
use tandem_types::{BalancerId, Epoch, InstanceId};

/// The version of the conversation that this program speaks.
pub(crate) const PROTOCOL: u32 = 1;

/// One message, either way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// New: gives itself to know and asks for the sockets.
    Take(Take),
    /// Old: what it has; the lock and the sockets follow, one descriptor a byte.
    Offer(Box<Offer>),
    /// Old: no. For people.
    Refused(String),
    /// New: could serve this epoch at once.
    Ready(Epoch),
    /// Old: serves a later one, say so again when you do.
    Behind(Epoch),
    /// Old: serve, and speak for both of us. This is how I stand.
    Go(Box<BalancerStatus>),
    /// New: serves.
    Serving,
    /// Old: how it stands now. The first one says that it accepts no connection any more.
    Status(Box<BalancerStatus>),
    /// Old, to whoever serves now, where the one that took over from it has died.
    Elder(Box<BalancerStatus>),
    /// New: everything ends, do not wait for more.
    End,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Take {
    /// Greatest version of the conversation that it speaks.
    pub protocol: u32,
    /// Its process id, for logs.
    pub pid: u32,
    /// The balancer that it is to be.
    pub id: BalancerId,
    /// Where it is to serve; port 0 takes any.
    pub http: Vec<SocketAddr>,
}

/// What the old one has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The version of the conversation from here on: the smaller one of both.
    pub protocol: u32,
    /// Its process id, for logs.
    pub pid: u32,
    /// The address of each listening socket that follows.
    pub sockets: Vec<SocketAddr>,
    /// What it would save (see `table::Saved`). A format that the new one does not read counts as none.
    #[serde(default)]
    pub saved: serde_json::Value,
    /// Members of its table that its probes find unhealthy.
    #[serde(default)]
    pub unhealthy: Vec<InstanceId>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn status() -> Box<BalancerStatus> {
        Box::new(BalancerStatus {
            draining: BTreeMap::from([(InstanceId(3), 2)]),
            requests: 9,
            ..BalancerStatus::silent("box".parse().unwrap(), Epoch(7))
        })
    }

    /// What version 1 of the conversation looks like, for ever.
    #[test]
    fn the_words_stay_as_they_are() {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let take = Take { protocol: 1, pid: 5, id: "box".parse().unwrap(), http: vec![address] };
        let offer = Offer {
            protocol: 1,
            pid: 4,
            sockets: vec![address],
            saved: serde_json::json!({"format": "balancer_state/1"}),
            unhealthy: vec![InstanceId(3)],
        };
        let status_text = r#"{"balancer":"box","started":"1970-01-01T00:00:00Z","serving":"e7","draining":{"i3":2},"unhealthy":[],"http":[],"requests":9}"#;
        for (message, text) in [
            (Message::Take(take), r#"{"take":{"protocol":1,"pid":5,"id":"box","http":["127.0.0.1:8080"]}}"#.to_owned()),
            (
                Message::Offer(Box::new(offer)),
                r#"{"offer":{"protocol":1,"pid":4,"sockets":["127.0.0.1:8080"],"saved":{"format":"balancer_state/1"},"unhealthy":["i3"]}}"#
                    .to_owned(),
            ),
            (Message::Refused("no".to_owned()), r#"{"refused":"no"}"#.to_owned()),
            (Message::Ready(Epoch(7)), r#"{"ready":"e7"}"#.to_owned()),
            (Message::Behind(Epoch(8)), r#"{"behind":"e8"}"#.to_owned()),
            (Message::Go(status()), format!(r#"{{"go":{status_text}}}"#)),
            (Message::Serving, r#""serving""#.to_owned()),
            (Message::Status(status()), format!(r#"{{"status":{status_text}}}"#)),
            (Message::Elder(status()), format!(r#"{{"elder":{status_text}}}"#)),
            (Message::End, r#""end""#.to_owned()),
        ] {
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
            assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_no_reason_to_stop() {
        let text = r#"{"take":{"protocol":2,"pid":5,"id":"box","http":[],"colour":"green"}}"#;
        assert!(matches!(serde_json::from_str(text).unwrap(), Message::Take(Take { protocol: 2, .. })));
    }
}
