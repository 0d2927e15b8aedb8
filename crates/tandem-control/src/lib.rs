//! Use cases and reconcilers: apps, builds, rollouts, hosts, secrets.
