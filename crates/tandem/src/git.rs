//! What git says of a source folder: commit, branch, and what differs from the commit. A build carries it, so that
//! people know later what ran.
//!
//! Nothing fails here: a folder without git, or a git that refuses, is deployed all the same.

use std::path::Path;

use tandem_sandbox::tool::Tool;
use tandem_types::Span;
use tandem_types::build::SourceInfo;

/// git on a cold disk and a large work tree; a deploy is not held up for longer.
const TIME: Span = Span::seconds(10);
/// Most paths named; see [`SourceInfo::uncommitted`].
const MOST_PATHS: usize = 100;

/// Where the source in a folder came from, and a remark for people where git would not say.
pub(crate) async fn describe(folder: &Path) -> (SourceInfo, Option<String>) {
    let (status, subject, prefix) = tokio::join!(
        git(folder, &["status", "--porcelain=v2", "--branch", "-z", "--", "."]),
        git(folder, &["log", "-1", "--format=%s"]),
        git(folder, &["rev-parse", "--show-prefix"]),
    );
    match status {
        Ok(status) => {
            let mut info = parse_status(&status, prefix.unwrap_or_default().trim_end());
            if info.commit.is_some() {
                info.subject = subject.ok().and_then(|text| tandem_build::git::shown_subject(&text));
            }
            (info, None)
        }
        Err(Refused::Distrust) => (SourceInfo::default(), Some(distrust(folder))),
        Err(Refused::Otherwise) => (SourceInfo::default(), None),
    }
}

/// What to tell who is not trusted by git, and how to change that.
pub(crate) fn distrust(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "the commit is not recorded: git does not trust {folder}, which belongs to another user (sudo?); \
         `git config --global --add safe.directory {folder}` makes it"
    )
}

enum Refused {
    /// The work tree belongs to another user.
    Distrust,
    /// No work tree, no git, too slow.
    Otherwise,
}

async fn git(folder: &Path, arguments: &[&str]) -> Result<String, Refused> {
    // Locks would make a deploy fail a `git commit` that runs beside it.
    let call = Tool::new("git").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C").args(arguments);
    let output = call.folder(folder).run(TIME).await.map_err(|_| Refused::Otherwise)?;
    if output.code == Some(0) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let distrusts = String::from_utf8_lossy(&output.stderr).contains("dubious ownership");
    Err(if distrusts { Refused::Distrust } else { Refused::Otherwise })
}

/// Reads `git status --porcelain=v2 --branch -z`. Its paths begin at the root of the work tree; `prefix` is where the
/// folder lies in it.
fn parse_status(status: &str, prefix: &str) -> SourceInfo {
    let mut info = SourceInfo::default();
    let mut records = status.split('\0');
    while let Some(record) = records.next() {
        let Some((kind, rest)) = record.split_once(' ') else { continue };
        let path = match kind {
            "#" => {
                take_header(&mut info, rest);
                continue;
            }
            "1" => rest.splitn(8, ' ').nth(7),
            "2" => {
                // The path it was renamed from is a record of its own.
                records.next();
                rest.splitn(9, ' ').nth(8)
            }
            "u" => rest.splitn(10, ' ').nth(9),
            "?" => Some(rest),
            _ => None,
        };
        if let Some(path) = path.filter(|_| info.uncommitted.len() < MOST_PATHS) {
            info.uncommitted.push(path.strip_prefix(prefix).unwrap_or(path).to_owned());
        }
    }
    info
}

fn take_header(info: &mut SourceInfo, header: &str) {
    match header.split_once(' ') {
        Some(("branch.oid", commit)) if commit != "(initial)" => info.commit = Some(commit.to_owned()),
        Some(("branch.head", branch)) if branch != "(detached)" => info.branch = Some(branch.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_commit_branch_and_paths_below_the_folder() {
        let status = "# branch.oid 1234abcd\0# branch.head main\0# branch.upstream origin/main\0\
            1 .M N... 100644 100644 100644 aaaa bbbb app/a b.py\0\
            2 R. N... 100644 100644 100644 aaaa bbbb R100 app/new.py\0app/old.py\0\
            u UU N... 100644 100644 100644 100644 aaaa bbbb cccc app/both.py\0\
            ? app/notes.txt\0";
        let info = parse_status(status, "app/");
        assert_eq!(info.commit.as_deref(), Some("1234abcd"));
        assert_eq!(info.branch.as_deref(), Some("main"));
        assert_eq!(info.uncommitted, ["a b.py", "new.py", "both.py", "notes.txt"]);
    }

    #[test]
    fn a_repository_without_a_commit_has_none() {
        let info = parse_status("# branch.oid (initial)\0# branch.head (detached)\0", "");
        assert_eq!(info, SourceInfo::default());
    }
}
