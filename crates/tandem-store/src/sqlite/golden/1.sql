-- One row: the name of this life of the store, the revision of the newest transaction, and the revision up to
-- which deletions are forgotten.
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  incarnation TEXT NOT NULL,
  revision INTEGER NOT NULL,
  floor INTEGER NOT NULL
) STRICT;

CREATE TABLE documents (
  key TEXT NOT NULL PRIMARY KEY,
  revision INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX documents_by_revision ON documents (revision);

-- Deleted documents, for watchers that come back.
CREATE TABLE tombstones (
  key TEXT NOT NULL PRIMARY KEY,
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_revision ON tombstones (revision);

-- The keys are a JSON list.
CREATE TABLE journal (
  revision INTEGER PRIMARY KEY,
  time TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  reason TEXT NOT NULL,
  subject TEXT NOT NULL,
  keys TEXT NOT NULL
) STRICT;
CREATE INDEX journal_by_subject ON journal (subject, revision);

-- The last holder of each lease. Until when it is held is in memory: a process that opens the store holds the lock of
-- its folder, so earlier holders are dead.
CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY,
  holder TEXT NOT NULL,
  fence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys of volatile documents that watchers may still know from an earlier process.
CREATE TABLE volatile_keys (
  key TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
