//! The archive of a volume, as people have it in a file or a pipe.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use tandem_kit::tasks;
use tandem_types::ProcessType;

use super::DASH;
use crate::failure::Failure;

/// Bytes sent in one piece.
const PIECE: usize = 256 * 1024;
/// Bytes of the first header of a tar.
const BLOCK: usize = 512;
/// First bytes of what zstd has made (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of what gzip has made (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The archive as a plain tar, and the size of the file where it has one.
pub(super) fn open(
    path: &Path,
    volume: &ProcessType,
) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    let failed = |error: io::Error| Failure::chain(&format!("read {}", path.display()), &error);
    let (reader, size): (Box<dyn Read + Send>, _) = if path.as_os_str() == DASH {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        (Box::new(file), Some(size))
    };
    let mut reader = BufReader::with_capacity(PIECE, reader);
    let start = reader.fill_buf().map_err(failed)?;
    if start.starts_with(&GZIP) {
        let shown = path.display();
        return Err(Failure::new(format!(
            "{shown} is compressed by gzip, and volumes are imported from a tar"
        ))
        .hint(format!("gunzip -c {shown} | tandem volume import {volume} -")));
    }
    if start.starts_with(&ZSTD) {
        let plain = zstd::Decoder::with_buffer(reader).map_err(failed)?;
        return Ok((Box::new(looked_at(plain, path)?), None));
    }
    Ok((Box::new(looked_at(reader, path)?), size))
}

/// The same reader, once its first block is that of a tar: whoever named another file learns it before it is sent.
fn looked_at<R: Read>(mut reader: R, path: &Path) -> Result<impl Read + use<R>, Failure> {
    let mut first = Vec::with_capacity(BLOCK);
    let read = reader.by_ref().take(BLOCK as u64).read_to_end(&mut first);
    read.map_err(|error| Failure::chain(&format!("read {}", path.display()), &error))?;
    if !first.is_empty() && !is_tar(&first) {
        return Err(Failure::new(format!("{} is no tar", path.display()))
            .hint("`tandem volume export` makes one, and so does `tar -cf backup.tar -C FOLDER .`"));
    }
    Ok(io::Cursor::new(first).chain(reader))
}

/// Whether a block may be the first of a tar: zeros, or a header whose checksum is right (POSIX, `pax`, "ustar Interchange
/// Format"): the sum of its bytes, those of the checksum itself taken for spaces.
fn is_tar(block: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if block.len() < BLOCK {
        return false;
    }
    let said =
        block[CHECKSUM].iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    let said = said.fold(0, |sum: u64, digit| sum.saturating_mul(8).saturating_add(u64::from(digit - b'0')));
    let bytes = block.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    block.iter().all(|byte| *byte == 0) || said == bytes.map(u64::from).sum::<u64>()
}

/// Refuses a name that says of the archive what it is not.
pub(super) fn ensure_writable_as(path: &Path) -> Result<(), Failure> {
    const OTHERS: [&str; 7] = ["7z", "bz2", "gz", "rar", "tgz", "xz", "zip"];
    let end = path.extension().and_then(|end| end.to_str()).map(str::to_lowercase);
    if !end.is_some_and(|end| OTHERS.contains(&end.as_str())) {
        return Ok(());
    }
    let plain = path.with_extension("");
    let plain = plain.with_extension("tar").display().to_string();
    Err(Failure::new(format!("volumes are exported as a tar, which {} would not say", path.display()))
        .hint(format!("name it {plain}, or {plain}.zst to have it compressed")))
}

type Pieces = Result<Bytes, io::Error>;

/// Read on another thread: a disk or a pipe that is slow must not hold up the connection.
pub(super) fn pieces(
    archive: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
) -> impl futures_util::Stream<Item = Pieces> + Send + 'static {
    stream::unfold(Some(archive), move |archive| {
        let read = Arc::clone(&read);
        async move {
            let mut archive = archive?;
            tasks::blocking("read the archive", move || {
                let mut piece = vec![0; PIECE];
                match archive.read(&mut piece) {
                    Ok(0) => None,
                    Ok(length) => {
                        piece.truncate(length);
                        read.fetch_add(length as u64, Ordering::Relaxed);
                        Some((Ok(piece.into()), Some(archive)))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            })
            .await
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_tar_is_told_before_it_is_sent() {
        let folder = tempfile::tempdir().expect("there is room");
        let volume = "data".parse().expect("a name");
        let opened = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            tandem_kit::files::write_atomic(&path, bytes, 0o600).expect("there is room");
            let mut all = Vec::new();
            open(&path, &volume).map(|(mut reader, _)| {
                reader.read_to_end(&mut all).expect("it is there");
                all
            })
        };
        let mut header = [0; BLOCK];
        header[..4].copy_from_slice(b"./ab");
        // 46 + 47 + 97 + 98, and eight spaces: 544, octal 1040.
        header[148..156].copy_from_slice(b"001040\0 ");
        let tar = [&header[..], &[7; 4000]].concat();
        assert_eq!(opened("a.tar", &tar).ok(), Some(tar.clone()));
        let packed = zstd::encode_all(&tar[..], 1).expect("it fits");
        assert_eq!(opened("a.tar.zst", &packed).ok(), Some(tar.clone()));
        assert_eq!(opened("zeros", &[0; 1024]).ok(), Some(vec![0; 1024]));
        assert_eq!(opened("empty", b"").ok(), Some(Vec::new()));
        for (name, bytes) in [("a.zip", &b"PK\x03\x04"[..]), ("a.sql", &[b'x'; 2000]), ("cut", &tar[..100])] {
            let failure = opened(name, bytes).expect_err(name);
            assert!(format!("{failure:?}").contains(&format!("{name} is no tar")), "{failure:?}");
        }
    }

    #[test]
    fn a_name_that_says_something_else_is_refused_with_one_that_fits() {
        for name in ["m.tar", "m.tar.zst", "m", "-"] {
            ensure_writable_as(Path::new(name)).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        }
        for name in ["m.zip", "m.tar.gz", "m.TGZ"] {
            let failure = ensure_writable_as(Path::new(name)).expect_err(name);
            assert!(format!("{failure:?}").contains("name it m.tar, or m.tar.zst"), "{failure:?}");
        }
    }
}
