//! Who asks: the process at the other end of a unix socket, or whoever holds a token.
//!
//! Over the unix socket the kernel tells the peer's user id; root and the server's own user may do everything, nobody
//! else anything. Over TCP, loopback too, a bearer token is needed: sandboxed apps share the host's network. Nothing in a
//! request but the token counts, neither `Host` nor forwarded addresses.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use nix::unistd::{Uid, User};
use tandem_kit::http::is_trusted_uid;
use tandem_types::problem::Problem;

use crate::problem::Refusal;
use crate::site::Site;

/// How a connection came in; set for each connection by [`crate::serve()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over the unix socket, from a process of this user.
    Unix {
        /// User id as the kernel knows it.
        uid: u32,
    },
    /// Over TCP: anybody.
    Tcp,
}

/// Who asks, as the journal names them: `unix:ann`, `token:ci`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller(pub(crate) String);

/// Lets a request through with its [`Caller`], or refuses it before its body is read.
pub(crate) async fn identify(State(site): State<Site>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match caller_of(&site, &parts) {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refusal) => challenge(refusal),
    }
}

fn caller_of(site: &Site, parts: &Parts) -> Result<Caller, Refusal> {
    match parts.extensions.get::<Peer>() {
        Some(Peer::Unix { uid }) if is_trusted_uid(*uid) => Ok(Caller(format!("unix:{}", user_name(*uid)))),
        Some(Peer::Unix { uid }) => Err(Refusal(
            Problem::new(403, "user_refused", format!("user {} may not use this server", user_name(*uid)))
                .hint("run this as the user that started `tandem up`, or as root"),
        )),
        Some(Peer::Tcp) | None => match bearer(parts) {
            Some(token) => match site.control.verify_token(token) {
                Some(actor) => Ok(Caller(actor)),
                None => Err(refused("the token is not valid")),
            },
            None => Err(refused("a request over TCP needs a token")),
        },
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750); the scheme's case does not matter.
fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Why a token does not let in. Says the same of an unknown and of a revoked one.
fn refused(title: &str) -> Refusal {
    let hint =
        "on the server's machine type `tandem token create NAME`, then set TANDEM_TOKEN to what it prints";
    Refusal(Problem::new(401, "token_needed", title).hint(hint))
}

fn challenge(refusal: Refusal) -> Response {
    let is_challenge = refusal.0.status == 401;
    let mut response = refusal.into_response();
    if is_challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tandem\""));
    }
    response
}

/// The name of a user, or the number where there is none.
fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}
