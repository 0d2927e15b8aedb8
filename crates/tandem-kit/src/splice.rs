//! Joins two connections, so that what one says the other hears.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};

/// What is read in one go.
const PIECE: usize = 16 * 1024;
/// Time that a client gets to hang up once everything was said to it. Whoever hangs up first with something unread takes
/// what was said last away from the other.
const HANGS_UP_WITHIN: Duration = Duration::from_secs(5);

/// Passes bytes on between a client and a server until the server has said everything, or the client is gone. Neither is
/// read faster than the other takes it.
pub async fn splice<C, S>(client: C, server: S)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let answers = async {
        let _ = pass(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    let (mut answers, mut asks) = (Box::pin(answers), Box::pin(ask(&mut from_client, &mut to_server)));
    tokio::select! {
        () = &mut answers => drop(tokio::time::timeout(HANGS_UP_WITHIN, asks).await),
        () = &mut asks => {}
    }
}

/// Until the client is gone. A server that takes no more may still have something to say.
async fn ask<C: AsyncRead, S: AsyncWrite>(from: &mut ReadHalf<C>, to: &mut WriteHalf<S>) {
    if let Err(Side::Writer) = pass(from, to).await {
        let mut rest = vec![0; PIECE];
        while let Ok(1..) = from.read(&mut rest).await {}
    }
}

enum Side {
    Reader,
    Writer,
}

async fn pass<R: AsyncRead, W: AsyncWrite>(
    from: &mut ReadHalf<R>,
    to: &mut WriteHalf<W>,
) -> Result<(), Side> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await.map_err(|_| Side::Reader)?;
        if count == 0 {
            return Ok(());
        }
        let passed: io::Result<()> = async {
            to.write_all(&piece[..count]).await?;
            to.flush().await
        }
        .await;
        passed.map_err(|_| Side::Writer)?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn both_hear_each_other_and_the_last_word_is_heard() {
        let ((mut client, client_side), (mut server, server_side)) = (duplex(64), duplex(64));
        let joined = crate::tasks::owned("test", splice(client_side, server_side));
        client.write_all(b"how are you").await.unwrap();
        let mut heard = [0; 11];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"how are you");
        // Longer than what is under way at a time, and with a client that goes on talking.
        let answer = vec![b'x'; 100_000];
        let say = async {
            server.write_all(&answer).await.unwrap();
            drop(server);
        };
        client.write_all(b"still here").await.unwrap();
        let mut all = Vec::new();
        let (read, ()) = tokio::join!(client.read_to_end(&mut all), say);
        assert_eq!((read.unwrap(), all.len()), (100_000, 100_000));
        drop(client);
        joined.await;
    }

    #[tokio::test]
    async fn when_the_client_is_gone_so_is_the_connection_to_the_server() {
        let ((client, client_side), (mut server, server_side)) = (duplex(64), duplex(64));
        let joined = crate::tasks::owned("test", splice(client_side, server_side));
        drop(client);
        joined.await;
        let mut rest = Vec::new();
        assert_eq!(server.read_to_end(&mut rest).await.unwrap(), 0);
    }
}
