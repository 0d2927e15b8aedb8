//! Real shims: launched, asked, stopped, killed, found again.

mod death;
mod formats;
mod harness;
mod life;
mod limits;
mod stopping;
mod talking;
mod terminals;
