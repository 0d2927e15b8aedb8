//! What people see when there is no answer to pass on: small pages that say what is wrong and whom to tell what.
//!
//! HTML for browsers, problem+json for programs that ask for JSON, else plain text; always with the request's id.
//! Nothing here comes from an app, and what comes from the client is escaped.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// Seconds after which it is worth asking again when an app has no running instance: a restart takes about as long.
const RETRY_SECONDS: u16 = 2;
/// Longest host name repeated to the client.
const LONGEST_HOST: usize = 253;
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
    pub(crate) fn answer(&self, accept: Option<&HeaderValue>, id: &HeaderValue) -> Response<Bytes> {
        let words = self.words();
        let id = id.to_str().unwrap_or("unknown");
        let (kind, body) = match Form::wanted(accept) {
            Form::Html => ("text/html; charset=utf-8", html(&words, id)),
            Form::Json => ("application/problem+json", json(&words, id)),
            Form::Text => ("text/plain; charset=utf-8", text(&words, id)),
        };
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = words.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::NoInstance { .. } | Self::NoTable) {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        if kind.starts_with("text/html") {
            let policy = "default-src 'none'; style-src 'unsafe-inline'";
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        answer
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
            Self::NoInstance { app } => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_instance",
                "The app is not running",
                format!("No running instance of \u{201c}{app}\u{201d} can be reached. Please try again in a moment."),
            ),
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
                words(*status, "bad_request", "The request cannot be passed on", format!("Reason: {why}."))
            }
        }
    }
}

fn unknown_host(host: &str) -> Words {
    let shown: String = host.chars().take(LONGEST_HOST).collect();
    let detail = if shown.is_empty() {
        "The request did not say which domain it is for.".to_owned()
    } else {
        format!("The domain \u{201c}{shown}\u{201d} points to this server, but no app here is set up for it.")
    };
    let title = "No app for this domain".to_owned();
    Words { status: StatusCode::NOT_FOUND, code: "unknown_host", title, detail }
}

/// In which form an answer is wanted.
#[derive(Clone, Copy)]
enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// The first of HTML and JSON that is named; weights are not looked at, since no client sends both in earnest.
    fn wanted(accept: Option<&HeaderValue>) -> Self {
        let accepted = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
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
        let answer = page.answer(Some(&accept), &HeaderValue::from_static("id-1"));
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
        let id = HeaderValue::from_static("id");
        let retry = |page: Page| page.answer(None, &id).headers().contains_key(RETRY_AFTER);
        assert!(retry(Page::NoInstance { app: "shop".to_owned() }));
        assert!(!retry(Page::BadGateway));
    }
}
