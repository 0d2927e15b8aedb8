//! Trees and blobs: disk store, framed transfer, hard-link checkout.
