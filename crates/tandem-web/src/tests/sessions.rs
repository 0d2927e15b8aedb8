//! Talking with one-off commands: who is refused, and with which words.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, Request, StatusCode};
use tandem_kit::http::Body;
use tandem_store::{Expect, Transaction};
use tandem_types::api::{CreateToken, TokenCreated};
use tandem_types::app::App;
use tandem_types::document::Cause;
use tandem_types::environment::Environment;
use tandem_types::frame::PROTOCOL;
use tandem_types::instance::{Exit, JobState};
use tandem_types::session::{Session, SessionSpec};
use tandem_types::{AppName, BuildNumber, EnvironmentName, JobId, ReleaseNumber, Timestamp, keys};

use super::harness::{Api, problem, request};

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn cause() -> Cause {
    Cause {
        actor: "unix:ana".to_owned(),
        action: "run.start".to_owned(),
        reason: String::new(),
        subject: "shop/production".to_owned(),
    }
}

/// An app of which one command waits for its runner and one has ended.
async fn with_sessions() -> (Api, String) {
    let app: AppName = "shop".parse().expect("a name");
    let environment = EnvironmentName::production();
    let session = |id: u64, state: JobState| Session {
        id: JobId(id),
        app: app.clone(),
        environment: environment.clone(),
        release: ReleaseNumber(1),
        build: BuildNumber(1),
        command: "sleep 1000".to_owned(),
        cause: cause(),
        spec: SessionSpec::default(),
        timeout: None,
        host: None,
        canceled: None,
        state,
        created: AT,
        started: None,
        finished: None,
    };
    let ended = JobState::Ended { exit: Exit { code: Some(3), signal: None, out_of_memory: false, at: AT } };
    let document = App { name: app.clone(), created: AT, next_build: BuildNumber(2), destroying: None };
    let key = |id: u64| keys::session(&app, &environment, JobId(id));
    let documents = Transaction::new(cause())
        .put(keys::app(&app), &document, Expect::Absent)
        .put(
            keys::environment(&app, &environment),
            &Environment::new(app.clone(), environment.clone(), 200_000, AT),
            Expect::Absent,
        )
        .put(key(1), &session(1, JobState::Waiting), Expect::Absent)
        .put(key(2), &session(2, ended), Expect::Absent);
    let api = Api::start_with(Some(documents)).await;
    let created: TokenCreated =
        api.client.post("/v1/tokens", &CreateToken { name: "ci".to_owned() }).await.expect("a token");
    (api, created.token)
}

fn talking(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    request
}

fn attach(id: u64, token: &str) -> Request<Body> {
    let path = format!("/v1/apps/shop/envs/production/sessions/j{id}/attach");
    request(Method::GET, &path, Some(token))
}

#[tokio::test]
async fn who_cannot_talk_with_a_command_is_told_why() {
    let (api, token) = with_sessions().await;
    let plain = problem(&api.raw(attach(1, &token)).await, StatusCode::UPGRADE_REQUIRED);
    assert_eq!((plain.code.as_str(), plain.hint.as_str()), ("upgrade_needed", "tandem attach"));
    let over = problem(&api.raw(talking(attach(2, &token))).await, StatusCode::GONE);
    assert_eq!((over.code.as_str(), over.title.as_str()), ("session_over", "j2 has ended: exit code 3"));
    assert_eq!(over.hint, "what it wrote is in `tandem logs --process run --app shop`");
    let unknown = problem(&api.raw(talking(attach(9, &token))).await, StatusCode::NOT_FOUND);
    assert_eq!(unknown.code, "session_not_found");
    let offer = request(Method::POST, "/v1/hosts/box/sessions/j1", Some(&token));
    let refused = problem(&api.raw(talking(offer)).await, StatusCode::NOT_FOUND);
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("session_not_assigned", "tandem sessions"));
    api.finish().await;
}

#[tokio::test]
async fn who_waits_in_vain_for_a_runner_is_told_where_to_look() {
    let (api, token) = with_sessions().await;
    let answer = api.raw(talking(attach(1, &token))).await;
    let told = problem(&answer, StatusCode::SERVICE_UNAVAILABLE);
    let words = (told.code.as_str(), told.title.as_str(), told.hint.as_str());
    assert_eq!(words, ("session_unreachable", "the host of j1 does not answer", "tandem status"));
    api.finish().await;
}
