//! A builder that may reach the servers of a test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use tandem_blobs::BlobStore;
use tandem_build::git::{Attempt, Error, FetchRequest, Fetched, KeyPair, TIMEOUT};
use tandem_build::{Builder, BuilderConfig};
use tandem_kit::clock::Clock;
use tandem_kit::paths::DataDir;
use tandem_sandbox::packet_rules::Tables;
use tandem_sandbox::{cgroup, isolation};
use tandem_testkit::git_server::GitServer;
use tandem_types::defaults;
use tandem_types::event::Event;
use tandem_types::git::GitSource;
use tandem_types::problem::Problem;
use tandem_types::tree::Entry;

/// See the module.
pub(super) struct Bench {
    _folder: tempfile::TempDir,
    pub(super) data: DataDir,
    pub(super) store: BlobStore,
    pub(super) builder: Builder,
    pub(super) key: Option<KeyPair>,
    pub(super) known_hosts: Vec<String>,
    pub(super) events: Mutex<Vec<Event>>,
}

impl Bench {
    /// Trusts the server's authority, and may reach it and what else is named.
    pub(super) async fn of(server: &GitServer, others: &[String]) -> Self {
        let open = [&[server.address()], others].concat().join(" ");
        let authority = server.authority().display().to_string();
        let network = [("TANDEM_BUILD_LOOPBACK", open), ("SSL_CERT_FILE", authority)];
        Self::with(&network, |_| {}).await
    }

    pub(super) async fn with(network: &[(&str, String)], set_up: impl FnOnce(&mut BuilderConfig)) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let data = DataDir::open(&folder.path().join("data")).expect("a new folder can be opened");
        let store = BlobStore::open(data.blobs()).expect("a new store can be opened");
        let (isolation, _) = tandem_kit::tasks::blocking("look for a sandbox", isolation).await;
        let mut config = BuilderConfig::new(data.clone(), store.clone(), Clock::system(), isolation);
        config.network = network.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        set_up(&mut config);
        let builder = Builder::new(config);
        let (key, known_hosts, events) = (None, Vec::new(), Mutex::default());
        Self { _folder: folder, data, store, builder, key, known_hosts, events }
    }

    pub(super) async fn attempt(&self, url: &str, reference: Option<&str>) -> Attempt {
        let request = FetchRequest {
            app: "shop".parse().expect("a valid name"),
            source: GitSource { url: url.to_owned(), reference: reference.map(str::to_owned), root: None },
            uid: defaults::FIRST_UID,
            key: self.key.clone(),
            known_hosts: self.known_hosts.clone(),
            timeout: TIMEOUT,
        };
        let note = |event| self.events.lock().expect("no thread panics with events").push(event);
        let attempt = self.builder.fetch(request, &note).await;
        let left = self.folder().join("work");
        assert!(!left.exists(), "a fetch left {} behind", left.display());
        attempt
    }

    pub(super) async fn fetch(&self, url: &str, reference: Option<&str>) -> Fetched {
        let fetched = self.attempt(url, reference).await.result;
        fetched.unwrap_or_else(|error: Error| panic!("{url}: {:?}", error.to_problem()))
    }

    pub(super) async fn problem(&self, url: &str, reference: Option<&str>) -> Problem {
        let result = self.attempt(url, reference).await.result;
        result.expect_err("it is refused").to_problem()
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.data.build().join("shop")
    }

    /// Path → content, `-> TARGET` for a link; executable files with a star.
    pub(super) fn files(&self, fetched: &Fetched) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        let mut waiting = vec![(String::new(), fetched.tree)];
        while let Some((prefix, digest)) = waiting.pop() {
            for (name, entry) in self.store.read_tree(&digest).expect("a whole tree").entries {
                let path = format!("{prefix}{name}");
                match entry {
                    Entry::Folder { digest } => waiting.push((format!("{path}/"), digest)),
                    Entry::Link { target } => drop(files.insert(path, format!("-> {target}"))),
                    Entry::File { digest, executable, .. } => {
                        let content = self.store.read(&digest).expect("a whole tree");
                        let star = if executable { "*" } else { "" };
                        files.insert(path + star, String::from_utf8_lossy(&content).into_owned());
                    }
                }
            }
        }
        files
    }

    /// What the part `fetch` ended with, last.
    pub(super) fn note(&self) -> String {
        let events = self.events.lock().expect("no thread panics with events");
        let note = events.iter().rev().find_map(|event| match event {
            Event::Part { name, duration_ms: Some(_), note } if name == "fetch" => Some(note.clone()),
            _ => None,
        });
        note.expect("something was fetched")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let tables = Tables::of(&self.data);
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(tables.remove()).is_ok())
        });
        let _ = removed.join();
        cgroup::remove_parent(&self.data.cgroup_name());
        let _ = self.data.remove_runtime();
    }
}
