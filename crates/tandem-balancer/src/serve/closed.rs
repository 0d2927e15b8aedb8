//! Requests that do not reach their app, because it is paused or gone or they are more than it takes, and the page that the app
//! has for this.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use tandem_certificates::CHALLENGE_PATH;
use tandem_wire::{Framing, forward};

use super::attempt::TOO_LONG;
use super::exchange::Exchange;
use crate::pages::Page;
use crate::table::{Counted, LiveRoute};

/// The file that an app has for this, at the top of one of its static folders.
const OWN_PAGE: &str = "503.html";
/// Longest page of an app's own.
const LONGEST: u64 = 256 * 1024;

impl Exchange<'_> {
    /// Lets a request go on to its app, unless it is more than the app takes.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) async fn ensure_within(&mut self, route: &Arc<LiveRoute>) -> Result<(), Page> {
        let limits = route.limits();
        self.client.activity.patience.begin(limits);
        if limits.head_bytes.is_some_and(|most| self.head.length() as u64 > most) {
            let why = "the request's head is longer than this app takes".to_owned();
            return Err(Page::BadRequest(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why));
        }
        if let Some(most) = limits.body_bytes {
            if matches!(self.head.framing, Framing::Length(length) if length > most) {
                return Err(Page::BadRequest(StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG.to_owned()));
            }
            self.upload.limit(most);
        }
        if !self.client.place.belongs_to(route.account(), limits.connections) {
            return Err(with_own(route, Page::Crowded { app: route.app().to_string() }).await);
        }
        if let Some(most) = limits.requests {
            self.permit = route.account().enter(Counted::Requests, most);
            if self.permit.is_none() {
                return Err(with_own(route, Page::Overloaded { app: route.app().to_string() }).await);
            }
        }
        Ok(())
    }

    /// Lets a request go on to its app, unless that is paused.
    ///
    /// # Errors
    /// It is, and this client is not let through: what it is told.
    pub(super) async fn ensure_open(&self, route: &Arc<LiveRoute>) -> Result<(), Page> {
        let Some(pause) = route.pause() else { return Ok(()) };
        // A certificate runs out however long a pause is.
        let is_challenge = forward::path_of(&self.head).is_ok_and(|path| path.starts_with(CHALLENGE_PATH));
        let client = self.client.address.parse::<IpAddr>();
        if is_challenge || client.is_ok_and(|client| pause.lets_through(client)) {
            return Ok(());
        }
        Err(with_own(route, Page::Paused { app: route.app().to_string() }).await)
    }
}

/// A page of ours, or the app's own in its place.
pub(super) async fn with_own(route: &LiveRoute, page: Page) -> Page {
    // Seldom shown, and no reason for each request to have room for it.
    match Box::pin(own_page(route)).await {
        Some(html) => Page::Own { page: Box::new(page), html },
        None => page,
    }
}

async fn own_page(route: &LiveRoute) -> Option<Bytes> {
    for folder in route.folders() {
        let path = format!("{}{OWN_PAGE}", folder.prefix);
        let (parts, ()) = Request::get(path).body(()).ok()?.into_parts();
        let Some(found) = tandem_static::answer(folder, &parts).await else { continue };
        if found.status() == StatusCode::OK {
            return read(found.into_body()).await;
        }
    }
    None
}

async fn read(mut body: tandem_static::FileBody) -> Option<Bytes> {
    if body.left() > LONGEST {
        return None;
    }
    let mut html = Vec::new();
    while let Some(piece) = std::future::poll_fn(|context| body.poll_frame(context)).await {
        html.extend_from_slice(&piece.ok()?);
    }
    Some(html.into())
}
