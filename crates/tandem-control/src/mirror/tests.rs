//! The mirror ends equal to the store, however news of the same documents overtake each other.

use std::collections::VecDeque;

use proptest::prelude::*;
use serde_json::json;
use tandem_types::document::Change;

use super::*;

const KEYS: [&str; 3] = ["tokens/a", "tokens/b", "tokens/c"];

fn token(key: &str, revision: u64) -> Document {
    let hash = "0".repeat(64);
    Document {
        key: key.to_owned(),
        revision: Revision(revision),
        kind: "token/1".to_owned(),
        body: json!({ "name": format!("n{revision}"), "hash": hash, "created": "2026-11-21T12:00:00Z" }),
    }
}

fn catch_up(mirror: &mut Mirror, changes: Vec<Change>, listed: Option<BTreeSet<String>>, up_to: u64) -> bool {
    let now = Timestamp::UNIX_EPOCH;
    mirror.catch_up(
        changes.into_iter().filter_map(|change| News::of(change, now)).collect(),
        listed,
        Revision(up_to),
    )
}

/// What is here: key → revision of the content, by the name that was written.
fn contents(mirror: &Mirror) -> BTreeMap<String, String> {
    let all = mirror.list::<tandem_types::api::Token>("tokens/");
    all.map(|(key, token)| (key.to_owned(), token.value.name.clone())).collect()
}

#[test]
fn old_news_never_replaces_what_was_written_here() {
    let (mut mirror, now) = (Mirror::default(), Timestamp::UNIX_EPOCH);
    assert!(mirror.put(token("tokens/a", 5), now));
    assert!(!mirror.put(token("tokens/a", 4), now));
    assert!(!mirror.put(token("tokens/a", 5), now), "its own echo is no news");
    assert!(mirror.delete("tokens/a", Revision(6)));
    assert!(!mirror.put(token("tokens/a", 5), now), "deleted here, told of later");
    assert!(contents(&mirror).is_empty());
    catch_up(&mut mirror, Vec::new(), None, 6);
    assert!(mirror.put(token("tokens/a", 7), now));
    assert_eq!(mirror.take_changed().len(), 1);
    assert!(mirror.take_changed().is_empty());
}

#[test]
fn the_deletion_of_what_was_never_here_is_remembered() {
    let (mut mirror, now) = (Mirror::default(), Timestamp::UNIX_EPOCH);
    assert!(!mirror.delete("tokens/a", Revision(6)));
    assert!(!mirror.put(token("tokens/a", 5), now));
    assert!(mirror.put(token("tokens/a", 7), now));
}

#[test]
fn what_was_read_before_a_deletion_that_the_watch_told_is_no_news() {
    let (mut mirror, now) = (Mirror::default(), Timestamp::UNIX_EPOCH);
    mirror.put(token("tokens/a", 5), now);
    let deleted = Change::Delete { key: "tokens/a".to_owned(), revision: Revision(6) };
    assert!(catch_up(&mut mirror, vec![deleted], None, 9));
    assert!(!mirror.put(token("tokens/a", 5), now), "read by somebody else before");
    assert!(contents(&mirror).is_empty());
}

#[test]
fn a_store_in_another_life_is_believed_although_its_revisions_are_smaller() {
    let (mut mirror, now) = (Mirror::default(), Timestamp::UNIX_EPOCH);
    mirror.put(token("tokens/a", 50), now);
    mirror.delete("tokens/b", Revision(51));
    catch_up(&mut mirror, Vec::new(), None, 60);
    let before = mirror.keys();
    mirror.forget_revisions();
    let listed = [("tokens/a", 3), ("tokens/b", 2)].map(|(key, at)| Change::Put { document: token(key, at) });
    assert!(catch_up(&mut mirror, listed.to_vec(), Some(before), 4));
    let both = [("tokens/a".to_owned(), "n3".to_owned()), ("tokens/b".to_owned(), "n2".to_owned())];
    assert_eq!(contents(&mirror), both.into());
}

#[test]
fn what_was_read_before_a_listing_and_comes_before_its_end_is_gone() {
    let (mut mirror, now) = (Mirror::default(), Timestamp::UNIX_EPOCH);
    let before = mirror.keys();
    assert!(mirror.put(token("tokens/a", 5), now), "deleted at 6, listed without it at 7");
    assert!(mirror.put(token("tokens/b", 8), now), "written since the listing began");
    assert!(catch_up(&mut mirror, Vec::new(), Some(before), 7));
    assert_eq!(contents(&mirror), [("tokens/b".to_owned(), "n8".to_owned())].into());
}

/// A store with its whole history, and everything that was read from it and is still on its way to the mirror.
#[derive(Default)]
struct Site {
    /// Of each key what each revision made of it: there or not.
    history: Vec<(usize, bool)>,
    mirror: Mirror,
    /// What use cases wrote or read, in no order.
    news: VecDeque<Change>,
    /// What the watch has read and not told yet, with what was there at its beginning, and up to where.
    watched: Option<(Vec<Change>, Option<BTreeSet<String>>, usize)>,
    /// Up to where the watch has told.
    told: usize,
}

#[derive(Debug, Clone)]
enum Step {
    /// Somebody writes or deletes; `ours` says whether this process does, and tells the mirror sooner or later.
    Write { key: usize, there: bool, ours: bool },
    /// Somebody reads one document for the mirror.
    Refresh { key: usize },
    /// What was written or read reaches the mirror, in any order.
    Arrive { which: usize },
    /// The watch reads what is new.
    Follow,
    /// The watch lists anew, the last keys later than the first.
    List { late: Vec<(usize, bool)> },
    /// What the watch has read reaches the mirror.
    Live,
}

fn step() -> impl Strategy<Value = Step> {
    let late = proptest::collection::vec((0..KEYS.len(), any::<bool>()), 0..3);
    prop_oneof![
        4 => (0..KEYS.len(), any::<bool>(), any::<bool>())
            .prop_map(|(key, there, ours)| Step::Write { key, there, ours }),
        2 => (0..KEYS.len()).prop_map(|key| Step::Refresh { key }),
        3 => (0..8_usize).prop_map(|which| Step::Arrive { which }),
        2 => Just(Step::Follow),
        1 => late.prop_map(|late| Step::List { late }),
        3 => Just(Step::Live),
    ]
}

impl Site {
    fn revision(&self) -> usize {
        self.history.len()
    }

    /// What was last written to a key after a revision; none: nothing.
    fn last(&self, key: usize, after: usize) -> Option<Change> {
        let mut written = self.history.iter().enumerate().skip(after);
        let (index, (_, there)) = written.rfind(|(_, (written, _))| *written == key)?;
        let revision = index as u64 + 1;
        Some(if *there {
            Change::Put { document: token(KEYS[key], revision) }
        } else {
            Change::Delete { key: KEYS[key].to_owned(), revision: Revision(revision) }
        })
    }

    fn document(&self, key: usize) -> Option<Change> {
        self.last(key, 0).filter(|change| matches!(change, Change::Put { .. }))
    }

    fn write(&mut self, key: usize, there: bool) {
        self.history.push((key, there));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write { key, there, ours } => {
                self.write(key, there);
                let told = self.last(key, self.revision() - 1).filter(|_| ours);
                self.news.extend(told);
            }
            Step::Refresh { key } => {
                let absent =
                    Change::Delete { key: KEYS[key].to_owned(), revision: Revision(self.revision() as u64) };
                let read = self.document(key).unwrap_or(absent);
                self.news.push_back(read);
            }
            Step::Arrive { which } => self.arrive(which),
            Step::Follow if self.watched.is_none() => {
                let news = (0..KEYS.len()).filter_map(|key| self.last(key, self.told)).collect();
                self.watched = Some((news, None, self.revision()));
            }
            Step::List { late } if self.watched.is_none() => self.list(late),
            Step::Live => self.live(),
            Step::Follow | Step::List { .. } => {}
        }
    }

    fn list(&mut self, late: Vec<(usize, bool)>) {
        let (begun, before) = (self.revision(), self.mirror.keys());
        let mut listed: Vec<_> = self.document(0).into_iter().collect();
        for (key, there) in late {
            self.write(key, there);
        }
        listed.extend((1..KEYS.len()).filter_map(|key| self.document(key)));
        self.watched = Some((listed, Some(before), begun));
    }

    fn arrive(&mut self, which: usize) {
        let Some(news) = self.news.remove(which % self.news.len().max(1)) else { return };
        match news {
            Change::Put { document } => self.mirror.put(document, Timestamp::UNIX_EPOCH),
            Change::Delete { key, revision } => self.mirror.delete(&key, revision),
            Change::Reset | Change::Live { .. } => false,
        };
    }

    fn live(&mut self) {
        let Some((changes, listed, up_to)) = self.watched.take() else { return };
        catch_up(&mut self.mirror, changes, listed, up_to as u64);
        self.told = up_to;
    }
}

proptest! {
    #[test]
    fn any_interleaving_of_listing_watch_and_writes_ends_equal_to_the_store(
        steps in proptest::collection::vec(step(), 0..60),
        news_come_last in any::<bool>(),
    ) {
        let mut site = Site::default();
        steps.into_iter().for_each(|step| site.take(step));
        site.live();
        if !news_come_last {
            (0..site.news.len()).for_each(|_| site.arrive(0));
        }
        site.take(Step::Follow);
        site.live();
        (0..site.news.len()).for_each(|_| site.arrive(0));
        let there = (0..KEYS.len()).filter_map(|key| match site.document(key)? {
            Change::Put { document } => Some((document.key, format!("n{}", document.revision.0))),
            _ => None,
        });
        prop_assert_eq!(contents(&site.mirror), there.collect::<BTreeMap<_, _>>());
    }
}
