//! Certificates: which one a client is shown, how the installation's own authority signs one, how a balancer comes by them
//! and answers those who ask whether a domain leads here (decision 023).
//!
//! What is kept where, and when an authority is asked, is decided by others; nothing here knows routes or documents.

mod authority;
mod challenges;
mod doubts;
mod follow;
mod shown;
mod validity;

pub use authority::{Authority, Issued, Request, SignError};
pub use challenges::{Answers, CHALLENGE_PATH, VALIDATION};
pub use doubts::Doubt;
pub use follow::{Cached, Followed};
pub use shown::{Certificate, CertificateError, Certificates};
pub use validity::{ValidityError, validity};
