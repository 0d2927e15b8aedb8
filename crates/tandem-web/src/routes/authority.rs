//! `/v1/authority`: the installation's own authority, for who wants to trust it.

use axum::Json as Body;
use axum::extract::State;
use tandem_types::https::AuthorityCertificate;

use crate::problem::Answer;
use crate::site::Site;

pub(crate) async fn show(State(site): State<Site>) -> Answer<Body<AuthorityCertificate>> {
    Ok(Body(site.control.authority()?))
}
