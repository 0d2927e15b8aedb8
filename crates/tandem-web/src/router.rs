//! Every path of the API and the handler that answers for it; the table in `tandem_types::api` has the bodies.

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};

use crate::routes::{
    apps, authority, balancers, blobs, config, down, hosts, journal, keys, logs, pauses, ps, releases,
    rollouts, sessions, status, tokens, top, volumes, watch,
};
use crate::site::Site;
use crate::switchboard::Switchboard;
use crate::{caller, problem};

/// Longest JSON body in bytes: an observation of hundreds of instances with log tails stays well below.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// The API. [`crate::serve()`] tells it who is at the other end; without a [`crate::Peer`] a request counts as TCP.
pub fn router(site: Site) -> Router {
    let environment = Router::new()
        .route("/rollouts", get(rollouts::list).post(rollouts::start))
        .route("/rollouts/{rollout}", get(rollouts::show))
        .route("/rollouts/{rollout}/events", get(rollouts::events))
        .route("/rollouts/{rollout}/abort", post(rollouts::abort))
        .route("/releases", get(releases::list))
        .route("/releases/{release}", get(releases::show))
        .route("/pause", post(pauses::pause))
        .route("/resume", post(pauses::resume))
        .route("/ps", get(ps::list))
        .route("/logs", get(logs::read))
        .route("/run", post(sessions::run))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{session}", get(sessions::show).delete(sessions::end))
        .route("/sessions/{session}/attach", get(sessions::attach))
        .route("/volumes/{volume}/export", post(volumes::export))
        .route("/volumes/{volume}/swap", post(volumes::swap))
        .route("/config", get(config::list).patch(config::change));
    let streams = Router::new()
        .route("/v1/blobs", post(blobs::receive))
        .route("/v1/apps/{app}/envs/{environment}/volumes/{volume}/import", post(volumes::import))
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/v1/status", get(status::show))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/journal", get(journal::read))
        .route("/v1/blobs/missing", post(blobs::missing))
        .route("/v1/blobs/fetch", post(blobs::fetch))
        .route("/v1/apps", get(apps::list).post(apps::create))
        .route("/v1/apps/{app}", get(apps::show).delete(apps::destroy))
        .route("/v1/apps/{app}/destroy", get(apps::destroy_progress))
        .route("/v1/apps/{app}/key", get(keys::show).post(keys::create).delete(keys::remove))
        .nest("/v1/apps/{app}/envs/{environment}", environment)
        .route("/v1/hosts/{host}/observed", put(hosts::observe))
        .route("/v1/hosts/{host}/config/{app}/{environment}/{release}", get(hosts::config))
        .route("/v1/hosts/{host}/sessions/{session}", post(sessions::offer))
        .route("/v1/balancers/{balancer}", put(balancers::report).delete(balancers::forget))
        .route("/v1/balancers/{balancer}/traffic", put(balancers::traffic))
        .route("/v1/balancers/{balancer}/certificates", get(balancers::certificates))
        .route("/v1/authority", get(authority::show))
        .route("/v1/top", get(top::read))
        .route("/v1/slow", get(top::slow))
        .route("/v1/git-hosts", get(keys::hosts))
        .route("/v1/git-hosts/{host}", delete(keys::forget_host))
        .route("/v1/volumes", get(volumes::list))
        .route("/v1/down", post(down::down))
        .route("/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/tokens/{name}", delete(tokens::revoke))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .merge(streams)
        .layer(Extension(<Switchboard>::default()))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn_with_state(site.clone(), caller::identify))
        .with_state(site)
}
