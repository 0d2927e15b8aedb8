//! Finds out when a balancer hangs: it lives and does nothing. Its death would be noticed by itself, but it holds the
//! sockets, so while it hangs whoever comes is taken in by the kernel and waits in vain.
//!
//! Two things must be silent before it is said to hang: the socket on which others speak to it, and the port where it serves. The
//! first alone may wait for a disk, while requests are answered as ever. Both must be so twice in a row, and none of its threads
//! may be in a call that waits for a disk: that of the machine may be busy for long, and then everybody is silent who needs a
//! page of it. To kill it then ends all that it has open, and the next one waits for the same disk.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tandem_balancer::Process;
use tandem_sandbox::process::Stat;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::failure::chain_of;

/// Asked for a host that no app can have, so that the balancer answers by itself.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: watchdog.invalid\r\nconnection: close\r\n\r\n";

/// Looks in a row at which it is silent.
const LOOKS: u32 = 2;

/// How often is looked, and how long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watchdog {
    /// Time between two looks.
    interval: Duration,
    /// Longest wait for each of the two answers. Both need some milliseconds, on a machine that is overloaded a second.
    patience: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), patience: Duration::from_secs(5) }
    }
}

impl Watchdog {
    /// Ends once the balancer of a state folder hangs. Where it is not to be asked, it is taken for well.
    pub(super) async fn hangs(self, process: u32, state: &Path, addresses: &[SocketAddr]) {
        while !self.is_hung(process, state, addresses).await {}
    }

    /// Looks until it is well or hangs, and says which.
    pub(super) async fn is_hung(self, process: u32, state: &Path, addresses: &[SocketAddr]) -> bool {
        for _ in 0..LOOKS {
            sleep(self.interval).await;
            if self.is_heard(state).await || self.serves(addresses).await {
                return false;
            }
            if waits_for_a_disk(process) {
                tracing::warn!("balancer: process {process} answers nobody while it waits for a disk");
                return false;
            }
        }
        true
    }

    async fn is_heard(self, state: &Path) -> bool {
        match timeout(self.patience, Process::answers(state)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!("balancer: cannot be asked whether it is well: {}", chain_of(&error));
                true
            }
            Err(_) => false,
        }
    }

    /// Whether one address answers, whatever it says.
    async fn serves(self, addresses: &[SocketAddr]) -> bool {
        for address in addresses {
            match timeout(self.patience, ask(*address)).await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => {
                    tracing::debug!("balancer: {address} cannot be asked: {}", chain_of(&error));
                    return true;
                }
                Err(_) => {}
            }
        }
        false
    }
}

/// Whether a thread of it is in a call that cannot be interrupted.
fn waits_for_a_disk(process: u32) -> bool {
    let threads = i32::try_from(process).map_or_else(|_| Vec::new(), Stat::threads_of);
    threads.iter().any(|thread| thread.state() == 'D')
}

async fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(REQUEST).await?;
    stream.read_u8().await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tokio::net::TcpListener;

    use super::*;

    const QUICK: Watchdog =
        Watchdog { interval: Duration::from_millis(5), patience: Duration::from_millis(50) };

    /// As a process that is stopped: the kernel takes whoever comes.
    fn silent_folder() -> (tempfile::TempDir, UnixListener) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("handover.sock")).expect("a socket");
        (folder, listener)
    }

    #[tokio::test]
    async fn one_that_says_nothing_anywhere_hangs() {
        let (folder, _control) = silent_folder();
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("its address");
        timeout(Duration::from_secs(30), QUICK.hangs(std::process::id(), folder.path(), &[address]))
            .await
            .expect("it hangs");
    }

    #[tokio::test]
    async fn one_that_serves_does_not_hang_whatever_its_control_waits_for() {
        let (folder, _control) = silent_folder();
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = [port.local_addr().expect("its address")];
        let serve = async {
            for _ in 0..3 {
                let (mut stream, _) = port.accept().await.expect("a connection");
                stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.expect("it listens");
            }
        };
        tokio::select! {
            () = QUICK.hangs(std::process::id(), folder.path(), &addresses) => panic!("it serves"),
            () = serve => {}
        }
    }

    #[tokio::test]
    async fn one_that_was_silent_once_does_not_hang() {
        let (folder, control) = silent_folder();
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addresses = [port.local_addr().expect("its address")];
        let patient = Watchdog { patience: Duration::from_secs(60), ..QUICK };
        assert!(!QUICK.is_heard(folder.path()).await && !QUICK.serves(&addresses).await, "it is silent");
        drop(control);
        assert!(!patient.is_hung(std::process::id(), folder.path(), &addresses).await, "it is back");
    }

    #[tokio::test]
    async fn one_that_is_gone_or_answers_does_not_hang() {
        let (folder, control) = silent_folder();
        control.set_nonblocking(true).expect("it is ours");
        let control = tokio::net::UnixListener::from_std(control).expect("it is a listener");
        assert!(QUICK.is_heard(&folder.path().join("nobody")).await);
        let heard = QUICK.is_heard(folder.path());
        let (heard, ()) = tokio::join!(heard, async { drop(control.accept().await) });
        assert!(heard, "an older version ends a conversation that it does not understand");
    }
}
