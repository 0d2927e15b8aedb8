//! Tokens for the API over TCP: as the store keeps them and as people get them.

use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::{Digest, Timestamp};

/// A token as the store keeps it (`tokens/<name>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// What people call it.
    pub name: String,
    /// BLAKE3 of the token.
    pub hash: Digest,
    /// When it was created.
    pub created: Timestamp,
}

impl Kind for Token {
    const KIND: &'static str = "token/1";
}

/// Creates a token with all rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateToken {
    /// What people call it.
    pub name: String,
}

/// The only time the token is seen.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// What people call it.
    pub name: String,
    /// `tandem_…`, to be sent as a bearer token.
    pub token: String,
}
