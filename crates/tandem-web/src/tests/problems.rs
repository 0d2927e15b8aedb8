//! Every failure is a problem with a code, whoever found it.

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tandem_kit::api::Error;
use tandem_kit::http as bodies;
use tandem_types::api::{CreateApp, CreateToken, TokenCreated};
use tandem_types::problem::Problem;

use super::harness::{Api, problem, request};

async fn refusal(outcome: Result<Value, Error>) -> Problem {
    match outcome {
        Err(Error::Problem(problem)) => problem,
        other => panic!("not refused with a problem: {other:?}"),
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems() {
    let api = Api::start().await;
    let unknown = refusal(api.client.get("/v2/status").await).await;
    assert_eq!((unknown.status, unknown.code.as_str()), (404, "path_unknown"));
    let wrong = refusal(api.client.delete("/v1/status").await).await;
    assert_eq!((wrong.status, wrong.code.as_str()), (405, "method_unknown"));
    api.finish().await;
}

#[tokio::test]
async fn what_axum_refuses_by_itself_is_a_problem_too() {
    let api = Api::start().await;
    let malformed = refusal(api.client.post("/v1/apps", &json!({"name": "No Good"})).await).await;
    assert_eq!((malformed.status, malformed.code.as_str()), (422, "body_malformed"));
    assert!(malformed.detail.contains("lower-case letters"), "{}", malformed.detail);
    let path = refusal(api.client.get("/v1/apps/Wrong_Name").await).await;
    assert_eq!((path.status, path.code.as_str()), (404, "path_invalid"));
    let query = refusal(api.client.get("/v1/journal?after=x").await).await;
    assert_eq!((query.status, query.code.as_str()), (400, "query_invalid"));
    let watch = refusal(api.client.get("/v1/watch").await).await;
    assert_eq!((watch.status, watch.code.as_str()), (400, "query_invalid"));
    api.finish().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_of_another_type_is_refused() {
    let api = Api::start().await;
    let created: TokenCreated =
        api.client.post("/v1/tokens", &CreateToken { name: "ci".to_owned() }).await.expect("a token");
    let post = |kind: &str, body: Vec<u8>| {
        let mut request: Request<_> = request(Method::POST, "/v1/apps", Some(&created.token));
        request.headers_mut().insert("content-type", kind.parse().expect("a header"));
        *request.body_mut() = bodies::full(body);
        api.raw(request)
    };
    let plain = problem(&post("text/plain", b"{}".to_vec()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(plain.code, "body_not_json");
    let spaces = vec![b' '; 9 * 1024 * 1024];
    let long = problem(&post("application/json", spaces).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(long.code, "body_too_long");
    api.finish().await;
}

#[tokio::test]
async fn refusals_of_use_cases_keep_their_words() {
    let api = Api::start().await;
    let app = CreateApp { name: "shop".parse().expect("a name") };
    let _: Value = api.client.post("/v1/apps", &app).await.expect("created");
    let again = refusal(api.client.post("/v1/apps", &app).await).await;
    assert_eq!((again.status, again.code.as_str()), (409, "app_exists"));
    let near = refusal(api.client.get("/v1/apps/shpo").await).await;
    assert!(near.hint.contains("did you mean shop"), "{}", near.hint);
    let latest = refusal(api.client.get("/v1/apps/shop/envs/production/rollouts/latest").await).await;
    assert_eq!(latest.code, "rollout_not_found");
    let odd = refusal(api.client.get("/v1/apps/shop/envs/production/rollouts/first").await).await;
    assert_eq!((odd.status, odd.code.as_str()), (404, "path_invalid"));
    let logs = refusal(api.client.get("/v1/apps/shop/envs/production/logs").await).await;
    assert_eq!((logs.status, logs.code.as_str()), (503, "no_runner"));
    api.finish().await;
}

#[tokio::test]
async fn blobs_that_are_not_there_and_streams_that_are_none_are_refused() {
    let api = Api::start().await;
    let digest = "ab".repeat(32);
    let fetch = refusal(api.client.post("/v1/blobs/fetch", &json!({"digests": [digest]})).await).await;
    assert_eq!((fetch.status, fetch.code.as_str()), (404, "blob_missing"));
    let garbage = api.client.post_stream("/v1/blobs", bodies::full("no stream of blobs")).await;
    assert!(matches!(garbage, Err(Error::Problem(problem)) if problem.code == "blobs_malformed"));
    api.finish().await;
}
