//! The steps of one fetch: what the repository has, the commit, its submodules, the files.
//!
//! Nothing counts before the tree is in the blob store: a fetch that was cut off begins anew, with whatever the bare
//! repository has already.

use std::path::PathBuf;
use std::sync::Arc;

use tandem_blobs::BlobStore;
use tandem_blobs::store::TreeSummary;
use tandem_kit::tasks;
use tandem_sandbox::run::Outcome;
use tandem_types::build::SourceInfo;
use tandem_types::instance::Isolation;

use super::call::{AUTHORITIES, FOLDER, Setting};
use super::checkout::{self, UNPACK};
use super::leftovers;
use super::listing::{self, Submodule};
use super::refs::{self, Refs};
use super::remote::{self, Remote};
use super::why::{Why, why};
use super::{Attempt, Error, FetchRequest, Fetched, Pin, hosts, programs, shown_subject};
use crate::recipe::APP;
use crate::workshop::{Occupied, Workshop};
use crate::{Error as BuildError, uv_cache};

/// More of them is a mistake, or an attack.
const MOST_SUBMODULES: usize = 100;
/// Submodules of submodules.
const DEEPEST: usize = 8;

/// A fetch under way.
pub(crate) struct Steps<'a> {
    shop: Arc<Occupied>,
    store: BlobStore,
    isolation: Isolation,
    limit_bytes: u64,
    request: &'a FetchRequest,
    has_authorities: bool,
    programs: (String, String),
    pins: Vec<Pin>,
    warnings: Vec<String>,
    fetched: usize,
}

/// A commit that was unpacked.
struct Unpacked {
    commit: String,
    subject: Option<String>,
    submodules: Vec<Submodule>,
}

/// A submodule that is still to be fetched.
struct Waiting {
    /// The repository whose `.gitmodules` names it.
    base: Remote,
    submodule: Submodule,
    /// Its path in the source.
    path: String,
    depth: usize,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(
        shop: Arc<Occupied>,
        store: BlobStore,
        (isolation, limit_bytes): (Isolation, u64),
        request: &'a FetchRequest,
    ) -> Self {
        Self {
            shop,
            store,
            isolation,
            limit_bytes,
            request,
            has_authorities: false,
            programs: Default::default(),
            pins: Vec::new(),
            warnings: Vec::new(),
            fetched: 0,
        }
    }

    /// Fetches. With the number of files.
    pub(crate) async fn run(mut self) -> (Attempt, u64) {
        let result = self.fetch().await.map_err(|error| self.timed_out(error));
        self.limit_repository().await;
        let (result, files) = match result {
            Ok((fetched, files)) => (Ok(fetched), files),
            Err(error) => (Err(error), 0),
        };
        (Attempt { result, pins: self.pins }, files)
    }

    async fn fetch(&mut self) -> Result<(Fetched, u64), Error> {
        let remote = remote::check(&self.request.source)?;
        self.find_programs(&remote)?;
        self.prepare().await?;
        self.warnings.extend(self.shop.close_loopback().await);
        let refs = self.list(&remote).await?;
        if refs.is_sha256() {
            return Err(Error::Sha256 { url: remote.url() });
        }
        let wanted = self.request.source.reference.as_deref();
        let chosen = refs.choose(wanted).ok_or_else(|| ref_missing(&remote, wanted, &refs))?;
        self.bring(&remote, &chosen.fetch, "refs/tandem/source").await?;
        let top = self.unpack("refs/tandem/source", APP).await?;
        let info = SourceInfo {
            url: Some(remote.url()),
            reference: self.request.source.reference.clone(),
            commit: Some(top.commit),
            branch: chosen.branch,
            subject: top.subject,
            root: self.request.source.root.clone(),
            uncommitted: Vec::new(),
        };
        self.submodules(&remote, top.submodules).await?;
        let kept = self.keep().await?;
        let warnings = std::mem::take(&mut self.warnings);
        Ok((Fetched { tree: kept.digest, info, warnings }, kept.files))
    }

    fn find_programs(&mut self, remote: &Remote) -> Result<(), Error> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let git = programs::find("git").ok_or(Error::GitMissing)?;
        let ssh = programs::find("ssh").map(text);
        if remote.is_ssh() && ssh.is_none() {
            return Err(Error::SshMissing);
        }
        self.programs = (text(git), ssh.unwrap_or_default());
        Ok(())
    }

    /// Folders, known hosts, authorities; and a repository, where there is none yet.
    async fn prepare(&mut self) -> Result<(), Error> {
        let known = hosts::file_of(&self.request.known_hosts);
        // What is said to git adds to what is said to all: neither is a reason to distrust the other.
        let said = self.shop.network().variables();
        let bundles = ["GIT_SSL_CAINFO", "SSL_CERT_FILE"].map(|name| said.get(name).cloned());
        let prepared = self.blocking(move |shop, _| {
            if leftovers::give_up_if_broken(&shop.folder.join(FOLDER))? {
                tracing::info!("a fetch was killed in {}: its repository begins anew", shop.folder.display());
            }
            for folder in [shop.work("app"), shop.work("tools"), shop.folder.join(FOLDER)] {
                shop.owned_folder(&folder)?;
            }
            shop.put_tool("known_hosts", known.as_bytes())?;
            // Where the administrator has it the build's user may not look.
            let read = bundles.iter().flatten().filter_map(|path| std::fs::read(path).ok());
            let authorities = read.collect::<Vec<_>>().join(&b'\n');
            if !authorities.is_empty() {
                shop.put_tool(AUTHORITIES, &authorities)?;
            }
            Ok(!authorities.is_empty())
        });
        self.has_authorities = prepared.await?;
        let outcome = self.setting().look("\"$GIT\" init --quiet --bare --template=", &[]).await?;
        if !outcome.succeeded() {
            return Err(failed("make a repository", outcome));
        }
        Ok(())
    }

    async fn list(&mut self, remote: &Remote) -> Result<Refs, Error> {
        let command = "\"$GIT\" ls-remote --quiet --symref -- \"$URL\" >\"$TOOLS/refs\"";
        self.speak(remote, command, &[("URL", &remote.url())])
            .await?
            .map_err(|outcome| self.explain(remote, outcome, "list the branches"))?;
        let text = self.report("refs").await?;
        Ok(Refs::parse(&String::from_utf8_lossy(&text)))
    }

    /// Brings a reference or commit under a name of ours, without its history where the server can do that.
    async fn bring(&mut self, remote: &Remote, wanted: &str, name: &str) -> Result<(), Error> {
        const FETCH: &str = "\"$GIT\" fetch --quiet --no-tags --no-recurse-submodules --force";
        let url = remote.url();
        let one = format!("{wanted}:{name}");
        let shallow = format!("{FETCH} --depth 1 -- \"$URL\" \"$WHAT\"");
        let whole = format!("{FETCH} -- \"$URL\" \"$WHAT\"");
        let everything = format!(
            "{FETCH} -- \"$URL\" '+refs/heads/*:refs/tandem/heads/*' '+refs/tags/*:refs/tandem/tags/*' && \
             \"$GIT\" update-ref \"$NAME\" \"$COMMIT\""
        );
        let variables = [("URL", url.as_str()), ("WHAT", &one), ("NAME", name), ("COMMIT", wanted)];
        let mut command = shallow;
        loop {
            let Err(outcome) = self.speak(remote, &command, &variables).await? else { return Ok(()) };
            match why(&outcome.last_lines) {
                Why::NotShallow if command != whole && command != everything => command = whole.clone(),
                Why::Unadvertised if refs::is_hash(wanted) && command != everything => {
                    command = everything.clone();
                }
                Why::RefMissing => return Err(vanished(remote, wanted)),
                // Who was ended by the kernel does not always get to say so.
                _ if self.has_full_pack().await => {
                    return Err(Error::TooLarge { url: remote.url(), limit: self.limit_bytes });
                }
                _ if command == everything => return Err(commit_missing(remote, wanted)),
                _ => return Err(self.explain(remote, outcome, "fetch the commit")),
            }
        }
    }

    async fn unpack(&self, name: &str, folder: &str) -> Result<Unpacked, Error> {
        let outcome = self.setting().look(UNPACK, &[("NAME", name), ("WHERE", folder)]).await?;
        if !outcome.succeeded() {
            return Err(failed("unpack the commit", outcome));
        }
        let line = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        let (commit, subject) = (line(self.report("commit").await?), line(self.report("subject").await?));
        let submodules = listing::submodules(&self.report("tree").await?, &self.report("modules").await?);
        Ok(Unpacked { commit, subject: shown_subject(&subject), submodules })
    }

    async fn submodules(&mut self, remote: &Remote, found: Vec<Submodule>) -> Result<(), Error> {
        let waits = |base: &Remote, prefix: &str, depth: usize, found: Vec<Submodule>| -> Vec<Waiting> {
            let one = |submodule: Submodule| {
                let path = format!("{prefix}{}", submodule.path);
                Waiting { base: base.clone(), submodule, path, depth }
            };
            found.into_iter().map(one).collect()
        };
        let mut waiting = waits(remote, "", 1, found);
        while let Some(next) = waiting.pop() {
            let Waiting { base, submodule, path, depth } = next;
            let Some(url) = &submodule.url else {
                self.warnings
                    .push(format!("{path} is empty: it is a submodule that .gitmodules does not name"));
                continue;
            };
            if depth > DEEPEST {
                return Err(Error::TooManySubmodules("they lie in one another more than 8 deep"));
            }
            self.fetched += 1;
            if self.fetched > MOST_SUBMODULES {
                return Err(Error::TooManySubmodules("there are more than 100"));
            }
            let within = |source: Error| Error::Submodule { path: path.clone(), source: Box::new(source) };
            let below = base.join(url).map_err(|refused| within(refused.into()))?;
            let found = self.submodule(&below, &submodule.commit, &path).await.map_err(within)?;
            waiting.extend(waits(&below, &format!("{path}/"), depth + 1, found));
        }
        Ok(())
    }

    async fn submodule(
        &mut self,
        remote: &Remote,
        commit: &str,
        path: &str,
    ) -> Result<Vec<Submodule>, Error> {
        if remote.is_ssh() && self.programs.1.is_empty() {
            return Err(Error::SshMissing);
        }
        let name = format!("refs/tandem/submodule-{}", self.fetched);
        self.bring(remote, commit, &name).await?;
        Ok(self.unpack(&name, &format!("{APP}/{path}")).await?.submodules)
    }

    async fn keep(&mut self) -> Result<TreeSummary, Error> {
        let (shop, store, request) = (Arc::clone(&self.shop), self.store.clone(), self.request.clone());
        let kept = tasks::blocking("keep source", move || {
            let kept = checkout::keep(&shop, &store)?;
            Ok::<_, Error>((checkout::other_name(&store, &kept.digest, &request), kept))
        });
        let (warning, kept) = kept.await?;
        self.warnings.extend(warning);
        Ok(kept)
    }

    /// Whether a pack grew to the limit of one fetch.
    async fn has_full_pack(&self) -> bool {
        let limit = self.limit_bytes;
        let full = self.blocking(move |shop, _| {
            let packs = shop.folder.join(FOLDER).join("objects/pack");
            let files = std::fs::read_dir(packs).into_iter().flatten().flatten();
            let mut lengths = files.filter_map(|file| Some(file.metadata().ok()?.len()));
            Ok(lengths.any(|length| length >= limit))
        });
        full.await.unwrap_or(false)
    }

    /// What many fetches left is given up where it is more than one may bring: the next one begins anew.
    async fn limit_repository(&self) {
        let limit = self.limit_bytes;
        let limited = self.blocking(move |shop, _| {
            let folder = shop.folder.join(FOLDER);
            if uv_cache::measured(&folder).bytes >= limit {
                tandem_kit::files::remove_tree(&folder).map_err(crate::error::io_error("remove", &folder))?;
            }
            Ok(())
        });
        if let Err(error) = limited.await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "could not make a repository of sources smaller");
        }
    }

    /// Runs a command that speaks with a server, and keeps in mind which hosts it met.
    async fn speak(
        &mut self,
        remote: &Remote,
        command: &str,
        variables: &[(&str, &str)],
    ) -> Result<Result<(), Outcome>, Error> {
        let outcome = self.setting().speak(command, variables).await?;
        if remote.is_ssh()
            && let Ok(known) = self.report("known_hosts.new").await
        {
            let pins = hosts::new_pins(&self.request.known_hosts, &String::from_utf8_lossy(&known));
            self.pins.extend(pins);
            self.pins.sort();
            self.pins.dedup();
        }
        Ok(if outcome.succeeded() { Ok(()) } else { Err(outcome) })
    }

    fn explain(&self, remote: &Remote, outcome: Outcome, doing: &'static str) -> Error {
        let lines = outcome.last_lines;
        let url = remote.url();
        match why(&lines) {
            Why::HostKey(shown) => {
                let host = remote.known_as();
                let known = self.request.known_hosts.iter().filter_map(|line| line.split_once(' '));
                let pinned = known.filter(|(name, _)| *name == host);
                let pinned = pinned.filter_map(|(_, key)| hosts::fingerprint_of(key)).collect();
                Error::HostKeyChanged { host, pinned, shown }
            }
            Why::Denied => Error::Denied {
                url,
                over_ssh: (!remote.is_ssh()).then(|| remote.over_ssh()),
                app: self.request.app.clone(),
                public: self.request.key.as_ref().map(|key| key.public.clone()),
                lines,
            },
            Why::Unreachable => Error::Unreachable { url, lines },
            Why::TooLarge => Error::TooLarge { url, limit: self.limit_bytes },
            _ => Error::Failed { doing, lines },
        }
    }

    fn timed_out(&self, error: Error) -> Error {
        match error {
            Error::Build(BuildError::TimedOut { limit, .. }) => {
                Error::TimedOut { url: self.request.source.url.clone(), limit }
            }
            error => error,
        }
    }

    fn setting(&self) -> Setting<'_> {
        let shop: &Workshop = &self.shop;
        let (git, ssh) = (self.programs.0.as_str(), self.programs.1.as_str());
        let key = self.request.key.as_ref();
        let Self { has_authorities, isolation, limit_bytes, .. } = *self;
        Setting { shop, git, ssh, key, has_authorities, isolation, limit_bytes }
    }

    async fn report(&self, name: &'static str) -> Result<Vec<u8>, Error> {
        self.blocking(move |shop, _| shop.read_report(name)).await
    }

    /// Runs work on the disk where blocking is fine; it holds the workshop until it has ended.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Workshop, &BlobStore) -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, Error> {
        let (shop, store) = (Arc::clone(&self.shop), self.store.clone());
        tasks::blocking("fetch source", move || work(&shop, &store)).await.map_err(Error::Build)
    }
}

fn ref_missing(remote: &Remote, wanted: Option<&str>, refs: &Refs) -> Error {
    let reference = wanted.unwrap_or_default();
    let near = if reference.is_empty() { Vec::new() } else { refs.near(reference) };
    let is_short_hash = refs::is_short_hash(reference);
    Error::RefMissing { url: remote.url(), reference: reference.to_owned(), near, is_short_hash }
}

/// It was there when the references were listed.
fn vanished(remote: &Remote, wanted: &str) -> Error {
    let short = wanted.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
    let reference = short.to_owned();
    Error::RefMissing { url: remote.url(), reference, near: Vec::new(), is_short_hash: false }
}

fn commit_missing(remote: &Remote, commit: &str) -> Error {
    Error::CommitMissing { url: remote.url(), commit: commit.to_owned() }
}

fn failed(doing: &'static str, outcome: Outcome) -> Error {
    Error::Failed { doing, lines: outcome.last_lines }
}
