//! Harness, scenarios and the tidy test; only for development.
