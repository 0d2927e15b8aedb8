//! A part of a build with its time, as people see it.

use tandem_kit::clock::Moment;
use tandem_types::event::Event;

use crate::Events;
use crate::workshop::Workshop;

/// A part under way.
pub(super) struct Part<'a> {
    name: &'static str,
    started: Moment,
    shop: &'a Workshop,
    events: Events<'a>,
}

impl<'a> Part<'a> {
    /// Tells that a part began.
    pub(super) fn begin(name: &'static str, shop: &'a Workshop, events: Events<'a>) -> Self {
        events(Event::Part { name: name.to_owned(), duration_ms: None, note: String::new() });
        Self { name, started: shop.now(), shop, events }
    }

    /// Tells that it ended, and how.
    pub(super) fn end(self, note: impl Into<String>) {
        let duration_ms = Some(self.shop.millis_since(self.started));
        (self.events)(Event::Part { name: self.name.to_owned(), duration_ms, note: note.into() });
    }
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
