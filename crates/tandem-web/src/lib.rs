//! The JSON API; no SQL, no decisions.
