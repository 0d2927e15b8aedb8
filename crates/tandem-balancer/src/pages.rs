//! What people see when there is no answer to pass on: small pages that say what is wrong and whom to tell what.
//!
//! HTML for browsers, problem+json for programs that ask for JSON, else plain text; always with the request's id.
//! Nothing here comes from an app, and what comes from the client is escaped.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use tandem_types::domain;
use tandem_wire::Version;
use tandem_wire::forward::{Delivery, RequestId, write_own};

/// Seconds after which it is worth asking again when an app has no running instance: a restart takes about as long.
const RETRY_SECONDS: u16 = 2;
/// The same where people have paused it: they take as long as they take.
const RETRY_PAUSED_SECONDS: u16 = 60;
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:36rem;padding:0 1rem;\
color:#222;background:#fff}h1{font-size:1.4rem}small{color:#666}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}small{color:#999}}";

/// Why the balancer answers by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// No app has the domain; the host that was asked for.
    UnknownHost(String),
    /// The domain has apps, but none under this path.
    UnknownPath,
    /// No server has said yet what is to be served.
    NoTable,
    /// No instance of the app can be reached.
    NoInstance {
        /// The app's name.
        app: String,
    },
    /// The app is paused.
    Paused {
        /// The app's name.
        app: String,
    },
    /// As many requests of the app are under way as may be.
    Overloaded {
        /// The app's name.
        app: String,
    },
    /// As many connections of its clients are open as may be.
    Crowded {
        /// The app's name.
        app: String,
    },
    /// A page, with the app's own for browsers.
    Own {
        /// What it stands for.
        page: Box<Page>,
        /// The app's own.
        html: Bytes,
    },
    /// Another process serves the app from now on.
    Leaving {
        /// The app's name.
        app: String,
    },
    /// The instance broke off or answered nonsense.
    BadGateway,
    /// The instance did not begin to answer in time.
    GatewayTimeout,
    /// The request cannot be understood or passed on; why.
    BadRequest(StatusCode, String),
}

/// A page in words.
struct Words {
    status: StatusCode,
    code: &'static str,
    title: String,
    detail: String,
}

impl Page {
    /// The answer, in the form that the request's `Accept` asks for.
    pub(crate) fn answer(&self, accept: Option<&[u8]>, id: &str) -> Response<Bytes> {
        let words = self.words();
        let form = Form::wanted(accept);
        let (kind, body) = match form {
            Form::Html => ("text/html; charset=utf-8", self.html(&words, id)),
            Form::Json => ("application/problem+json", json(&words, id).into()),
            Form::Text => ("text/plain; charset=utf-8", text(&words, id).into()),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = words.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if form == Form::Html && !matches!(self, Self::Own { .. }) {
            let policy = "default-src 'none'; style-src 'unsafe-inline'";
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        answer
    }

    fn html(&self, words: &Words, id: &str) -> Bytes {
        match self {
            Self::Own { html, .. } => html.clone(),
            _ => html(words, id).into(),
        }
    }

    /// Whether the connection is closed behind it: one too many, or where the request ends is in doubt, and what follows must not
    /// be taken for the next one.
    pub(crate) fn closes(&self) -> bool {
        match self {
            Self::BadRequest(..) | Self::Crowded { .. } => true,
            Self::Own { page, .. } => page.closes(),
            _ => false,
        }
    }

    /// Seconds after which it is worth asking again.
    fn retry_after(&self) -> Option<u16> {
        match self {
            Self::NoInstance { .. }
            | Self::NoTable
            | Self::Overloaded { .. }
            | Self::Crowded { .. }
            | Self::Leaving { .. } => Some(RETRY_SECONDS),
            Self::Paused { .. } => Some(RETRY_PAUSED_SECONDS),
            Self::Own { page, .. } => page.retry_after(),
            _ => None,
        }
    }

    /// The whole answer as plain text, after which the connection is closed: for who cannot be understood.
    pub(crate) fn bytes(&self, id: &RequestId, date: &str) -> Vec<u8> {
        let (parts, body) = self.answer(None, id.as_str()).into_parts();
        let mut bytes = Vec::new();
        let delivery =
            Delivery { id: Some(id.as_str()), version: Version::Http11, keeps: false, date, hsts: None };
        write_own(&mut bytes, (parts.status, &parts.headers), Some(body.len() as u64), &delivery);
        bytes.extend_from_slice(&body);
        bytes
    }

    fn words(&self) -> Words {
        let words = |status, code, title: &str, detail: String| Words {
            status,
            code,
            title: title.to_owned(),
            detail,
        };
        match self {
            Self::UnknownHost(host) => unknown_host(host),
            Self::UnknownPath => words(
                StatusCode::NOT_FOUND,
                "path_not_found",
                "Nothing here",
                "This domain is served here, but no app answers under this path.".to_owned(),
            ),
            Self::NoTable => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_table",
                "Not ready yet",
                "This balancer has just started and waits to be told which apps there are. Please try again in a moment."
                    .to_owned(),
            ),
            Self::NoInstance { app } => {
                let detail = "No running instance of it can be reached. Please try again in a moment.";
                unavailable(app, ("no_instance", "The app is not running", detail))
            }
            Self::Paused { app } => {
                unavailable(app, ("paused", "Closed for maintenance", "Please try again in a while."))
            }
            Self::Overloaded { app } => {
                unavailable(app, ("overloaded", "Too many requests at once", "Please try again in a moment."))
            }
            Self::Crowded { app } => {
                let advice = "Please try again in a moment.";
                unavailable(app, ("crowded", "Too many visitors at once", advice))
            }
            Self::Leaving { app } => {
                let detail = "It took long, and this balancer is being replaced. Please try again.";
                unavailable(app, ("leaving", "The answer did not come in time", detail))
            }
            Self::Own { page, .. } => page.words(),
            Self::BadGateway => words(
                StatusCode::BAD_GATEWAY,
                "bad_gateway",
                "The app broke off",
                "The app ended the connection without a proper answer. Whether it did what was asked is not known."
                    .to_owned(),
            ),
            Self::GatewayTimeout => words(
                StatusCode::GATEWAY_TIMEOUT,
                "gateway_timeout",
                "The app takes too long",
                "The app did not begin to answer in time. Whether it did what was asked is not known.".to_owned(),
            ),
            Self::BadRequest(status, why) => {
                words(*status, code_of(*status), "The request cannot be passed on", format!("Reason: {why}."))
            }
        }
    }
}

/// The app takes no requests now.
fn unavailable(app: &str, (code, title, advice): (&'static str, &str, &str)) -> Words {
    let detail = format!("The app \u{201c}{app}\u{201d} cannot be asked now. {advice}");
    Words { status: StatusCode::SERVICE_UNAVAILABLE, code, title: title.to_owned(), detail }
}

/// What a refusal with this status is called.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::REQUEST_TIMEOUT => "request_timeout",
        StatusCode::PAYLOAD_TOO_LARGE => "body_too_long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "head_too_long",
        _ => "bad_request",
    }
}

fn unknown_host(host: &str) -> Words {
    let shown: String = host.chars().take(domain::LONGEST).collect();
    let detail = if shown.is_empty() {
        "The request did not say which domain it is for.".to_owned()
    } else {
        format!("The domain \u{201c}{shown}\u{201d} points to this server, but no app here is set up for it.")
    };
    let title = "No app for this domain".to_owned();
    Words { status: StatusCode::NOT_FOUND, code: "unknown_host", title, detail }
}

/// In which form an answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// The first of HTML and JSON that is named; weights are not looked at, since no client sends both in earnest.
    fn wanted(accept: Option<&[u8]>) -> Self {
        let accepted = accept.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        for kind in accepted.split(',') {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml") {
                return Self::Html;
            }
            if kind.eq_ignore_ascii_case("application/json")
                || kind.eq_ignore_ascii_case("application/problem+json")
            {
                return Self::Json;
            }
        }
        Self::Text
    }
}

fn html(words: &Words, id: &str) -> String {
    let (status, title, detail) = (words.status.as_u16(), escape(&words.title), escape(&words.detail));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
<body><h1>{title}</h1><p>{detail}</p><p><small>Status {status} · request {}</small></p></body></html>\n",
        escape(id)
    )
}

fn json(words: &Words, id: &str) -> String {
    let value = serde_json::json!({
        "code": words.code,
        "status": words.status.as_u16(),
        "title": words.title,
        "detail": words.detail,
        "request_id": id,
    });
    value.to_string()
}

fn text(words: &Words, id: &str) -> String {
    format!("{}\n\n{}\n\nstatus: {}\nrequest: {id}\n", words.title, words.detail, words.status.as_u16())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(page: &Page, accept: &str) -> (StatusCode, String, String) {
        let accept = HeaderValue::from_str(accept).unwrap();
        let answer = page.answer(Some(accept.as_bytes()), "id-1");
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (answer.status(), kind, String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    #[test]
    fn the_page_for_an_unknown_host_names_it_without_letting_it_write_html() {
        let page = Page::UnknownHost("<b>shop.example".to_owned());
        let (status, kind, body) = answer(&page, "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, "text/html; charset=utf-8"));
        assert!(body.contains("&lt;b&gt;shop.example") && body.contains("id-1") && !body.contains("<b>"));
    }

    #[test]
    fn programs_get_a_problem_and_others_plain_text() {
        let page = Page::NoInstance { app: "shop".to_owned() };
        let (status, kind, body) = answer(&page, "application/json");
        assert_eq!((status.as_u16(), kind.as_str()), (503, "application/problem+json"));
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&value["code"], &value["request_id"]), (&"no_instance".into(), &"id-1".into()));
        let (_, kind, body) = answer(&page, "*/*");
        assert!(kind.starts_with("text/plain") && body.contains("\u{201c}shop\u{201d}"));
    }

    #[test]
    fn an_app_without_instances_says_when_to_ask_again() {
        let retry = |page: Page| page.answer(None, "id").headers().contains_key(RETRY_AFTER);
        assert!(retry(Page::NoInstance { app: "shop".to_owned() }));
        assert!(!retry(Page::BadGateway));
    }
}
