//! The wall clock is set while the store is open, and while it is not.

use std::time::Duration;

use tandem_types::Timestamp;

use super::Sqlite;
use crate::contract::{Engine, transaction};
use crate::{JournalQuery, SharedStore};

const HOUR: Duration = Duration::from_secs(3600);

async fn note(store: &SharedStore) {
    store.transact(transaction().noted()).await.unwrap();
}

async fn times(store: &SharedStore) -> Vec<Timestamp> {
    let entries = store.journal(JournalQuery::default()).await.unwrap();
    entries.into_iter().map(|entry| entry.time).collect()
}

#[tokio::test]
async fn no_entry_of_the_journal_is_earlier_than_the_one_before() {
    let sqlite = Sqlite::new();
    let noon = sqlite.clock.now();
    for wall in [noon + HOUR, noon - HOUR, noon - 48 * HOUR, Timestamp::UNIX_EPOCH, noon + 48 * HOUR, noon] {
        let store = sqlite.open().await;
        note(&store).await;
        sqlite.hands.set_wall(wall);
        sqlite.advance(Duration::from_secs(1));
        note(&store).await;
    }
    let times = times(&sqlite.open().await).await;
    assert_eq!(times.len(), 12);
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[11] >= noon + 48 * HOUR, "a clock that is days ahead is followed at once: {times:?}");
}
