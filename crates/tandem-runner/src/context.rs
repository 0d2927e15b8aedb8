//! What every part of a runner shares: handles only, no state of its own.

use std::path::PathBuf;
use std::time::Duration;

use tandem_kit::api::Client;
use tandem_kit::clock::Clock;
use tandem_types::instance::Isolation;
use tandem_types::{HostName, Span};
use tokio::sync::watch;

use crate::board::Board;
use crate::folders::Folders;
use crate::holds::Holds;
use crate::ledger::Ledger;
use crate::packet_rules::PacketRules;

/// Handles on everything an actor needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// Wall and monotonic time.
    pub(crate) clock: Clock,
    /// Where things are.
    pub(crate) folders: Folders,
    /// Fences and ports.
    pub(crate) ledger: Ledger,
    /// What is.
    pub(crate) board: Board,
    /// Who may reach which port.
    pub(crate) packet_rules: PacketRules,
    /// Environments that are to stand still.
    pub(crate) holds: Holds,
    /// The server.
    pub(crate) client: Client,
    /// The program that is a shim when called `tandem shim DIR`.
    pub(crate) binary: PathBuf,
    /// How instances are kept apart here.
    pub(crate) isolation: Isolation,
    /// Time an instance has from its start to being ready, before it is told with its last lines that it is not.
    pub(crate) budget: Span,
    /// Time between two looks for what no actor stands for.
    pub(crate) sweep_interval: Duration,
    /// How long a tree stays that nobody needs.
    pub(crate) keep_trees: Duration,
    /// This host.
    pub(crate) host: HostName,
    /// True once no server answered for so long after the start that what ran before is started again without one.
    pub(crate) alone: watch::Receiver<bool>,
}
