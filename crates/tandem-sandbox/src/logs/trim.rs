//! A limit on all logs of a host together.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use super::chunks;

struct Chunk {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
    /// Closed: the one being written must stay.
    closed: bool,
}

/// Deletes the oldest chunks of these logs (folders, or files of folded ones) until all together have at most `most_bytes`. The chunk that is being
/// written stays. Tells how many bytes were freed. Call it on a thread that may block.
///
/// # Errors
/// Fails where a chunk cannot be deleted; missing folders are passed over.
pub fn trim(dirs: &[PathBuf], most_bytes: u64) -> io::Result<u64> {
    let mut all = Vec::new();
    for dir in dirs {
        let is_folded = dir.is_file();
        let files = chunks::files(dir)?;
        let last = files.last().map(|(number, _)| *number);
        for (number, path) in files {
            let Ok(metadata) = path.metadata() else { continue };
            let closed = is_folded || last != Some(number);
            all.push(Chunk { path, bytes: metadata.len(), changed: metadata.modified()?, closed });
        }
    }
    let mut over = all.iter().map(|chunk| chunk.bytes).sum::<u64>().saturating_sub(most_bytes);
    all.retain(|chunk| chunk.closed);
    all.sort_by_key(|chunk| chunk.changed);
    let mut freed = 0;
    for chunk in all {
        if over == 0 {
            break;
        }
        match std::fs::remove_file(&chunk.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => freed += chunk.bytes,
        }
        over = over.saturating_sub(chunk.bytes);
    }
    Ok(freed)
}
