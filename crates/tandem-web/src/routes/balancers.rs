//! `/v1/balancers/B`: what a balancer reports of itself and of requests, the certificates it shows, and forgetting one that is gone for good.

use axum::Json as Body;
use axum::extract::{Extension, State};
use http::StatusCode;
use tandem_types::BalancerId;
use tandem_types::https::ServedCertificates;
use tandem_types::routing::BalancerStatus;
use tandem_types::traffic::TrafficReport;

use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn report(
    State(site): State<Site>,
    Path(balancer): Path<BalancerId>,
    Json(status): Json<BalancerStatus>,
) -> Answer<StatusCode> {
    site.control.record_balancer_status(&balancer, status).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn traffic(
    State(site): State<Site>,
    Path(balancer): Path<BalancerId>,
    Json(report): Json<TrafficReport>,
) -> Answer<StatusCode> {
    site.control.record_traffic(&balancer, report)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn certificates(
    State(site): State<Site>,
    Path(balancer): Path<BalancerId>,
) -> Answer<Body<ServedCertificates>> {
    Ok(Body(site.control.served_certificates(&balancer).await?))
}

pub(crate) async fn forget(
    State(site): State<Site>,
    Extension(Caller(actor)): Extension<Caller>,
    Path(balancer): Path<BalancerId>,
) -> Answer<StatusCode> {
    site.control.forget_balancer(&actor, &balancer).await?;
    Ok(StatusCode::NO_CONTENT)
}
