//! A commit of a repository on this machine, written into a folder of its own and sent from there.
//!
//! It is the person's own git, with the person's own configuration: what `git clone` would give them is what is sent, files
//! of Git LFS too where git-lfs is set up. Uncommitted files play no part, and ignore rules neither: what is committed is
//! meant.

use std::path::{Path, PathBuf};

use tandem_sandbox::tool::Tool;
use tandem_types::Span;
use tandem_types::build::SourceInfo;

use super::{Sent, push, scan_uncached};
use crate::failure::Failure;
use crate::git;
use crate::output::count;
use crate::session::Session;

/// A large commit on a cold disk.
const TIME: Span = Span::minutes(5);
/// What a listing may hold: the names of hundreds of thousands of files.
const MOST_BYTES: usize = 64 << 20;
/// Submodules within each other; more is a circle.
const DEEPEST: usize = 8;
/// Names that are told.
const NAMES_SHOWN: usize = 5;

/// A commit in a folder that is gone with this.
pub(crate) struct Taken {
    folder: tempfile::TempDir,
    /// Where the folder that was named lies in the repository.
    prefix: String,
    info: SourceInfo,
}

impl Taken {
    /// The folder that was named, as it is in the commit.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("tree").join(&self.prefix)
    }
}

/// Writes a commit into a folder of its own.
///
/// # Errors
///
/// No repository, no such commit, or one without that folder, a submodule that is not here, a pointer of Git LFS in place of a file.
pub(crate) async fn take(session: &Session, folder: &Path, reference: &str) -> Result<Taken, Failure> {
    let commit = resolve(folder, reference).await?;
    let prefix = text(folder, &["rev-parse", "--show-prefix"]).await?;
    let scratch = tempfile::tempdir().map_err(|e| Failure::chain("make a folder for the commit", &e))?;
    let tree = scratch.path().join("tree");
    let subject = text(folder, &["log", "-1", "--no-show-signature", "--format=%s", &commit]).await?;
    // By its full name: `main~1` is a commit of a branch, and none itself.
    let branch = format!("refs/heads/{reference}");
    let is_branch = text(folder, &["show-ref", "--verify", "--quiet", &branch]).await;
    check_out(folder, &commit, &tree).await?;
    let taken = Taken {
        folder: scratch,
        prefix: prefix.trim_end_matches('/').to_owned(),
        info: SourceInfo {
            reference: Some(reference.to_owned()),
            commit: Some(commit),
            branch: is_branch.is_ok().then(|| reference.to_owned()),
            subject: tandem_build::git::shown_subject(&subject),
            ..SourceInfo::default()
        },
    };
    if !taken.folder().is_dir() {
        let shown = folder.display();
        return Err(Failure::new(format!("{shown} is not in {reference}"))
            .hint(format!("name a commit that has it: `git -C {shown} log --all -- .` lists them")));
    }
    refuse_pointers(&taken.folder())?;
    let (work_tree, _) = git::describe(folder).await;
    let changed = work_tree.uncommitted.len() as u64;
    if changed > 0 {
        let files = count(changed, "uncommitted file plays", "uncommitted files play");
        session.output.note(format!("{files} no part: {reference} is sent as it was committed"));
    }
    Ok(taken)
}

/// Sends what the server misses of it; `root` is the app's folder in it, where that is not all.
///
/// # Errors
///
/// A link that leads out of it, a server that is gone.
pub(crate) async fn send(session: &Session, taken: &Taken, root: Option<&str>) -> Result<Sent, Failure> {
    let folder = taken.folder();
    let info = SourceInfo { root: root.map(str::to_owned), ..taken.info.clone() };
    // Ignored files too, since they were committed.
    let scan = scan_uncached(session, &folder, vec!["*".to_owned()]).await?;
    push(session.client()?, session, &scan, info).await
}

async fn resolve(folder: &Path, reference: &str) -> Result<String, Failure> {
    if reference.starts_with('-') {
        return Err(Failure::usage(format!("{reference:?} is no name of a branch, tag or commit")));
    }
    let wanted = format!("{reference}^{{commit}}");
    if let Ok(commit) = text(folder, &["rev-parse", "--verify", "--quiet", &wanted]).await {
        return Ok(commit);
    }
    // Whether this is a repository at all is said better by this.
    let names =
        text(folder, &["for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags"]).await?;
    let names: Vec<&str> = names.lines().take(NAMES_SHOWN).collect();
    let failure = Failure::new(format!("{} has no branch, tag or commit {reference}", folder.display()));
    Err(match names.as_slice() {
        [] => failure.hint("it has no commit yet: `git commit` makes the first"),
        names => failure.hint(format!("it has {}", names.join(", "))),
    })
}

/// Writes the files of a commit, and of its submodules at their commits.
async fn check_out(repository: &Path, commit: &str, folder: &Path) -> Result<(), Failure> {
    let mut waiting = vec![(repository.to_owned(), commit.to_owned(), folder.to_owned(), String::new(), 0)];
    while let Some((repository, commit, folder, below, depth)) = waiting.pop() {
        write_files(&repository, &commit, &folder).await?;
        for (path, commit) in submodules(&repository, &commit).await? {
            let inner = top_of(&repository).await?.join(&path);
            let shown = format!("{below}{path}");
            let object = format!("{commit}^{{commit}}");
            let is_here = inner.join(".git").exists() && depth < DEEPEST;
            if !is_here || text(&inner, &["cat-file", "-e", &object]).await.is_err() {
                return Err(Failure::new(format!(
                    "the commit {commit} of the submodule {shown} is not here"
                ))
                .hint(format!("git -C {} submodule update --init --recursive", repository.display())));
            }
            waiting.push((inner, commit, folder.join(&path), format!("{shown}/"), depth + 1));
        }
    }
    Ok(())
}

async fn write_files(repository: &Path, commit: &str, folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|e| Failure::chain("make a folder for the commit", &e))?;
    let directory = text(repository, &["rev-parse", "--absolute-git-dir"]).await?;
    let index =
        tempfile::NamedTempFile::new().map_err(|e| Failure::chain("make an index of the commit", &e))?;
    // git wants to make it itself.
    let index = index.into_temp_path();
    let _ = std::fs::remove_file(&index);
    for arguments in [&["read-tree", commit][..], &["checkout-index", "--all", "--force", "--quiet"]] {
        let call = Tool::new("git").env("GIT_DIR", &directory).env("GIT_WORK_TREE", folder);
        let call =
            call.env("GIT_INDEX_FILE", index.as_os_str()).env("LC_ALL", "C").args(arguments).folder(folder);
        call.run_ok(TIME).await.map_err(|e| Failure::chain("write the files of the commit", &e))?;
    }
    Ok(())
}

async fn submodules(repository: &Path, commit: &str) -> Result<Vec<(String, String)>, Failure> {
    let listing = text(repository, &["ls-tree", "-r", "-z", "--full-tree", commit]).await?;
    let links = listing.split('\0').filter_map(|entry| entry.strip_prefix("160000 commit "));
    Ok(links
        .filter_map(|link| link.split_once('\t'))
        .map(|(commit, path)| (path.to_owned(), commit.to_owned()))
        .collect())
}

/// Where the paths of a repository begin; a bare one has no submodules beside it.
async fn top_of(repository: &Path) -> Result<PathBuf, Failure> {
    let top = text(repository, &["rev-parse", "--show-toplevel"]).await;
    Ok(top.map_or_else(|_| repository.to_owned(), PathBuf::from))
}

async fn text(folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let call = Tool::new("git").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C").args(arguments);
    let output = call.folder(folder).output_limit(MOST_BYTES).run(TIME).await;
    let output = output.map_err(|e| {
        Failure::chain("ask git", &e).hint("--ref takes a commit from git: apt-get install git")
    })?;
    if output.code == Some(0) {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("dubious ownership") {
        return Err(Failure::new(git::distrust(folder)));
    }
    let failure = Failure::new(format!("git does not say what --ref means in {}", folder.display()));
    Err(failure
        .detail(said.trim().to_owned())
        .hint("--ref needs a folder in a git repository, or a bare one"))
}

fn refuse_pointers(folder: &Path) -> Result<(), Failure> {
    let pointers = tandem_build::git::pointers_below(folder);
    let pointers = pointers.map_err(|e| Failure::chain("look for pointers of Git LFS", &e))?;
    if pointers.is_empty() { Ok(()) } else { Err(tandem_build::git::lfs_problem(&pointers).into()) }
}
