//! What a disk may hold after the power was cut: what was synced for certain, of the rest anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::vfs::Operation;

/// Unit that a disk writes whole.
const SECTOR: usize = 512;

/// Which of the writes that were not synced have reached the disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// None.
    Lost,
    /// All.
    Kept,
    /// Some sectors of some, drawn by this number.
    Torn(u64),
}

/// A disk at some operation: files by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    files: BTreeMap<String, File>,
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    /// Whether the name is on the disk.
    named: bool,
    pending: Vec<Operation>,
}

impl Model {
    /// A disk with an empty file on it.
    pub(super) fn with_empty(name: &str) -> Self {
        let empty = File { named: true, ..File::default() };
        Self { files: [(name.to_owned(), empty)].into() }
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { file, .. } | Operation::Truncate { file, .. } => {
                self.files.entry(file.clone()).or_default().pending.push(operation.clone());
            }
            Operation::Sync { file } => {
                let file = self.files.entry(file.clone()).or_default();
                file.named = true;
                for operation in std::mem::take(&mut file.pending) {
                    perform(&mut file.durable, &operation);
                }
            }
            Operation::SyncFailed { file } => self.files.entry(file.clone()).or_default().pending.clear(),
            // A name that is not synced away may come back with whatever it had; that is a `Kept` before this one.
            Operation::Delete { file, .. } => drop(self.files.remove(file)),
            Operation::Mark(_) => {}
        }
    }

    /// The files as they may be found after a cut.
    pub(super) fn image(&self, fate: Fate) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (name, file) in &self.files {
            let mut dice = match fate {
                Fate::Torn(seed) => Dice(seed ^ (name.len() as u64) << 32),
                _ => Dice(1),
            };
            let named =
                file.named || matches!(fate, Fate::Kept) || (matches!(fate, Fate::Torn(_)) && dice.flip());
            if !named {
                continue;
            }
            let mut content = file.durable.clone();
            for operation in &file.pending {
                match fate {
                    Fate::Lost => {}
                    Fate::Kept => perform(&mut content, operation),
                    Fate::Torn(_) => perform_torn(&mut content, operation, &mut dice),
                }
            }
            files.insert(name.clone(), content);
        }
        files
    }
}

/// Puts an image into a folder.
pub(super) fn write_image(image: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    for (name, content) in image {
        tandem_kit::files::write_atomic_unsynced(&folder.join(name), content, 0o600).unwrap();
    }
}

fn perform(content: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Write { offset, data, .. } => put(content, usize::try_from(*offset).unwrap(), data),
        Operation::Truncate { length, .. } => content.resize(usize::try_from(*length).unwrap(), 0),
        _ => {}
    }
}

fn perform_torn(content: &mut Vec<u8>, operation: &Operation, dice: &mut Dice) {
    let Operation::Write { offset, data, .. } = operation else {
        if dice.flip() {
            perform(content, operation);
        }
        return;
    };
    let start = usize::try_from(*offset).unwrap();
    // A third is there, a third is not, a third is torn.
    match dice.roll() % 3 {
        0 => {}
        1 => put(content, start, data),
        _ => {
            let mut at = 0;
            while at < data.len() {
                let length = (SECTOR - (start + at) % SECTOR).min(data.len() - at);
                if dice.flip() {
                    put(content, start + at, &data[at..at + length]);
                }
                at += length;
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    if content.len() < at + data.len() {
        content.resize(at + data.len(), 0);
    }
    content[at..at + data.len()].copy_from_slice(data);
}

/// Numbers that are the same at each run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn flip(&mut self) -> bool {
        self.roll().is_multiple_of(2)
    }
}
