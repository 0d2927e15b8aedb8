//! What every handler works with.

use tandem_blobs::BlobStore;
use tandem_control::Handle;
use tandem_kit::drain::Drain;
use tandem_store::SharedStore;

/// The parts of the server that the API gives addresses to. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// Every use case.
    pub control: Handle,
    /// For watches and the journal, which are the store's own.
    pub store: SharedStore,
    /// Sources and builds.
    pub blobs: BlobStore,
    /// Ends streams.
    pub drain: Drain,
}
