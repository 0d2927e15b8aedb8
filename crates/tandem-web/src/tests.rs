//! Requests through the router with nothing below it but real parts in a temporary folder.
