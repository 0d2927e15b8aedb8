//! Where a client is sent that should have come by HTTPS, and for how long it is told to come so.

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue};
use tandem_rules::routing::normalize_host;
use tandem_types::Span;

use crate::shared::Secure;

/// Port of HTTP and HTTPS where a URL names none.
const USUAL: (u16, u16) = (80, 443);

/// The same URL over HTTPS, as a field; none: there is none.
///
/// A client that came to one of our ports finds HTTPS at ours. One that came to another was led here by somebody who is
/// likely to lead the usual port of HTTPS here, too.
pub(super) fn location(secure: &Secure, host: &str, path: &str) -> Option<HeaderMap> {
    let name = normalize_host(host);
    let asked = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(USUAL.0);
    let ours = secure.addresses.first()?.port();
    let url = match secure.http.iter().any(|address| address.port() == asked) && ours != USUAL.1 {
        true => format!("https://{name}:{ours}{path}"),
        false => format!("https://{name}{path}"),
    };
    // `OPTIONS *` has no URL.
    let url = HeaderValue::try_from(url).ok().filter(|_| path.starts_with('/') && !name.is_empty())?;
    Some(HeaderMap::from_iter([(LOCATION, url)]))
}

/// As the field counts.
pub(super) fn seconds(span: Option<Span>) -> Option<u64> {
    span.map(|span| span.as_millis() / 1000)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn sent(http: u16, https: u16, (host, path): (&str, &str)) -> Option<String> {
        let at = |port| vec![SocketAddr::from(([127, 0, 0, 1], port))];
        let config = tandem_certificates::Certificates::default().config().unwrap().into();
        let secure = Secure { config, addresses: at(https), http: at(http) };
        location(&secure, host, path).map(|headers| headers[LOCATION].to_str().unwrap().to_owned())
    }

    #[test]
    fn a_client_is_sent_to_the_port_that_belongs_to_the_one_it_came_to() {
        for (ports, asked, url) in [
            ((80, 443), ("shop.example", "/a?b=c"), "https://shop.example/a?b=c"),
            ((80, 443), ("Shop.example:80", "/"), "https://shop.example/"),
            ((80, 8443), ("shop.example", "/"), "https://shop.example:8443/"),
            ((8080, 8443), ("shop.localhost:8080", "/"), "https://shop.localhost:8443/"),
            ((8080, 8443), ("shop.example", "/"), "https://shop.example/"),
            ((8080, 443), ("shop.example:8080", "/"), "https://shop.example/"),
            ((8080, 8443), ("[::1]:8080", "/"), "https://[::1]:8443/"),
        ] {
            assert_eq!(sent(ports.0, ports.1, asked).as_deref(), Some(url), "{ports:?} {asked:?}");
        }
        assert_eq!(sent(80, 443, ("shop.example", "*")), None);
    }
}
