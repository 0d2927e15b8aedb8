//! Real shims: launched, asked, stopped, killed, found again.

mod death;
mod harness;
mod life;
mod limits;
mod stopping;
