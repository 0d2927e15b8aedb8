//! What of a source folder is left out, and what of that comes back.

use std::path::{Component, Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::Error;

/// What becomes of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken; what is in a folder is judged by itself.
    Take,
    /// Taken with everything in it: an `include` pattern names it.
    TakeAll,
    /// An ignored folder in which something may be that an `include` pattern names.
    OnlyIncluded,
    /// Not taken.
    LeaveOut,
}

/// Never part of a source, not even by `include`: what tools keep beside it.
pub(super) fn is_never_source(path: &Path, is_folder: bool) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == ".git" || is_folder && (name == "__pycache__" || path.join("pyvenv.cfg").is_file())
}

/// The `.gitignore` files that count at the present folder, outermost first.
pub(super) struct Ignores {
    matchers: Vec<Gitignore>,
}

impl Ignores {
    /// Those above a folder, up to the root of the repository that it is in. Without a repository there are none: a
    /// `.gitignore` in a home folder is about something else.
    pub(super) fn above(root: &Path) -> Self {
        let above: Vec<&Path> = root.ancestors().collect();
        let top = above.iter().position(|folder| folder.join(".git").exists()).unwrap_or(0);
        let matchers = above[..=top].iter().skip(1).rev().map(|folder| matcher(folder)).collect();
        Self { matchers }
    }

    pub(super) fn enter(&mut self, folder: &Path) {
        self.matchers.push(matcher(folder));
    }

    pub(super) fn leave(&mut self) {
        self.matchers.pop();
    }

    /// The innermost file that has something to say decides, as in git.
    pub(super) fn is_ignored(&self, path: &Path, is_folder: bool) -> bool {
        let verdicts = self.matchers.iter().rev().map(|matcher| matcher.matched(path, is_folder));
        verdicts.into_iter().find(|verdict| !verdict.is_none()).is_some_and(|verdict| verdict.is_ignore())
    }
}

fn matcher(folder: &Path) -> Gitignore {
    let file = folder.join(".gitignore");
    if !file.is_file() {
        return Gitignore::empty();
    }
    let (matcher, problem) = Gitignore::new(&file);
    if let Some(problem) = problem {
        // As git does: lines that are no patterns do nothing.
        tracing::debug!(%problem, path = %file.display(), "skipped lines that are no patterns");
    }
    matcher
}

/// The patterns that bring ignored files back.
pub(super) struct Include {
    matcher: Gitignore,
    /// Folder that everything a pattern names is in; empty where that can be anywhere.
    stems: Vec<PathBuf>,
}

impl Include {
    pub(super) fn new(patterns: &[String]) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            let refuse = |source| Error::Pattern { pattern: pattern.clone(), source };
            builder.add_line(None, pattern).map_err(refuse)?;
        }
        let matcher =
            builder.build().map_err(|source| Error::Pattern { pattern: patterns.join(" "), source })?;
        Ok(Self { matcher, stems: patterns.iter().map(|pattern| stem(pattern)).collect() })
    }

    /// What becomes of something that is ignored.
    pub(super) fn verdict(&self, below: &Path, is_folder: bool) -> Verdict {
        match self.matcher.matched(below, is_folder) {
            Match::Ignore(_) => Verdict::TakeAll,
            Match::Whitelist(_) => Verdict::LeaveOut,
            Match::None if is_folder && self.may_be_in(below) => Verdict::OnlyIncluded,
            Match::None => Verdict::LeaveOut,
        }
    }

    /// Whether a pattern may name something in this folder: keeps a scan out of `node_modules`.
    fn may_be_in(&self, folder: &Path) -> bool {
        self.stems.iter().any(|stem| stem.starts_with(folder) || folder.starts_with(stem))
    }
}

/// The part of a pattern before its first wildcard, where the pattern is bound to the root.
fn stem(pattern: &str) -> PathBuf {
    let bound = pattern.trim_end_matches('/').contains('/');
    if !bound {
        return PathBuf::new();
    }
    let literal = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '\\']);
    let parts = Path::new(pattern.trim_start_matches('/')).components();
    parts.take_while(literal).collect()
}
