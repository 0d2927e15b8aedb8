//! Turns the watch on `routing/`, `hosts/` and `https/` into updates.
//!
//! A watch that begins anew lists everything first; nothing is acted on until the list is whole, and then addresses come
//! before the table that needs them. What is missing from the list changes nothing: a server that lost its routing
//! document must not take the traffic down.

use serde_json::Value;
use tandem_types::document::{Change, Document, Kind};
use tandem_types::https::Challenges;
use tandem_types::instance::HostObservation;
use tandem_types::keys;
use tandem_types::routing::RoutingDocument;

/// Something the balancer acts on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Update {
    /// A host says where its instances are.
    Observed(HostObservation),
    /// The routing document is this now.
    Routing(RoutingDocument),
    /// What is answered to authorities is this now.
    Challenges(Challenges),
    /// A certificate was written.
    Certificates,
    /// Everything there is has been listed.
    Complete,
}

/// Collects changes into updates.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// Documents of a list that is not whole yet.
    listing: Option<Vec<Document>>,
}

impl Feed {
    /// Takes in one change; returns what to act on now, in this order.
    pub(crate) fn take(&mut self, change: Change) -> Vec<Update> {
        match change {
            Change::Reset => {
                self.listing = Some(Vec::new());
                Vec::new()
            }
            Change::Put { document } => match &mut self.listing {
                Some(listing) => {
                    listing.push(document);
                    Vec::new()
                }
                None => update(document).into_iter().collect(),
            },
            Change::Delete { key, .. } => {
                tracing::debug!(key, "{key} was deleted; what it said stays in force");
                Vec::new()
            }
            Change::Live { .. } => self.complete(),
        }
    }

    fn complete(&mut self) -> Vec<Update> {
        let Some(listing) = self.listing.take() else { return Vec::new() };
        let mut updates: Vec<_> = listing.into_iter().filter_map(update).collect();
        updates.sort_by_key(|update| matches!(update, Update::Routing(_)));
        updates.push(Update::Complete);
        updates
    }
}

fn update(document: Document) -> Option<Update> {
    let Document { key, kind, body, .. } = document;
    if key == keys::ROUTING_TABLE {
        return decode(&key, &kind, body).map(Update::Routing);
    }
    if key == keys::CHALLENGES {
        return decode(&key, &kind, body).map(Update::Challenges);
    }
    if key.starts_with(keys::CERTIFICATES) {
        return Some(Update::Certificates);
    }
    // Assignments live under the same prefix; they are the runner's.
    HostObservation::reads(&kind).then(|| decode(&key, &kind, body).map(Update::Observed)).flatten()
}

/// A document of a newer format is left alone: serving on what was understood last beats guessing.
fn decode<T: Kind>(key: &str, kind: &str, body: Value) -> Option<T> {
    if !T::reads(kind) {
        tracing::error!(key, "cannot read {key}: its format is {kind}, this version understands {}", T::KIND);
        return None;
    }
    serde_json::from_value(body).inspect_err(|error| tracing::error!(key, "cannot read {key}: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use tandem_types::document::Cursor;
    use tandem_types::{Epoch, Revision};

    use super::*;

    fn put(key: &str, kind: &str, body: Value) -> Change {
        let document = Document { key: key.to_owned(), revision: Revision(1), kind: kind.to_owned(), body };
        Change::Put { document }
    }

    fn routing(epoch: u64) -> Change {
        put(
            "routing/table",
            "routing/1",
            serde_json::json!({"serving": {"epoch": Epoch(epoch), "routes": []}}),
        )
    }

    fn observed() -> Change {
        let body = serde_json::json!({
            "host": "box", "boot_id": "b", "started": "2026-11-21T12:00:00Z", "api": {"unix": "/r"},
            "isolation": "plain", "staged": [], "instances": [], "jobs": [], "fence": 1,
        });
        put("hosts/box/observed", "host_observation/1", body)
    }

    fn live() -> Change {
        Change::Live { cursor: Cursor { incarnation: "a".to_owned(), revision: Revision(1) } }
    }

    #[test]
    fn a_list_is_acted_on_when_it_is_whole_and_addresses_come_first() {
        let mut feed = Feed::default();
        assert!(feed.take(Change::Reset).is_empty());
        assert!(feed.take(routing(3)).is_empty());
        assert!(feed.take(observed()).is_empty());
        let updates = feed.take(live());
        assert!(matches!(updates.as_slice(), [Update::Observed(_), Update::Routing(_), Update::Complete]));
    }

    #[test]
    fn news_after_the_list_is_acted_on_at_once() {
        let mut feed = Feed::default();
        feed.take(Change::Reset);
        feed.take(live());
        assert!(
            matches!(feed.take(routing(4)).as_slice(), [Update::Routing(document)] if document.serving.epoch == Epoch(4))
        );
        assert!(feed.take(live()).is_empty());
    }

    #[test]
    fn a_list_cut_off_in_the_middle_changes_nothing() {
        let mut feed = Feed::default();
        feed.take(Change::Reset);
        feed.take(routing(3));
        feed.take(Change::Reset);
        assert_eq!(feed.take(live()), [Update::Complete]);
    }

    /// Whoever wrote it may run an older version: a balancer is upgraded before or after its servers.
    #[test]
    fn documents_of_an_older_format_are_acted_on() {
        use tandem_types::app::App;
        let body =
            serde_json::json!({"name": "guestbook", "created": "2026-11-21T12:00:00Z", "next_build": "b8"});
        for (kind, is_read) in [("app/1", true), (App::KIND, true), ("app/9", false)] {
            assert_eq!(decode::<App>("key", kind, body.clone()).is_some(), is_read, "{kind}");
        }
    }

    #[test]
    fn documents_that_are_not_understood_are_left_alone() {
        let mut feed = Feed::default();
        assert!(feed.take(put("routing/table", "routing/9", serde_json::json!({}))).is_empty());
        assert!(feed.take(put("routing/table", "routing/1", serde_json::json!({"serving": 1}))).is_empty());
        assert!(feed.take(put("hosts/box/assignments/a.b", "assignment/1", Value::Null)).is_empty());
        let gone = Change::Delete { key: "routing/table".to_owned(), revision: Revision(2) };
        assert!(feed.take(gone).is_empty());
    }
}
