//! One request: find its route, then a file, an instance, or a page that says why not.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{ACCEPT, CONNECTION, EXPECT, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use super::{Activity, ResponseBody, tunnel};
use crate::forward::{self, Framing, Origin, RequestError};
use crate::pages::Page;
use crate::static_files;
use crate::table::{Found, LiveRoute};
use crate::thread::Thread;
use crate::upstream::{self, Answer, Failure, Outgoing, Progress};

/// How often a request that reached nobody looks again whether the table has changed in the meantime.
const MOST_ROUTES: usize = 3;

/// The client at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    thread: Rc<Thread>,
    activity: Arc<Activity>,
    address: HeaderValue,
}

/// A request that is to go to an instance.
struct Asked {
    route: Arc<LiveRoute>,
    host: HeaderValue,
    upgrade: Option<OnUpgrade>,
}

impl Client {
    /// A client whose connection has been accepted.
    pub(crate) fn new(thread: Rc<Thread>, activity: Arc<Activity>, address: IpAddr) -> Self {
        Self { thread, activity, address: Origin::address_value(address) }
    }

    /// Answers a request, whatever becomes of it.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        self.activity.request_began();
        let accept = request.headers().get(ACCEPT).cloned();
        let id = forward::request_id(request.headers(), || self.thread.random());
        let (parts, incoming) = request.into_parts();
        let progress = self.progress(&parts, incoming);
        let mut answer = match self.pass_on(parts, progress.clone(), &id).await {
            Ok(answer) => answer,
            Err(page) => {
                if let Some(progress) = progress {
                    progress.discard_rest();
                }
                let ends = matches!(page, Page::BadRequest(..));
                let page = page.answer(accept.as_ref(), &id);
                let mut page = page.map(|bytes| ResponseBody::bytes(bytes, &self.activity));
                if ends {
                    // Where a doubtful request ends is in doubt too: what follows is not taken for the next one.
                    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                forward::stamp(page.headers_mut(), &id);
                page
            }
        };
        if self.thread.shared.is_leaving() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Another process accepts now. The client comes back to that one, and nothing that it sends is lost: a
            // connection that is closed while it waits for a request may meet one that is on its way.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.thread.shared.count_request(self.thread.number());
        answer
    }

    /// The request's body, if it has one.
    fn progress(&self, parts: &Parts, incoming: Incoming) -> Option<Rc<Progress>> {
        let expects = parts.headers.contains_key(EXPECT);
        (!incoming.is_end_stream()).then(|| Progress::new(&self.thread, &self.activity, (incoming, expects)))
    }

    async fn pass_on(
        &self,
        mut parts: Parts,
        progress: Option<Rc<Progress>>,
        id: &HeaderValue,
    ) -> Result<Response<ResponseBody>, Page> {
        let framing = forward::check_request(&parts).map_err(refused)?;
        let host = forward::host_of(&parts)
            .map_err(|error| Page::BadRequest(StatusCode::BAD_REQUEST, error.to_string()))?;
        let (route, folder) = self.find(&host, parts.uri.path())?;
        if let Some(folder) = folder.filter(|_| matches!(parts.method, Method::GET | Method::HEAD))
            && let Some(file) = static_files::answer(route.folder(folder), &parts).await
        {
            let mut file = file.map(|file| ResponseBody::file(file, &self.activity));
            forward::stamp(file.headers_mut(), id);
            return Ok(file);
        }
        let upgrade = prepare(&mut parts, framing, &self.origin(&host, id));
        let asked = Asked { route, host, upgrade };
        self.ask(asked, Box::new(Outgoing { parts, progress }), id).await
    }

    fn origin(&self, host: &HeaderValue, id: &HeaderValue) -> Origin {
        Origin { address: self.address.clone(), scheme: "http", host: host.clone(), id: id.clone() }
    }

    fn find(&self, host: &HeaderValue, path: &str) -> Result<(Arc<LiveRoute>, Option<usize>), Page> {
        match self.thread.shared.live().find(host, path) {
            Found::Route(route, folder) => Ok((route, folder)),
            Found::UnknownPath => Err(Page::UnknownPath),
            Found::NoTable => Err(Page::NoTable),
            Found::UnknownDomain => Err(Page::UnknownHost(host.to_str().unwrap_or_default().to_owned())),
        }
    }

    async fn ask(
        &self,
        asked: Asked,
        mut outgoing: Box<Outgoing>,
        id: &HeaderValue,
    ) -> Result<Response<ResponseBody>, Page> {
        let mut route = asked.route;
        for _ in 0..MOST_ROUTES {
            match upstream::send(&self.thread, &route, &self.activity, outgoing).await {
                Ok(answer) => return self.deliver(answer, asked.upgrade, id),
                Err(Failure::Broken) => return Err(Page::BadGateway),
                Err(Failure::Late) => return Err(Page::GatewayTimeout),
                Err(Failure::BadBody) => {
                    let reason = "the request's body is malformed or broke off".to_owned();
                    return Err(Page::BadRequest(StatusCode::BAD_REQUEST, reason));
                }
                Err(Failure::Unreached(unsent)) => {
                    let (now, _) = self.find(&asked.host, unsent.parts.uri.path())?;
                    if Arc::ptr_eq(&now, &route) {
                        break;
                    }
                    (route, outgoing) = (now, unsent);
                }
            }
        }
        Err(Page::NoInstance { app: route.app().to_string() })
    }

    fn deliver(
        &self,
        answer: Answer,
        upgrade: Option<OnUpgrade>,
        id: &HeaderValue,
    ) -> Result<Response<ResponseBody>, Page> {
        if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(upgrade) = upgrade
        {
            return Ok(tunnel::switch(&self.thread, answer, (upgrade, &self.activity), id));
        }
        let length = answer.response.body().size_hint().exact();
        let (mut parts, body) = ResponseBody::instance(&self.thread, answer, &self.activity);
        match forward::prepare_response(&mut parts, id, length) {
            Ok(()) => Ok(Response::from_parts(parts, body)),
            Err(error) => {
                tracing::warn!("an answer cannot be passed on: {error}");
                Err(Page::BadGateway)
            }
        }
    }
}

fn refused(error: RequestError) -> Page {
    let status = match error {
        RequestError::Connect => StatusCode::METHOD_NOT_ALLOWED,
        RequestError::TransferCoding => StatusCode::NOT_IMPLEMENTED,
        RequestError::Target => StatusCode::BAD_REQUEST,
    };
    Page::BadRequest(status, error.to_string())
}

/// Applies the header rules; returns the client's side of an upgrade that is to be carried through.
fn prepare(parts: &mut Parts, framing: Framing, origin: &Origin) -> Option<OnUpgrade> {
    let protocol = forward::upgrade_wanted(parts);
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    forward::prepare_request(parts, framing, origin);
    let protocol = protocol?;
    parts.headers.insert(UPGRADE, protocol);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    upgrade
}
