//! A website as somebody with a browser sees it, for scenarios that wait for each page.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, header};
use tokio::runtime::{Builder, Runtime};

use crate::connection::{Answer, Question, ask_once};

/// Time an answer may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A host name behind an address. Each question goes on a connection of its own.
#[derive(Debug)]
pub struct Site {
    address: SocketAddr,
    host: String,
    runtime: Runtime,
}

/// What a form of Django's wants back: the cookie and the hidden field.
#[derive(Debug, Clone)]
pub struct FormToken {
    cookie: String,
    field: String,
}

impl Site {
    /// The site `host` at `address`.
    ///
    /// # Panics
    ///
    /// Where the system has no descriptors left.
    #[must_use]
    pub fn new(address: SocketAddr, host: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("descriptors are free");
        Self { address, host: host.to_owned(), runtime }
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// No whole answer came.
    pub fn ask(&self, question: Question) -> anyhow::Result<Answer> {
        self.runtime.block_on(ask_once(self.address, &self.host, question, LIMIT))
    }

    /// A page.
    ///
    /// # Panics
    ///
    /// Where no whole answer came.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask(Question::get(path)).unwrap_or_else(|error| panic!("GET {path} of {}: {error:#}", self.host))
    }

    /// The text of a page that must be there.
    ///
    /// # Panics
    ///
    /// Where no whole answer came, or one with another status than 200.
    #[must_use]
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path} of {}: {}", self.host, answer.text());
        answer.text()
    }

    /// Opens the page with the form, to be allowed to send it.
    ///
    /// # Panics
    ///
    /// Where the page has no form token.
    #[must_use]
    pub fn form_token(&self) -> FormToken {
        let page = self.get("/");
        form_token(&page).unwrap_or_else(|| panic!("no form token on the page of {}", self.host))
    }

    /// Signs the guestbook.
    ///
    /// # Panics
    ///
    /// Where no whole answer came.
    #[must_use]
    pub fn sign(&self, token: &FormToken, name: &str, message: &str) -> Answer {
        self.ask(sign(token, name, message))
            .unwrap_or_else(|error| panic!("POST to {}: {error:#}", self.host))
    }
}

/// The form token on a page.
#[must_use]
pub fn form_token(page: &Answer) -> Option<FormToken> {
    let cookie = page.header("set-cookie").split(';').next()?.to_owned();
    let text = page.text();
    let field = text.split_once("csrfmiddlewaretoken\" value=\"")?.1.split_once('"')?.0.to_owned();
    (!cookie.is_empty()).then_some(FormToken { cookie, field })
}

/// The request that signs the guestbook; `name` and `message` in letters, digits and `+` for spaces.
#[must_use]
pub fn sign(token: &FormToken, name: &str, message: &str) -> Question {
    let FormToken { cookie, field } = token;
    let mut question = Question::get("/")
        .header(header::COOKIE, cookie)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    question.method = Method::POST;
    question.body = format!("csrfmiddlewaretoken={field}&name={name}&message={message}&website=").into();
    question
}
