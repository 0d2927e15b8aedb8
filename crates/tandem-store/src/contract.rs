//! What every engine has to pass: the same claims, run on a fresh database each.
//!
//! An engine's tests implement [`Engine`] and say `contract::suite!(its_maker)`. A claim that is not in the list of the
//! suite is dead code, which the compiler tells.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tandem_types::Revision;
use tandem_types::document::{Cause, Change, Cursor};

use crate::{SharedStore, Transaction};

pub(crate) mod documents;
pub(crate) mod journal;
pub(crate) mod leases;
pub(crate) mod model;
pub(crate) mod transactions;
pub(crate) mod volatile;
pub(crate) mod watches;

/// One database of an engine, empty at first and removed when dropped.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Opens it; after all earlier stores were dropped this is a restart.
    async fn open(&self) -> SharedStore;

    /// Lets the store's clock advance.
    fn advance(&self, length: Duration);
}

/// Makes one test of each claim; `$make` is an expression that yields an engine.
macro_rules! suite {
    ($make:expr) => {
        crate::contract::suite! { $make;
            documents: [
                a_document_is_read_as_it_was_written
                a_listing_holds_what_begins_with_the_prefix_in_order
                values_are_read_as_their_kind_and_no_other
                a_closed_store_keeps_what_it_acknowledged
                keys_kinds_and_bodies_have_limits
            ]
            transactions: [
                each_transaction_has_the_next_revision
                all_of_it_happens_or_nothing
                expectations_are_checked_and_the_key_is_told
                of_two_writers_of_one_revision_one_wins
                a_newer_format_is_never_overwritten_by_an_older_one
                nothing_to_do_is_refused_unless_it_is_a_note
                many_at_once_all_get_revisions_of_their_own
                a_caller_that_goes_away_leaves_whole_transactions
            ]
            journal: [
                every_transaction_leaves_its_line
                lines_are_found_by_subject_and_in_pages
                waiting_ends_with_the_next_transaction
            ]
            watches: [
                a_new_watch_lists_everything_then_follows
                a_known_cursor_brings_only_what_changed
                a_cursor_that_means_nothing_lists_anew
                a_deletion_reaches_who_was_away
                forgotten_deletions_make_old_cursors_list_anew
                only_its_prefixes_reach_a_watch_and_each_key_once
                a_listing_of_many_pages_misses_nothing
                a_transaction_is_never_split_by_live
                a_watch_that_nobody_reads_holds_nobody_up
                a_watch_ends_with_the_store
                who_is_too_slow_for_forgotten_deletions_lists_anew
            ]
            volatile: [
                a_volatile_document_is_read_but_not_journalled
                a_watch_sees_volatile_documents_come_and_go
                a_volatile_deletion_reaches_who_was_away
                volatile_documents_end_with_the_server_and_watchers_hear_of_it
                a_key_is_volatile_or_lasting_never_both
                a_key_may_change_from_volatile_to_lasting
                what_came_before_a_volatile_document_is_told_before_it
            ]
            leases: [
                one_holder_at_a_time
                fences_grow_and_outlast_the_server
                an_ended_lease_writes_nothing
                renewing_keeps_a_lease_and_revives_none
                a_restarted_holder_fences_off_its_predecessor
                the_holder_counts_from_before_it_asked
            ]
        }
    };
    ($make:expr; $($module:ident: [$($claim:ident)*])*) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $claim() {
                crate::contract::$module::$claim(&$make).await;
            })*
        })*

        #[test]
        fn random_histories_end_in_the_state_of_a_plain_map() {
            crate::contract::model::random_histories_end_in_the_state_of_a_plain_map(|| $make);
        }
    };
}
pub(crate) use suite;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("what must come did not come within 30 s")
}

pub(crate) fn cause(action: &str) -> Cause {
    Cause {
        actor: "test".to_owned(),
        action: action.to_owned(),
        reason: String::new(),
        subject: String::new(),
    }
}

pub(crate) fn transaction() -> Transaction {
    Transaction::new(cause("test.write"))
}

/// Writes one document of kind `thing/1`, whatever was there.
pub(crate) async fn put(store: &SharedStore, key: &str, body: impl Into<Value>) -> Revision {
    let write = transaction().put_value(key, ("thing/1", body.into()), crate::Expect::Any);
    store.transact(write).await.unwrap()
}

pub(crate) async fn delete(store: &SharedStore, key: &str) -> Revision {
    store.transact(transaction().delete(key, crate::Expect::Any)).await.unwrap()
}

pub(crate) type Changes = BoxStream<'static, Change>;

pub(crate) async fn watch(store: &SharedStore, prefix: &str, after: Option<Cursor>) -> Changes {
    store.watch(vec![prefix.to_owned()], after).await.unwrap()
}

/// All changes up to and including the next `Live`, and its cursor.
pub(crate) async fn until_live(changes: &mut Changes) -> (Vec<Told>, Cursor) {
    let mut told = Vec::new();
    loop {
        match soon(changes.next()).await.expect("the watch goes on") {
            Change::Live { cursor } => return (told, cursor),
            change => told.push(Told::from(change)),
        }
    }
}

/// A change in short.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Reset,
    Put(String, Value),
    Delete(String),
}

impl From<Change> for Told {
    fn from(change: Change) -> Self {
        match change {
            Change::Reset => Self::Reset,
            Change::Put { document } => Self::Put(document.key, document.body),
            Change::Delete { key, .. } => Self::Delete(key),
            Change::Live { .. } => unreachable!("signs of life are told apart before"),
        }
    }
}

pub(crate) fn told_put(key: &str, body: impl Into<Value>) -> Told {
    Told::Put(key.to_owned(), body.into())
}

pub(crate) fn told_delete(key: &str) -> Told {
    Told::Delete(key.to_owned())
}
