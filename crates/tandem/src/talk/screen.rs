//! This terminal: its size, and the mode in which every key goes to the command.

use std::io::{IsTerminal, stdin, stdout};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tandem_types::session::Size;

use crate::failure::Failure;

/// Used where a terminal does not say how large it is.
const USUAL: Size = Size { rows: 24, columns: 80 };

/// Whether somebody sits at a terminal: types here, and reads here.
pub(crate) fn is_on_terminal() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Size of the window.
pub(crate) fn window() -> Size {
    match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => Size { rows: size.ws_row, columns: size.ws_col },
        _ => USUAL,
    }
}

/// The terminal hands on every key as it is, until this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// # Errors
    ///
    /// The terminal refuses, or is gone.
    pub(crate) fn enter() -> Result<Self, Failure> {
        let refused = |errno| Failure::chain("talk with the terminal", &std::io::Error::from(errno));
        let before: Termios = tcgetattr(stdin()).map_err(refused)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).map_err(refused)?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.0);
    }
}
