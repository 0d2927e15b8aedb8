//! `token create|list|revoke`: bearer tokens for the API over TCP, kept only as hashes.
//!
//! A token is 256 random bits, so a plain hash is enough: there is nothing to guess.

use tandem_store::{Error, Expect, Transaction};
use tandem_types::api::{CreateToken, Token, TokenCreated};
use tandem_types::document::Cause;
use tandem_types::problem::Problem;
use tandem_types::{Digest, keys};

use crate::handle::Handle;
use crate::problem;

/// What every token begins with, so that scanners for secrets find it.
const PREFIX: &str = "tandem_";
/// Longest name of a token.
const LONGEST_NAME: usize = 64;

impl Handle {
    /// All tokens by name; hashes only.
    #[must_use]
    pub fn tokens(&self) -> Vec<Token> {
        let all = |mirror: &crate::mirror::Mirror| {
            mirror.list::<Token>(keys::TOKENS).map(|(_, token)| (*token.value).clone()).collect()
        };
        self.shared.look(all)
    }

    /// Creates a token with all rights. The answer is the only time it is seen.
    ///
    /// # Errors
    /// `token_name_invalid`, `token_exists`.
    pub async fn create_token(&self, actor: &str, asked: CreateToken) -> Result<TokenCreated, Problem> {
        let name = asked.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            let title = format!("{name:?} is no name for a token");
            return Err(Problem::new(422, "token_name_invalid", title)
                .hint("use letters, digits, and - _ . @, at most 64 characters"));
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|error| problem::internal("draw a token", &error))?;
        let token = format!("{PREFIX}{}", Digest(random));
        let stored = Token { name: name.clone(), hash: hash(&token), created: self.shared.now() };
        let transaction = Transaction::new(about(actor, "token.create", &name));
        match self.shared.commit(transaction.put(key(&name), &stored, Expect::Absent)).await {
            Ok(_) => Ok(TokenCreated { name, token }),
            Err(Error::Conflict { .. }) => {
                let title = format!("there is a token {name} already");
                Err(Problem::new(409, "token_exists", title).hint(format!("tandem token revoke {name}")))
            }
            Err(error) => Err(problem::store("create the token", &error)),
        }
    }

    /// Makes a token worthless from now on.
    ///
    /// # Errors
    /// `token_not_found`.
    pub async fn revoke_token(&self, actor: &str, name: &str) -> Result<(), Problem> {
        if !self.tokens().iter().any(|token| token.name == name) {
            let title = format!("there is no token {name}");
            return Err(Problem::new(404, "token_not_found", title).hint("tandem token list"));
        }
        let transaction = Transaction::new(about(actor, "token.revoke", name)).delete(key(name), Expect::Any);
        let revoked = self.shared.commit(transaction).await;
        revoked.map(drop).map_err(|error| problem::store("revoke the token", &error))
    }

    /// The actor that a token stands for: `token:NAME`. Hashes are compared in constant time.
    #[must_use]
    pub fn verify_token(&self, token: &str) -> Option<String> {
        let given = blake3::hash(token.as_bytes());
        let matches = |known: &Token| given == blake3::Hash::from_bytes(known.hash.0);
        self.tokens().into_iter().find(matches).map(|token| format!("token:{}", token.name))
    }
}

fn hash(token: &str) -> Digest {
    Digest(*blake3::hash(token.as_bytes()).as_bytes())
}

fn key(name: &str) -> String {
    format!("{}{name}", keys::TOKENS)
}

fn about(actor: &str, action: &str, name: &str) -> Cause {
    Cause {
        actor: actor.to_owned(),
        action: action.to_owned(),
        reason: name.to_owned(),
        subject: String::new(),
    }
}
