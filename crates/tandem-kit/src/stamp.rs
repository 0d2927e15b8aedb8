//! The stamp of a data folder: which version wrote it last, and which generation of formats lies in it.
//!
//! It is read before anything else in the folder is touched, so that an older Tandem that meets a newer one's folder leaves
//! it as it is. A folder without a stamp is one of before stamps: generation 1. Decision 018 says what a generation
//! promises and how people go back.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::paths::DataDir;
use crate::version::Version;

#[cfg(test)]
mod tests;

/// The version that wrote folders without a stamp.
const BEFORE_STAMPS: &str = "0.1.0";

/// What brings a folder from the generation of its place in the list (the first: 1) to the next one. Each may run again
/// after a crash in its middle.
const STEPS: &[Step] = &[];

type Step = fn(&DataDir) -> io::Result<()>;

/// Who wrote a data folder last. Fields that a later version adds are no reason not to read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Generation of the formats in the folder.
    pub generation: u32,
    /// The version that wrote last, such as `0.1.0`.
    pub version: String,
    /// The generation that the folder is being brought up from; none once that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u32>,
}

/// Why a folder is not to be used by this version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A newer version wrote it.
    #[error("the data folder {} was written by Tandem {found}, this is {own}", root.display())]
    Newer {
        /// The data folder.
        root: PathBuf,
        /// The version that wrote it last.
        found: String,
        /// This version.
        own: String,
    },
    /// The stamp is there and says nothing that can be understood, or cannot be written.
    #[error("use the stamp of the data folder {}", root.display())]
    File {
        /// The data folder.
        root: PathBuf,
        /// What was done, and why it failed.
        #[source]
        source: files::Error,
    },
    /// The folder cannot be brought up to this version's generation.
    #[error("bring the data folder {} up from generation {from}", root.display())]
    BringUp {
        /// The data folder.
        root: PathBuf,
        /// The generation it has.
        from: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What to do, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Newer { root, found, own } => format!(
                "nothing was changed; use Tandem {found} or newer, or name another folder with --data. To go back to {own}: \
                 `tandem store restore --data {}` puts the latest snapshot of {own} or older back",
                root.display()
            ),
            Self::File { root, .. } => format!(
                "put {} back from a backup of the folder; it names the version that wrote the folder last",
                file(root).display()
            ),
            Self::BringUp { .. } => {
                "mend what it says and start again: it goes on where it stopped".to_owned()
            }
        }
    }
}

impl Stamp {
    /// The stamp that this version writes.
    #[must_use]
    pub fn current() -> Self {
        Self::of(Version::current())
    }

    fn of(version: &Version) -> Self {
        Self { generation: version.generation, version: version.name.clone(), from: None }
    }

    /// The stamp of a data folder: of version 0.1.0 where files were written before there were stamps, none where nobody
    /// wrote anything.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(root: &Path) -> Result<Option<Self>, Error> {
        let stamp =
            files::read_json(&file(root)).map_err(|source| Error::File { root: root.to_owned(), source })?;
        let before = || Self { generation: 1, version: BEFORE_STAMPS.to_owned(), from: None };
        Ok(stamp.or_else(|| root.join("tandem.sqlite3").exists().then(before)))
    }

    /// Writes it; on return it is on the disk. For [`Arrival::settle`] and whoever has put an older store back.
    ///
    /// # Errors
    /// The disk refuses; the stamp stays as it was.
    pub fn write(&self, root: &Path) -> Result<(), Error> {
        files::write_json(&file(root), self, 0o600)
            .map_err(|source| Error::File { root: root.to_owned(), source })
    }
}

/// Refuses the folder of a newer generation. Reads one file and writes none; for whoever looks into a data folder without
/// opening it.
///
/// # Errors
/// It is newer, or its stamp cannot be read.
pub fn check(root: &Path) -> Result<Option<Stamp>, Error> {
    check_for(root, Version::current())
}

fn check_for(root: &Path, own: &Version) -> Result<Option<Stamp>, Error> {
    let stamp = Stamp::read(root)?;
    match stamp {
        Some(stamp) if stamp.generation > own.generation => {
            Err(Error::Newer { root: root.to_owned(), found: stamp.version, own: own.name.clone() })
        }
        stamp => Ok(stamp),
    }
}

/// A version that has taken a data folder's lock, and has not written anything yet.
#[derive(Debug)]
#[must_use = "the folder keeps its old stamp until it is settled"]
pub struct Arrival {
    /// Who wrote before; none in a new folder.
    pub previous: Option<Stamp>,
    own: Version,
}

impl Arrival {
    /// Looks again, now that nobody else can write.
    ///
    /// # Errors
    /// As [`check`].
    pub fn at(data: &DataDir) -> Result<Self, Error> {
        Self::of(data, Version::current())
    }

    fn of(data: &DataDir, own: &Version) -> Result<Self, Error> {
        Ok(Self { previous: check_for(data.root(), own)?, own: own.clone() })
    }

    /// The version before, where it is another one than this: what can be kept of it is kept now, before
    /// [`Self::settle`].
    #[must_use]
    pub fn other_version(&self) -> Option<&str> {
        let previous = self.previous.as_ref()?;
        (previous.version != self.own.name).then_some(&previous.version)
    }

    /// Writes this version's stamp and brings the folder up to its generation. The stamp comes first: from here on an older
    /// version would not understand what it finds.
    ///
    /// # Errors
    /// The stamp cannot be written, or a step fails; the next start takes it up again.
    pub fn settle(self, data: &DataDir) -> Result<(), Error> {
        self.settle_by(data, STEPS)
    }

    fn settle_by(self, data: &DataDir, steps: &[Step]) -> Result<(), Error> {
        let settled = Stamp::of(&self.own);
        let generation = self.previous.as_ref().map(|previous| previous.from.unwrap_or(previous.generation));
        let from = generation.filter(|generation| *generation < settled.generation);
        if let Some(from) = from {
            Stamp { from: Some(from), ..settled.clone() }.write(data.root())?;
            bring_up(data, from, steps)?;
        }
        if self.previous.as_ref() == Some(&settled) && is_stamped(data) {
            return Ok(());
        }
        settled.write(data.root())
    }
}

fn bring_up(data: &DataDir, from: u32, steps: &[Step]) -> Result<(), Error> {
    let done = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
    for step in steps.iter().skip(done) {
        step(data).map_err(|source| Error::BringUp { root: data.root().to_owned(), from, source })?;
    }
    Ok(())
}

fn is_stamped(data: &DataDir) -> bool {
    file(data.root()).exists()
}

fn file(root: &Path) -> PathBuf {
    root.join("stamp.json")
}
