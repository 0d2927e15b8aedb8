//! `GET /v1/watch`: documents as they change.

use axum::extract::State;
use axum::response::Response;
use tandem_types::Revision;
use tandem_types::document::Cursor;
use tandem_types::problem::Problem;

use crate::extract::Query;
use crate::lines;
use crate::problem::{Answer, Refusal};
use crate::site::Site;

/// Most prefixes in one watch; nobody needs more than a few.
const MOST_PREFIXES: usize = 16;

/// Names repeat in the query (`prefix`), so it is read as pairs.
pub(crate) async fn watch(
    State(site): State<Site>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer<Response> {
    let (prefixes, cursor) = read(pairs)?;
    let changes = site.store.watch(prefixes, cursor).await;
    let changes = changes.map_err(|error| Refusal::internal("watch the store", &error))?;
    Ok(lines::sure(changes, &site.drain))
}

fn read(pairs: Vec<(String, String)>) -> Answer<(Vec<String>, Option<Cursor>)> {
    let (mut prefixes, mut incarnation, mut after) = (Vec::new(), None, None);
    for (name, value) in pairs {
        match name.as_str() {
            "prefix" => prefixes.push(value),
            "incarnation" => incarnation = Some(value),
            "after" => after = Some(value.parse().map_err(|_| invalid("`after` is not a revision"))?),
            _ => return Err(invalid(&format!("`{name}` is not known here"))),
        }
    }
    if prefixes.is_empty() || prefixes.len() > MOST_PREFIXES {
        return Err(invalid(&format!("there must be between one and {MOST_PREFIXES} prefixes")));
    }
    match (incarnation, after) {
        (Some(incarnation), Some(after)) => {
            Ok((prefixes, Some(Cursor { incarnation, revision: Revision(after) })))
        }
        (None, None) => Ok((prefixes, None)),
        _ => Err(invalid("`incarnation` and `after` go together")),
    }
}

fn invalid(detail: &str) -> Refusal {
    Refusal(
        Problem::new(400, "query_invalid", "the query of the watch is not what is expected").detail(detail),
    )
}
