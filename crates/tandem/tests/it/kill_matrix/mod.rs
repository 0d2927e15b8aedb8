//! The kill matrix: every part of Tandem killed at every named point of every operation, and at random moments.
//!
//! A case holds the process that comes to a point (`tandem_kit::points`), kills its victim, lets go, starts again what
//! nobody else starts, and asks `tandem_testkit::promises` what does not hold. The points come from the program itself: a
//! first run of each operation notes which it passes. See `docs/decisions/013-kill-matrix.md`.

mod case;
mod long;
mod operation;
mod quick;
mod table;
mod victim;
mod world;
