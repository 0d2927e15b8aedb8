//! Who may ask what, and as whom the journal knows them.

use http::{Method, StatusCode};
use tandem_kit::api::Error;
use tandem_types::api::{AppSummary, CreateApp, CreateToken, TokenCreated};
use tandem_types::document::JournalEntry;

use super::harness::{Api, problem, request};
use futures_util::TryStreamExt;

async fn token(api: &Api) -> String {
    let asked = CreateToken { name: "ci".to_owned() };
    let created: TokenCreated = api.client.post("/v1/tokens", &asked).await.expect("a token");
    created.token
}

#[tokio::test]
async fn over_tcp_nothing_is_answered_without_a_token_not_even_that_a_path_is_unknown() {
    let api = Api::start().await;
    for path in ["/v1/status", "/v1/apps", "/nowhere", "/"] {
        let answer = api.raw(request(Method::GET, path, None)).await;
        let problem = problem(&answer, StatusCode::UNAUTHORIZED);
        assert!(problem.hint.contains("tandem token create"), "{}", problem.hint);
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    api.finish().await;
}

#[tokio::test]
async fn a_token_opens_the_api_until_it_is_revoked() {
    let api = Api::start().await;
    let token = token(&api).await;
    let answer = api.raw(request(Method::GET, "/v1/status", Some(&token))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for wrong in ["", "tandem_", &token[..token.len() - 1], &format!("{token}0")] {
        let answer = api.raw(request(Method::GET, "/v1/status", Some(wrong))).await;
        problem(&answer, StatusCode::UNAUTHORIZED);
    }
    let () = api.client.delete("/v1/tokens/ci").await.expect("revoked");
    let answer = api.raw(request(Method::GET, "/v1/status", Some(&token))).await;
    problem(&answer, StatusCode::UNAUTHORIZED);
    api.finish().await;
}

#[tokio::test]
async fn the_journal_names_the_user_of_the_socket_and_the_token() {
    let api = Api::start().await;
    let token = token(&api).await;
    let remote = api.with_token(&token);
    let asked = CreateApp { name: "shop".parse().expect("a name") };
    let created: AppSummary = remote.post("/v1/apps", &asked).await.expect("an app");
    assert_eq!(created.name, asked.name);
    let entries: Vec<JournalEntry> = remote.lines("/v1/journal").try_collect().await.expect("the journal");
    let actor = |action: &str| {
        let entry = entries.iter().find(|entry| entry.cause.action == action);
        entry.unwrap_or_else(|| panic!("no {action} in {entries:?}")).cause.actor.clone()
    };
    assert_eq!(actor("app.create"), "token:ci");
    assert!(actor("token.create").starts_with("unix:"), "{}", actor("token.create"));
    api.finish().await;
}

#[tokio::test]
async fn a_token_in_the_place_of_anything_else_is_no_credential() {
    let api = Api::start().await;
    let token = token(&api).await;
    let path = format!("/v1/status?token={token}");
    problem(&api.raw(request(Method::GET, &path, None)).await, StatusCode::UNAUTHORIZED);
    let refused: Result<AppSummary, Error> = api.with_token("wrong").get("/v1/apps").await;
    assert!(matches!(refused, Err(Error::Problem(problem)) if problem.code == "token_needed"));
    api.finish().await;
}
