//! The kill matrix: every part of Tandem killed at every named point of every operation, and at random moments.
//!
//! A case holds the process that comes to a point (`tandem_kit::points`), kills its victim, lets go, starts again what
//! nobody else starts, and asks `tandem_testkit::promises` what does not hold. The points come from the program itself: a
//! first run of each operation notes which it passes, and who is there. See `docs/decisions/013-kill-matrix.md`.

mod case;
mod load;
mod long;
mod moment;
mod operation;
mod outcome;
mod quick;
mod survey;
mod table;
mod victim;
mod world;
