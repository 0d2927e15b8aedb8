//! The shim's end of its control socket.
//!
//! Nothing here waits: reads and writes are of a few hundred bytes, and a client that does not take its answer is cut off.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use tandem_types::shim::{Answer, Request};

use super::input::Input;

/// Clients at a time: one runner, its predecessor, a person who looks.
const MOST_CLIENTS: usize = 32;

/// The socket and who is connected.
#[derive(Debug)]
pub(super) struct Control {
    path: PathBuf,
    listener: UnixListener,
    clients: Vec<Client>,
    next_client: u64,
}

#[derive(Debug)]
struct Client {
    id: u64,
    stream: UnixStream,
    input: Input,
    gone: bool,
}

/// A request and who asks.
#[derive(Debug)]
pub(super) struct Asked {
    pub client: u64,
    /// Or why it cannot be understood.
    pub request: Result<Request, String>,
}

impl Control {
    /// Binds the socket, in place of one that a dead shim left.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { path: path.to_owned(), listener, clients: Vec::new(), next_client: 0 })
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        clients.chain([self.listener.as_fd()]).collect()
    }

    /// Takes in what has come.
    pub(super) fn requests(&mut self) -> Vec<Asked> {
        self.accept();
        let mut asked = Vec::new();
        for client in &mut self.clients {
            client.read();
            while let Some(request) = client.input.next_request() {
                // What comes behind it is no request.
                let is_last = matches!(request, Ok(Request::Attach));
                asked.push(Asked { client: client.id, request });
                if is_last {
                    break;
                }
            }
        }
        self.clients.retain(|client| !client.gone);
        asked
    }

    /// Answers a client, if it is still there.
    pub(super) fn answer(&mut self, client: u64, answer: &Answer) {
        let mut line = serde_json::to_vec(answer).expect("an answer is always JSON");
        line.push(b'\n');
        if let Some(client) = self.clients.iter_mut().find(|other| other.id == client) {
            client.gone = client.stream.write_all(&line).is_err();
        }
        self.clients.retain(|client| !client.gone);
    }

    /// Lets a client go with its connection, and what it said behind its last request.
    pub(super) fn hand_over(&mut self, client: u64) -> Option<(UnixStream, Vec<u8>)> {
        let place = self.clients.iter().position(|other| other.id == client)?;
        let Client { stream, input, .. } = self.clients.swap_remove(place);
        Some((stream, input.rest()))
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let welcome = is_ours(&stream) && stream.set_nonblocking(true).is_ok();
            if welcome && self.clients.len() < MOST_CLIENTS {
                self.clients.push(Client {
                    id: self.next_client,
                    stream,
                    input: Input::default(),
                    gone: false,
                });
                self.next_client += 1;
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Only root and the user that the shim runs as may command it.
fn is_ours(stream: &UnixStream) -> bool {
    let peer = getsockopt(stream, PeerCredentials).map(|peer| Uid::from_raw(peer.uid()));
    peer.is_ok_and(|uid| uid.is_root() || uid == Uid::effective())
}

impl Client {
    fn read(&mut self) {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break self.gone = true,
                Ok(count) if !self.input.take(&buffer[..count]) => break self.gone = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break self.gone |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}
