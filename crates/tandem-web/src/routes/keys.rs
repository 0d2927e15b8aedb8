//! `/v1/apps/A/key` and `/v1/git-hosts`: with which keys sources are fetched, and whom they are fetched from.

use axum::Json as Body;
use axum::extract::{Extension, State};
use http::StatusCode;
use tandem_types::AppName;
use tandem_types::git::{GitHosts, PinnedHost, PublicKey};

use crate::caller::Caller;
use crate::extract::Path;
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn show(State(site): State<Site>, Path(app): Path<AppName>) -> Answer<Body<PublicKey>> {
    Ok(Body(site.control.deploy_key(&app)?))
}

pub(crate) async fn create(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(app): Path<AppName>,
) -> Answer<(StatusCode, Body<PublicKey>)> {
    Ok((StatusCode::CREATED, Body(site.control.create_deploy_key(&actor, &app).await?)))
}

pub(crate) async fn remove(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(app): Path<AppName>,
) -> Answer<Body<PublicKey>> {
    Ok(Body(site.control.remove_deploy_key(&actor, &app).await?))
}

pub(crate) async fn hosts(State(site): State<Site>) -> Body<GitHosts> {
    Body(site.control.git_hosts())
}

pub(crate) async fn forget_host(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(host): Path<String>,
) -> Answer<Body<PinnedHost>> {
    Ok(Body(site.control.forget_git_host(&actor, &host).await?))
}
