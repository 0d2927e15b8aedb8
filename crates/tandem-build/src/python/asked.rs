//! Which Python a source asks for, and which file says so.
//!
//! In this order: `[build] python` of `tandem.toml`, `.python-version`, `requires-python` of `pyproject.toml` (or of the
//! lock beside it), `runtime.txt`. What names one version (`3.12.4`) means its minor version, as package indexes do; what
//! names a range (PEP 440) is obeyed to the last digit, since uv would refuse the others.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

use crate::Error;
use crate::requirements::Requirements;
use crate::source::Source;
use tandem_app_file::APP_FILE;

/// File of pyenv and uv.
const VERSION_FILE: &str = ".python-version";
/// File of Heroku and its kin.
const RUNTIME_FILE: &str = "runtime.txt";
/// Patch versions that are tried for a minor one; the longest series so far had 20.
const MOST_PATCHES: u64 = 99;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `3.12`, `3.12.4`, `>=3.12,<4`.
    pub(crate) text: String,
    /// The file and, where it has several, the key: `.python-version`, `requires-python in pyproject.toml`.
    pub(crate) by: String,
    /// One of them must hold.
    ranges: Vec<VersionSpecifiers>,
    /// The whole version, where one is named.
    exact: Option<Version>,
}

impl Asked {
    /// Reads a version (`3`, `3.12`, `3.12.4`, `cpython-3.12`, `3.x`) or a range (`>=3.11,<3.14`, `~=3.12`, `^3.11`).
    pub(crate) fn parse(text: &str, by: impl Into<String>) -> Option<Self> {
        let text = text.trim();
        let bare = ["cpython", "python"].iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text);
        let bare = bare.trim_start_matches(['-', '@']).trim();
        let by = by.into();
        if bare.starts_with(['>', '<', '!', '~', '=', '^']) {
            let range = VersionSpecifiers::from_str(&of_other_tools(bare)?).ok()?;
            return Some(Self { text: bare.to_owned(), by, ranges: vec![range], exact: None });
        }
        let plain = bare.trim_end_matches("-dev").trim_end_matches(".x").trim_end_matches(".*");
        let version = Version::from_str(plain).ok()?;
        let (range, exact) = match version.release() {
            [major] => (format!("=={major}.*"), None),
            [major, minor] => (format!("=={major}.{minor}.*"), None),
            [major, minor, ..] => (format!("=={major}.{minor}.*"), Some(version.clone())),
            [] => return None,
        };
        Some(Self { text: plain.to_owned(), by, ranges: vec![range.parse().ok()?], exact })
    }

    /// A range that somebody else found out, such as uv.
    pub(crate) fn of_range(range: &str, by: impl Into<String>) -> Option<Self> {
        let range = VersionSpecifiers::from_str(range).ok()?;
        Some(Self { text: range.to_string(), by: by.into(), ranges: vec![range], exact: None })
    }

    /// One of these minor versions, in rising order.
    pub(crate) fn of_minors(minors: &[u32], by: impl Into<String>) -> Option<Self> {
        let ranges = minors
            .iter()
            .map(|minor| format!("==3.{minor}.*").parse())
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        let text = minors.iter().map(|minor| format!("3.{minor}")).collect::<Vec<_>>().join(" or ");
        (!minors.is_empty()).then(|| Self { text, by: by.into(), ranges, exact: None })
    }

    /// Whether some Python 3 of this minor version would do.
    pub(crate) fn fits_minor(&self, minor: u32) -> bool {
        (0..=MOST_PATCHES).any(|patch| self.has(&Version::new([3, u64::from(minor), patch])))
    }

    /// Whether this very version will do: `3.12.4`.
    pub(crate) fn admits(&self, version: &str) -> bool {
        // A release candidate of 3.15 is one for `>=3.15`: what people install, they mean.
        version.parse::<Version>().is_ok_and(|version| self.has(&version.only_release()))
    }

    fn has(&self, version: &Version) -> bool {
        self.ranges.iter().any(|range| range.contains(version))
    }

    /// Whether this is the very version that was named.
    pub(crate) fn is_exactly(&self, version: &str) -> bool {
        self.exact
            .as_ref()
            .is_some_and(|exact| version.parse().is_ok_and(|version: Version| version == *exact))
    }

    /// Whether one version was named with all its digits.
    pub(crate) fn names_patch(&self) -> bool {
        self.exact.is_some()
    }

    /// Whether any minor version of Python 3 could do.
    pub(crate) fn is_possible(&self) -> bool {
        (0..100).any(|minor| self.fits_minor(minor))
    }

    /// As uv is asked for it: `3.12`, `>=3.12, <4`.
    pub(crate) fn request(&self) -> String {
        match &self.exact {
            Some(exact) => exact.release()[..2].iter().map(u64::to_string).collect::<Vec<_>>().join("."),
            // Of several the latest.
            None => self.text.rsplit(" or ").next().unwrap_or(&self.text).to_owned(),
        }
    }

    /// The minor version that is asked for, where it is one: `3.12`. Debian's packages are named by it.
    pub(crate) fn only_minor(&self) -> Option<String> {
        let mut fitting = (0..100).filter(|minor| self.fits_minor(*minor));
        let first = fitting.next()?;
        fitting.next().is_none().then(|| format!("3.{first}"))
    }
}

/// Poetry's `^3.11` and `~3.11` in the words of PEP 440; everything else as it is.
fn of_other_tools(range: &str) -> Option<String> {
    if let Some(version) = range.strip_prefix('^') {
        let major = Version::from_str(version).ok()?.release().first().copied()?;
        return Some(format!(">={version},<{}", major + 1));
    }
    if let Some(version) = range.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        let version = Version::from_str(version).ok()?;
        let [major, minor, ..] = version.release() else { return Some(format!("=={version}.*")) };
        return Some(format!(">={version},=={major}.{minor}.*"));
    }
    match range.strip_prefix('=').filter(|rest| !rest.starts_with('=')) {
        Some(version) => Some(format!("=={version}")),
        None => Some(range.to_owned()),
    }
}

/// What is asked for, and what people should know about how it was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) asked: Option<Asked>,
    pub(crate) notes: Vec<String>,
}

/// Looks into the files of the working folder and those above it; `key` is `[build] python`.
///
/// # Errors
/// A version or range that cannot be understood, where nothing but one can be meant.
pub(crate) fn read(
    source: &Source,
    folder: &str,
    key: Option<&str>,
    requirements: Option<&Requirements>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    if let Some(text) = key {
        let reason =
            || format!("[build] python = {text:?} is no version of CPython, such as \"3.12\" or \">=3.11\"");
        let asked = Asked::parse(text, format!("[build] python in {APP_FILE}"));
        found.asked = Some(asked.ok_or_else(|| malformed(APP_FILE, reason()))?);
        return Ok(found);
    }
    if let Some(path) = source.nearest(folder, VERSION_FILE) {
        let text = source.text(&path)?.unwrap_or_default();
        // pyenv's plug-ins keep names of environments there.
        found.look_into(&path, &text);
        if found.asked.is_some() {
            return Ok(found);
        }
    }
    if let Some((text, file)) = requirements.and_then(|requirements| requirements.requires_python.as_ref()) {
        let asked = Asked::of_range(text, format!("requires-python in {file}"));
        let reason =
            || format!("requires-python = {text:?} is no range of versions, such as \">=3.11\" (PEP 440)");
        found.asked = Some(asked.ok_or_else(|| malformed(file, reason()))?);
        return Ok(found);
    }
    if let Some(path) = source.nearest(folder, RUNTIME_FILE) {
        found.look_into(&path, &source.text(&path)?.unwrap_or_default());
    }
    Ok(found)
}

impl Found {
    /// Takes the first version of a file, or says that what it has is none.
    fn look_into(&mut self, path: &str, text: &str) {
        self.asked = plain_lines(text).find_map(|line| Asked::parse(line, path));
        let line = plain_lines(text).next().filter(|_| self.asked.is_none());
        self.notes.extend(line.map(|line| {
            format!("{path} says {line:?}, which is no version of CPython, and is not heeded; [build] python in {APP_FILE} decides")
        }));
    }
}

fn plain_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn malformed(path: &str, reason: String) -> Error {
    Error::Malformed { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use tandem_blobs::BlobStore;

    use super::*;
    use crate::requirements;

    fn fitting(text: &str) -> Vec<u32> {
        let asked = Asked::parse(text, "x").unwrap_or_else(|| panic!("{text} is understood"));
        (8..15).filter(|minor| asked.fits_minor(*minor)).collect()
    }

    #[test]
    fn versions_and_all_operators_of_pep_440_are_understood() {
        for (text, minors) in [
            ("3.12", &[12][..]),
            ("3.12.4", &[12]),
            ("3.13.0rc1", &[13]),
            ("cpython-3.11", &[11]),
            ("python-3.11.9", &[11]),
            ("cpython@3.10", &[10]),
            ("3.12-dev", &[12]),
            ("3.x", &[8, 9, 10, 11, 12, 13, 14]),
            ("3", &[8, 9, 10, 11, 12, 13, 14]),
            ("2.7", &[]),
            (">=3.12", &[12, 13, 14]),
            (">=3.12.1, <4", &[12, 13, 14]),
            (">3.11.4,<3.13", &[11, 12]),
            ("~=3.12", &[12, 13, 14]),
            ("~=3.12.1", &[12]),
            ("==3.11.*", &[11]),
            ("==3.11.4", &[11]),
            ("===3.11.4", &[11]),
            ("!=3.11.*,>=3.10,<=3.12", &[10, 12]),
            ("^3.12", &[12, 13, 14]),
            ("~3.12", &[12]),
            ("=3.12.1", &[12]),
        ] {
            assert_eq!(fitting(text), minors, "{text}");
        }
        for text in ["pypy3.10", "my-env", "3.13t", "", "system", ">=", "^x", "3.12; rm"] {
            assert_eq!(Asked::parse(text, "x"), None, "{text}");
        }
    }

    #[test]
    fn a_range_is_obeyed_to_the_last_digit_and_a_version_to_its_minor_one() {
        let asked = |text| Asked::parse(text, "x").unwrap();
        assert!(!asked(">=3.12.1").admits("3.12.0") && asked(">=3.12.1").admits("3.12.1"));
        assert!(asked("3.12.4").admits("3.12.0") && asked("3.12.4").is_exactly("3.12.4"));
        assert!(!asked("3.12.4").is_exactly("3.12.0") && !asked("3.12").is_exactly("3.12.0"));
        assert!(asked(">=3.15").admits("3.15.0rc2"));
        assert_eq!(asked("3.12.4").request(), "3.12");
        assert_eq!(asked("cpython-3.12").request(), "3.12");
        assert_eq!(asked(">=3.12, <4").request(), ">=3.12, <4");
        assert_eq!(asked(">=3.12,<3.13").only_minor().as_deref(), Some("3.12"));
        assert_eq!(asked(">=3.12").only_minor(), None);
        assert!(!asked("2.7").is_possible() && asked(">=3.40").is_possible());
    }

    fn asked(files: &[(&str, &str)], folder: &str, key: Option<&str>) -> Result<Found, Error> {
        let disk = tempfile::tempdir().unwrap();
        let store = BlobStore::open(disk.path()).unwrap();
        let source = Source::of(&store, files);
        let options = requirements::Options { folder, ..requirements::Options::default() };
        let requirements = requirements::read(&source, &options).unwrap();
        read(&source, folder, key, requirements.as_ref())
    }

    #[test]
    fn what_is_nearer_to_the_app_wins() {
        let project = ("pyproject.toml", "[project]\nname = \"x\"\nrequires-python = \">=3.10\"\n");
        let version = (".python-version", "# ours\n\n3.12.4\n3.11\n");
        let near = ("api/.python-version", "3.13\n");
        let runtime = ("runtime.txt", "python-3.11.9\n");
        for (files, folder, key, text, by) in [
            (
                &[project, version, near, runtime][..],
                "api",
                Some("3.14"),
                "3.14",
                "[build] python in tandem.toml",
            ),
            (&[project, version, near, runtime], "api", None, "3.13", "api/.python-version"),
            (&[project, version, near, runtime], "", None, "3.12.4", ".python-version"),
            (&[project, version, runtime], "api", None, "3.12.4", ".python-version"),
            (&[project, runtime], "api", None, ">=3.10", "requires-python in pyproject.toml"),
            (&[runtime], "api/deep", None, "3.11.9", "runtime.txt"),
        ] {
            let found = asked(files, folder, key).unwrap();
            let asked = found.asked.unwrap();
            assert_eq!((asked.text.as_str(), asked.by.as_str()), (text, by));
            assert_eq!(found.notes, [""; 0]);
        }
        assert_eq!(asked(&[], "", None).unwrap().asked, None);
    }

    #[test]
    fn what_is_no_version_is_told() {
        let found =
            asked(&[(".python-version", "shop-env\n"), ("runtime.txt", "python-3.11.9")], "", None).unwrap();
        assert_eq!(found.asked.unwrap().by, "runtime.txt");
        assert!(
            found.notes[0].contains("\"shop-env\"") && found.notes[0].contains("[build] python"),
            "{:?}",
            found.notes
        );
        let found = asked(&[("runtime.txt", "pypy-3.10\n")], "", None).unwrap();
        assert_eq!(found.asked, None);
        assert!(
            found.notes[0].starts_with("runtime.txt says \"pypy-3.10\", which is no version"),
            "{:?}",
            found.notes
        );
        let error = asked(&[], "", Some("pypy3.10")).unwrap_err().to_problem();
        assert!(error.title.contains("tandem.toml") && error.title.contains("pypy3.10"), "{error:?}");
        let project = ("pyproject.toml", "[project]\nname = \"x\"\nrequires-python = \"3,10\"\n");
        let error = asked(&[project], "", None).unwrap_err().to_problem();
        assert!(error.title.contains("pyproject.toml") && error.title.contains("PEP 440"), "{error:?}");
    }
}
