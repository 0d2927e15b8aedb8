//! `/v1/tokens`: access over TCP.

use axum::Json as Body;
use axum::extract::{Extension, State};
use http::StatusCode;
use tandem_types::api::{CreateToken, Token, TokenCreated};

use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn list(State(site): State<Site>) -> Body<Vec<Token>> {
    Body(site.control.tokens())
}

pub(crate) async fn create(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Json(asked): Json<CreateToken>,
) -> Answer<(StatusCode, Body<TokenCreated>)> {
    Ok((StatusCode::CREATED, Body(site.control.create_token(&actor, asked).await?)))
}

pub(crate) async fn revoke(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    site.control.revoke_token(&actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
