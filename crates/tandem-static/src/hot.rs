//! Short files of a folder that were just asked for, in memory: what a page consists of is asked for again at once.
//!
//! An entry is what a name stood for at one moment, forms and tags included, so that an answer is always of one piece; it
//! counts for half a second ([`KEPT`]), shorter than any client is told to keep it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tandem_kit::clock::{Clock, Moment};

use super::coding::Coding;

/// How long an entry counts.
const KEPT: Duration = Duration::from_millis(500);
/// Bytes of all entries of a folder, beyond which those that count no more are dropped, and then all.
const MOST: usize = 8 * 1024 * 1024;
/// What an entry takes beside its name and content.
const EACH: usize = 256;

/// Entries of a folder.
#[derive(Debug)]
pub(super) struct Hot {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<(String, bool), (Moment, Arc<Short>)>,
    bytes: usize,
}

/// A short file and its compressed forms.
#[derive(Debug)]
pub(super) struct Short {
    pub(super) plain: Content,
    pub(super) forms: Vec<(Coding, Content)>,
}

/// Content, and what tells it from any other.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) tag: String,
}

impl Hot {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// What is known of a name; `any_form`: of its forms, too.
    pub(super) fn get(&self, key: &(String, bool)) -> Option<Arc<Short>> {
        let state = self.lock();
        let (since, short) = state.files.get(key)?;
        (self.clock.monotonic().elapsed_since(*since) < KEPT).then(|| Arc::clone(short))
    }

    /// What a name stands for now.
    pub(super) fn put(&self, key: (String, bool), short: &Arc<Short>) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let size = size_of(&key, short);
        if state.bytes + size > MOST {
            state.files.retain(|_, (since, _)| now.elapsed_since(*since) < KEPT);
            state.bytes = state.files.iter().map(|(key, (_, short))| size_of(key, short)).sum();
        }
        if state.bytes + size > MOST {
            state.files.clear();
            state.bytes = 0;
        }
        if let Some((_, old)) = state.files.remove(&key) {
            state.bytes -= size_of(&key, &old);
        }
        state.bytes += size;
        state.files.insert(key, (now, Arc::clone(short)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_of((name, _): &(String, bool), short: &Short) -> usize {
    let forms = short.forms.iter().map(|(_, form)| form.bytes.len());
    EACH + name.len() + short.plain.bytes.len() + forms.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(length: usize) -> Arc<Short> {
        let plain = Content { bytes: vec![0; length].into(), tag: String::new() };
        Arc::new(Short { plain, forms: Vec::new() })
    }

    #[test]
    fn an_entry_counts_for_half_a_second_and_all_of_them_take_so_much_at_most() {
        let (clock, hands) = Clock::manual(tandem_types::Timestamp::UNIX_EPOCH);
        let hot = Hot::new(clock);
        let key = |name: usize| (name.to_string(), false);
        hot.put(key(0), &short(10));
        assert!(hot.get(&key(0)).is_some() && hot.get(&("0".to_owned(), true)).is_none());
        hands.advance(KEPT);
        assert!(hot.get(&key(0)).is_none());
        for name in 0..1000 {
            hot.put(key(name % 500), &short(64 * 1024));
            let state = hot.lock();
            let sum: usize = state.files.iter().map(|(key, (_, short))| size_of(key, short)).sum();
            assert!(sum == state.bytes && sum <= MOST, "{sum} {}", state.bytes);
        }
    }
}
