//! What a record is made of: what the client asked for, and what it came to.

use http::StatusCode;
use tandem_types::InstanceId;
use tandem_types::traffic::AnsweredBy;

use tandem_wire::RequestHead;
use tandem_wire::forward;

/// What was asked for, where it lies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen<'r> {
    /// Its method; empty where the head could not be read.
    pub method: &'r str,
    /// The host asked for.
    pub host: &'r str,
    /// Its path, with the query.
    pub target: &'r str,
    /// Its id.
    pub id: &'r str,
    /// Address of the client.
    pub client: &'r str,
    /// The whole of it, while it is there.
    pub head: Option<&'r RequestHead>,
}

impl<'r> Seen<'r> {
    /// Of a request with this head.
    pub fn of(head: &'r RequestHead, id: &'r str, client: &'r str) -> Self {
        Self {
            method: head.method.as_str(),
            host: forward::host_of(head).unwrap_or_default(),
            target: forward::path_of(head).unwrap_or_default(),
            id,
            client,
            head: Some(head),
        }
    }

    /// Its path without the query, which often holds what nobody else should read.
    pub(super) fn path(&self) -> &'r str {
        without_query(self.target)
    }

    /// A field of its head.
    pub(super) fn field(&self, name: &[u8]) -> Option<&'r [u8]> {
        let mut fields = self.head?.fields.iter();
        fields.find(|(found, ..)| found.eq_ignore_ascii_case(name)).map(|(_, value, _)| value)
    }
}

/// A target or URL without its query.
pub(super) fn without_query(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

/// What a request came to. See [`tandem_types::traffic::RequestRecord`].
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Wall time at its beginning, in microseconds since 1970.
    pub at_us: i64,
    /// Who was asked, the last of several.
    pub instance: Option<InstanceId>,
    /// Status of the answer, where there was one.
    pub status: Option<StatusCode>,
    /// Who answered.
    pub by: AnsweredBy,
    /// Whether more than one instance was asked.
    pub retried: bool,
    /// Whether it broke off before its end.
    pub cut: bool,
    /// Bytes of the body that came in.
    pub bytes_in: u64,
    /// Bytes of the body that went out.
    pub bytes_out: u64,
    /// From its head to the start of a connection, in microseconds.
    pub queue_us: u64,
    /// Time in which connections were made, in microseconds.
    pub connect_us: u64,
    /// From its head to the head of the answer, in microseconds.
    pub first_byte_us: u64,
    /// From its head to the end of the answer, in microseconds.
    pub total_us: u64,
}

impl Facts {
    /// First digit of the status; 0: there was none.
    pub(super) fn class(&self) -> usize {
        self.status.map_or(0, |status| usize::from(status.as_u16() / 100).min(5))
    }
}
