//! Builds that come, fail and go.
