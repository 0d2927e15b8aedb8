//! The socket between two balancers: where it lies, who may speak there, messages and descriptors on it.
//!
//! It lies in the state folder, which is closed to others, and both sides look who is at the other end: whoever gets the
//! listening sockets gets all traffic. The folder's path may be longer than the 107 bytes that the address of a unix
//! socket may have, so the address goes through an open folder: `/proc/self/fd/N/handover.sock`.

use std::fs::{File, Permissions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};

use super::message::Message;

const NAME: &str = "handover.sock";
/// Most bytes of a message: tables of thousands of routes have some megabytes.
const LONGEST: u32 = 256 << 20;

/// Listens in a state folder in place of whoever did so before.
pub(crate) fn listen(state_dir: &Path) -> io::Result<UnixListener> {
    let aside = format!("{NAME}.new");
    match std::fs::remove_file(state_dir.join(&aside)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = Folder::open(state_dir)?;
    let listener = UnixListener::bind(folder.path(&aside))?;
    std::fs::set_permissions(state_dir.join(&aside), Permissions::from_mode(0o600))?;
    // In one step: at each moment there is somebody to speak to.
    std::fs::rename(state_dir.join(aside), state_dir.join(NAME))?;
    Ok(listener)
}

/// Speaks to whoever listens in a state folder. None: nobody does.
pub(crate) async fn connect(state_dir: &Path) -> io::Result<Option<UnixStream>> {
    if !state_dir.join(NAME).exists() {
        return Ok(None);
    }
    let folder = Folder::open(state_dir)?;
    match UnixStream::connect(folder.path(NAME)).await {
        Ok(stream) => check_peer(&stream).map(|()| Some(stream)),
        Err(error) if is_nobody(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether somebody listens in a state folder.
pub(super) fn is_listened(state_dir: &Path) -> bool {
    let folder = Folder::open(state_dir);
    folder.is_ok_and(|folder| std::os::unix::net::UnixStream::connect(folder.path(NAME)).is_ok())
}

/// Ends once whoever listens in a state folder has looked at this, or where nobody listens. Of one that hangs the kernel takes the
/// connection, and nothing more happens. All versions end a conversation that says nothing.
pub(crate) async fn answers(state_dir: &Path) -> io::Result<()> {
    let Some(mut stream) = connect(state_dir).await? else { return Ok(()) };
    stream.shutdown().await?;
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Refuses who is not of our own user.
pub(crate) fn check_peer(stream: &UnixStream) -> io::Result<()> {
    let other = stream.peer_cred()?.uid();
    if other == Uid::effective().as_raw() {
        return Ok(());
    }
    let text = format!("the process at the other end belongs to another user ({other})");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// A folder held open, for short paths into it.
struct Folder(File);

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}

/// Sends a message: its length in four bytes, then JSON.
pub(crate) async fn send(writer: &mut (impl AsyncWrite + Unpin), message: &Message) -> io::Result<()> {
    let text = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST);
    let length =
        length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text);
    writer.write_all(&bytes).await
}

/// Receives a message, not a byte more: descriptors may follow. An end in between is an error, before it too.
pub(crate) async fn receive(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let length = reader.read_u32().await?;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut text = Vec::new();
    let read = reader.take(u64::from(length)).read_to_end(&mut text).await?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Half a text in a whole message is no end of the conversation.
    serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether receiving failed because the other one has ended; else it is there and was not understood.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// Sends a descriptor along with a byte of its own.
pub(crate) async fn send_descriptor(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("there is no space for a descriptor"));
        }
        rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    stream.async_io(Interest::WRITABLE, send).await
}

/// Receives one descriptor.
pub(crate) async fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received =
            rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        descriptor.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came"))
    };
    stream.async_io(Interest::READABLE, receive).await
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[tokio::test]
    async fn descriptors_and_messages_keep_their_order_in_a_folder_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("d".repeat(150));
        tandem_kit::files::ensure_dir(&long, 0o700).unwrap();
        assert!(connect(&long).await.unwrap().is_none() && !is_listened(&long));
        let listener = listen(&long).unwrap();
        let listener = {
            drop(listener);
            listen(&long).unwrap()
        };
        assert_eq!(std::fs::metadata(long.join(NAME)).unwrap().mode() & 0o777, 0o600);
        let mut ours = connect(&long).await.unwrap().unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        check_peer(&theirs).unwrap();
        let path = folder.path().join("file");
        tandem_kit::files::write_atomic_unsynced(&path, b"content", 0o600).unwrap();
        let file = File::open(&path).unwrap();
        send(&mut ours, &Message::Serving).await.unwrap();
        send_descriptor(&ours, file.as_fd()).await.unwrap();
        send_descriptor(&ours, file.as_fd()).await.unwrap();
        send(&mut ours, &Message::End).await.unwrap();
        assert_eq!(receive(&mut theirs).await.unwrap(), Message::Serving);
        let mut text = String::new();
        File::from(receive_descriptor(&theirs).await.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        receive_descriptor(&theirs).await.unwrap();
        assert_eq!(receive(&mut theirs).await.unwrap(), Message::End);
        drop(ours);
        assert_eq!(receive(&mut theirs).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(receive_descriptor(&theirs).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        drop(listener);
        assert!(connect(&long).await.unwrap().is_none() && !is_listened(&long), "a file without a listener");
    }
}
