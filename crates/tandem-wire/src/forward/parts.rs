//! A request's head in the types of the `http` crate, for what is written for these.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};

use super::path_of;
use crate::RequestHead;

/// The method, the path and all fields. None: they cannot be said so.
pub fn parts_of(head: &RequestHead) -> Option<Parts> {
    let mut request = Request::builder().method(&head.method).uri(path_of(head).ok()?).body(()).ok()?;
    for (name, value, _) in head.fields.iter() {
        let (name, value) = (HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        request.headers_mut().append(name, value);
    }
    Some(request.into_parts().0)
}
