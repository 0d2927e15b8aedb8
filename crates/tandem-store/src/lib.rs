//! Versioned documents, journal and leases behind one trait; SQLite.
