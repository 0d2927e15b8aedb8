//! What the requests of one app may take of a balancer, and how long they wait: `[limits]` of `tandem.toml`.

use serde::{Deserialize, Serialize};

use crate::{Span, defaults};

/// Limits of one environment of an app, as its build says; what is none is the default. They hold at each balancer by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// How long a request waits while no instance can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// Requests under way at a time, those that wait and tunnels among them; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Connections of clients at a time, idle ones among them, each counted for the app that it asked last; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Bytes of the longest head; none: as long as any may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_bytes: Option<u64>,
    /// Bytes of the longest body; none: any length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// How long a client may send nothing of a body that it owes, or take nothing of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_timeout: Option<Span>,
    /// How long an instance may take to begin its answer, from the last part of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<Span>,
}

impl Limits {
    /// Whether all of them are the defaults.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// How long a request waits while no instance can be reached; zero: not at all.
    #[must_use]
    pub fn hold(&self) -> Span {
        self.hold.unwrap_or(defaults::HOLD)
    }
}
