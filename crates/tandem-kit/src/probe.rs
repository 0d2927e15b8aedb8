//! One question to a web instance: do you answer, and well?
//!
//! Asked by whoever lets instances take requests, in the same words: as a browser behind the balancer would, with the app's own
//! host name and plain HTTP. The connection is not kept, so that an app that closes idle ones is never blamed for it. How it is
//! made is the asker's own; counting answers is in the rules.

use std::io;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tandem_types::{Health, Span};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

mod failure;
mod page;

pub use failure::Failure;
use page::Page;

/// Most of an answer that is read, so that the app can finish it in peace and a page can be told from its beginning.
const MOST_READ: usize = 256 * 1024;
/// Redirects that are followed to a page. More of them are a loop, or a login that wants cookies.
const MOST_REDIRECTS: usize = 3;

/// What is asked, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// `Host` header, where `health` names none.
    pub host: String,
    /// What to ask for, and which answers are good.
    pub health: Health,
    /// Whether the answer lets it take requests for the first time.
    pub purpose: Purpose,
}

/// What an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// May it take requests? A redirect to https must lead somewhere, and no redirect of its own to an error: an app of which
    /// every page fails may still send everybody to its login.
    Gate,
    /// Is it still well? Who redirects lives, and is not asked twice each second.
    Watch,
}

impl Question {
    fn host(&self) -> &str {
        self.health.host.as_deref().unwrap_or(&self.host)
    }
}

/// Asks once. A redirect to https at the same host is followed once, with the header by which proxies say that they were
/// asked by https (RFC 7239 has another that few apps read). At the gate other redirects at the same host are followed as well,
/// and only an error of the server there is a failure. `limit` is for all of it.
///
/// # Errors
/// See [`Failure`].
pub async fn ask<S, C>(question: &Question, connect: impl Fn() -> C, limit: Span) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Future<Output = io::Result<S>>,
{
    let end = Instant::now() + limit.as_duration();
    let Health { path, https, .. } = &question.health;
    let first = once(question, (path, *https), &connect, (limit, end)).await?;
    let follow = question.purpose == Purpose::Gate || !first.is_good(question);
    let (answer, path, https) = match first.https_path(question).filter(|_| follow && !https) {
        None => (first, path.clone(), *https),
        Some(to) => {
            let second = once(question, (&to, true), &connect, (limit, end)).await?;
            if second.https_path(question).as_ref() == Some(&to) {
                return Err(Failure::HttpsForEver { path: to, host: question.host().to_owned() });
            }
            (second, to, true)
        }
    };
    let mut next = answer.redirect(question, https);
    answer.judged(question, &path)?;
    for _ in 0..MOST_REDIRECTS {
        let Some((path, https)) = next.filter(|_| question.purpose == Purpose::Gate) else { break };
        let answer = once(question, (&path, https), &connect, (limit, end)).await?;
        next = answer.redirect(question, https);
        if answer.status.is_server_error() {
            return Err(answer.refused(question, &path));
        }
    }
    Ok(())
}

/// What came back.
struct Answer {
    status: StatusCode,
    location: Option<String>,
    page: Page,
}

impl Answer {
    fn is_good(&self, question: &Question) -> bool {
        question.health.statuses.contains(self.status.as_u16())
    }

    fn judged(self, question: &Question, path: &str) -> Result<(), Failure> {
        if self.is_good(question) { Ok(()) } else { Err(self.refused(question, path)) }
    }

    fn refused(self, question: &Question, path: &str) -> Failure {
        let (path, host) = (path.to_owned(), question.host().to_owned());
        Failure::Status { path, host, status: self.status, page: self.page }
    }

    /// Where a redirect to the very host that was asked for leads, and whether by https; `https`: how it was asked.
    fn redirect(&self, question: &Question, https: bool) -> Option<(String, bool)> {
        let uri: Uri = self.location.as_ref().filter(|_| self.status.is_redirection())?.parse().ok()?;
        let path = uri.path_and_query()?.as_str().to_owned();
        match uri.host() {
            None => path.starts_with('/').then_some((path, https)),
            Some(host) => {
                let is_same = host.eq_ignore_ascii_case(failure::without_port(question.host()));
                is_same.then(|| (path, uri.scheme_str() == Some("https")))
            }
        }
    }

    /// The path of a redirect to https at the very host that was asked for, whatever its port.
    fn https_path(&self, question: &Question) -> Option<String> {
        let uri: Uri = self.location.as_ref().filter(|_| self.status.is_redirection())?.parse().ok()?;
        let is_same = uri.host()?.eq_ignore_ascii_case(failure::without_port(question.host()));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        (uri.scheme_str() == Some("https") && is_same).then(|| path.to_owned())
    }
}

async fn once<S, C>(
    question: &Question,
    (path, https): (&str, bool),
    connect: &impl Fn() -> C,
    (limit, end): (Span, Instant),
) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Future<Output = io::Result<S>>,
{
    let late = |_| Failure::Timeout { path: path.to_owned(), limit };
    let broken = |error: &(dyn std::error::Error + 'static)| Failure::broken(path, error);
    let request = request(question, path, https).map_err(|error| broken(&error))?;
    let stream = timeout_at(end, connect()).await.map_err(late)?.map_err(Failure::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answered = async {
        let answer = timeout_at(end, sender.send_request(request)).await.map_err(late)?;
        Ok(read(answer.map_err(|error| broken(&error))?, end).await)
    };
    match select(std::pin::pin!(answered), std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection may end by itself; the answer has been handed over by then.
        Either::Right((_, answered)) => answered.await,
    }
}

fn request(question: &Question, path: &str, https: bool) -> Result<Request<Empty<Bytes>>, http::Error> {
    Request::get(path)
        .header(HOST, HeaderValue::from_str(question.host())?)
        .header(CONNECTION, HeaderValue::from_static("close"))
        .header(USER_AGENT, HeaderValue::from_static(concat!("tandem-probe/", env!("CARGO_PKG_VERSION"))))
        .header("x-forwarded-proto", HeaderValue::from_static(if https { "https" } else { "http" }))
        .body(Empty::new())
}

/// A status is what was asked for: a body that is too long, too slow or breaks off changes nothing.
async fn read(answer: Response<Incoming>, end: Instant) -> Answer {
    let (head, mut body) = answer.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_html = text(CONTENT_TYPE).is_some_and(|kind| kind.contains("html"));
    let mut bytes = Vec::new();
    while bytes.len() < MOST_READ
        && let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await
    {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
    }
    Answer { status: head.status, location: text(LOCATION), page: Page::read(&bytes, is_html) }
}

#[cfg(test)]
mod tests;
