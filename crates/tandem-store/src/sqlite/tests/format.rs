//! Stores of each format stay readable, and strange files are told by name.

use serde_json::json;
use tandem_types::Span;
use tandem_types::document::Cursor;

use super::{Sqlite, open};
use crate::contract::{Engine as _, put, told_delete, until_live, watch};
use crate::{Error, JournalQuery};

const EXAMPLE: &str = include_str!("../golden/1-example.sql");

#[tokio::test]
async fn a_store_of_format_1_is_read_whole() {
    let sqlite = Sqlite::new();
    sqlite.raw().execute_batch(EXAMPLE).unwrap();
    let store = sqlite.open().await;
    let document = store.get("apps/guestbook").await.unwrap().unwrap();
    assert_eq!((document.revision.0, document.kind.as_str()), (2, "app/1"));
    assert_eq!(document.body, json!({"name": "guestbook"}));

    let journal = store.journal(JournalQuery::default()).await.unwrap();
    let second = serde_json::to_value(&journal[1]).unwrap();
    let expected = json!({
        "revision": 2, "time": "2026-11-21T12:00:01.25Z", "actor": "token:ci", "action": "app.create",
        "reason": "first try", "subject": "guestbook", "keys": ["apps/guestbook"],
    });
    assert_eq!((journal.len(), second), (3, expected));

    let cursor = Cursor { incarnation: "00c0ffee00c0ffee".to_owned(), revision: tandem_types::Revision(2) };
    let mut changes = watch(&store, "", Some(cursor)).await;
    let told = until_live(&mut changes).await.0;
    assert_eq!(told, [told_delete("hosts/here/observed"), told_delete("apps/forgotten")]);
    let lease = store.acquire("rollouts", "server-2", Span::seconds(30)).await.unwrap().unwrap();
    assert_eq!(lease.fence.0, 42);
    assert_eq!(put(&store, "next", 1).await.0, 4);
}

/// Tables and indexes, without the blanks and comments of their text.
fn tables(sqlite: &Sqlite) -> Vec<String> {
    let raw = sqlite.raw();
    let mut statement =
        raw.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    texts.map(|text| text.unwrap().split_whitespace().collect::<String>()).collect()
}

#[tokio::test]
async fn the_tables_of_format_1_never_change() {
    let (new, example) = (Sqlite::new(), Sqlite::new());
    drop(new.open().await);
    example.raw().execute_batch(EXAMPLE).unwrap();
    assert_eq!(tables(&new), tables(&example), "changed tables are a new format");
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let sqlite = Sqlite::new();
    drop(sqlite.open().await);
    sqlite.raw().pragma_update(None, "user_version", 2).unwrap();
    let error = open(sqlite.path(), sqlite.clock.clone()).await.err().unwrap();
    assert!(
        matches!(&error, Error::NewerStore { path, found: 2, known: 1 } if *path == sqlite.path()),
        "{error}"
    );
    assert!(error.hint().is_some());
    let format: u32 = sqlite.raw().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(format, 2);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let sqlite = Sqlite::new();
    sqlite.raw().execute_batch("CREATE TABLE precious (data)").unwrap();
    let error = open(sqlite.path(), sqlite.clock.clone()).await.err().unwrap();
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == sqlite.path()), "{error}");
    assert_eq!(tables(&sqlite), ["CREATETABLEprecious(data)"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told() {
    let sqlite = Sqlite::new();
    let path = sqlite.folder.path().join("missing/tandem.sqlite3");
    let error = open(path.clone(), sqlite.clock.clone()).await.err().unwrap();
    assert_eq!(error.to_string(), format!("create the store {}", path.display()));
}
