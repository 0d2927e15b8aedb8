//! Holding a debug build of Tandem at a named point (`tandem_kit::points`), from outside.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tandem_kit::paths::DataDir;
use tandem_kit::points::Point;

/// Where the processes of an installation look for holds, and heed them once somebody has begun to.
pub(crate) fn folder(data: &DataDir) -> PathBuf {
    data.root().with_file_name("points")
}

/// The folder in which an installation's processes look for holds and leave what they passed.
#[derive(Debug, Clone)]
pub struct Holds {
    folder: PathBuf,
}

impl Holds {
    /// Begins to note what the processes of an installation pass; only a debug build's do.
    ///
    /// # Panics
    ///
    /// Where the folder cannot be made.
    #[must_use]
    pub fn of(data: &DataDir) -> Self {
        let folder = folder(data);
        fs::create_dir_all(&folder).expect("a place beside the data folder");
        Self { folder }
    }

    /// Holds whoever comes to the point from now on.
    ///
    /// # Panics
    ///
    /// Where the folder takes no files.
    pub fn hold(&self, point: Point) {
        self.forget(point, "reached");
        drop(fs::File::create(self.file(point, "hold")).expect("the folder takes files"));
    }

    /// Whether somebody is held there.
    #[must_use]
    pub fn is_reached(&self, point: Point) -> bool {
        self.file(point, "reached").exists()
    }

    /// Whether somebody has passed it since the last [`Holds::take_passed`].
    #[must_use]
    pub fn has_passed(&self, point: Point) -> bool {
        self.file(point, "passed").exists()
    }

    /// Lets whoever is held go on.
    pub fn let_go(&self, point: Point) {
        self.forget(point, "hold");
    }

    /// The points that were passed since the last call.
    #[must_use]
    pub fn take_passed(&self) -> BTreeSet<String> {
        let passed = Point::all().into_iter().filter(|point| self.file(*point, "passed").exists());
        passed.inspect(|point| self.forget(*point, "passed")).map(|point| point.to_string()).collect()
    }

    fn file(&self, point: Point, what: &str) -> PathBuf {
        self.folder.join(format!("{point}.{what}"))
    }

    fn forget(&self, point: Point, what: &str) {
        // It is not there where nobody came.
        let _ = fs::remove_file(self.file(point, what));
    }
}
