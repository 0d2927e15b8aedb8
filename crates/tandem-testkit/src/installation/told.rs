//! What `tandem up` is told from its next start on.

use std::ffi::OsString;
use std::net::SocketAddr;

use super::Installation;

impl Installation {
    /// Sets a variable for every `tandem up` that is started from now on.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// What every `tandem up` is told besides that is started from now on.
    pub fn set_arguments<A: Into<OsString>>(&mut self, arguments: impl IntoIterator<Item = A>) {
        self.arguments = arguments.into_iter().map(Into::into).collect();
    }

    /// Addresses that the balancer serves from the next start on, besides the one that it has.
    pub fn serve_also(&mut self, addresses: &[SocketAddr]) {
        self.more_http = addresses.to_vec();
    }
}
