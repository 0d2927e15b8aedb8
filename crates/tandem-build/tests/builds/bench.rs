//! A builder in its own data folder, and a source that can be changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tandem_blobs::BlobStore;
use tandem_blobs::ingest::{Rules, ingest_folder};
use tandem_build::{BuildRequest, Builder, BuilderConfig, Error, tools};
use tandem_kit::clock::Clock;
use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_sandbox::packet_rules::Tables;
use tandem_sandbox::{cgroup, isolation};
use tandem_types::build::{Build, SourceInfo};
use tandem_types::event::Event;
use tandem_types::instance::Isolation;
use tandem_types::{BuildNumber, Span, defaults};

/// A builder, its folders and what it told.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    data: DataDir,
    pub(crate) store: BlobStore,
    builder: Builder,
    config: BuilderConfig,
    events: Mutex<Vec<Event>>,
}

/// A small file system over a folder, which is gone with this, also where a test fails. Needs root.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Over this folder, which is made; with these options of `tmpfs`.
    pub(crate) fn over(folder: &Path, options: &str) -> Self {
        fs::create_dir_all(folder).expect("a new folder can be made");
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("root may mount");
        Self(folder.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A test that failed has more to say than this.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// uv is downloaded once for all tests of this target folder.
pub(crate) async fn shared_uv() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-uv");
    let data = DataDir::open(&folder).expect("a folder of the target folder can be made");
    tools::ensure_uv(&data, &Clock::system(), &|_| {}).await.expect("uv can be installed")
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A bench whose builder is set up otherwise.
    pub(crate) async fn with(set_up: impl FnOnce(&mut BuilderConfig)) -> Self {
        let uv = shared_uv().await;
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let data = DataDir::open(&folder.path().join("data")).expect("a new folder can be opened");
        files::ensure_dir(&data.tools(), 0o700).expect("a new folder can be made");
        let own = data.tools().join("uv");
        fs::hard_link(&uv, &own).or_else(|_| fs::copy(&uv, &own).map(|_| ())).expect("uv can be copied");
        let store = BlobStore::open(data.blobs()).expect("a new store can be opened");
        let (isolation, _) = tandem_kit::tasks::blocking("look for a sandbox", isolation).await;
        let mut config = BuilderConfig::new(data.clone(), store.clone(), Clock::system(), isolation);
        set_up(&mut config);
        Self { folder, data, store, builder: Builder::new(config.clone()), config, events: Mutex::default() }
    }

    /// The builder of the next process.
    pub(crate) fn next_start(&self) -> Builder {
        Builder::new(self.config.clone())
    }

    /// How commands are kept apart here.
    pub(crate) fn isolation(&self) -> Isolation {
        self.config.isolation
    }

    /// Folder of Tandem's own interpreters.
    pub(crate) fn pythons(&self) -> PathBuf {
        self.data.pythons()
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.source().join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("a new folder can be made");
        files::write_atomic_unsynced(&path, text.as_bytes(), 0o644).expect("a source file can be written");
    }

    /// Builds what is in the source folder now; events of earlier builds are forgotten.
    pub(crate) async fn build(&self) -> Result<Build, Error> {
        self.build_within(defaults::BUILD_TIMEOUT).await
    }

    pub(crate) async fn build_within(&self, timeout: Span) -> Result<Build, Error> {
        let built = self.build_unchecked(timeout).await;
        let left = self.build_folder().join("work");
        assert!(!left.exists(), "a build left {} behind", left.display());
        built
    }

    /// As [`Bench::build_within`], whatever it leaves behind.
    pub(crate) async fn build_unchecked(&self, timeout: Span) -> Result<Build, Error> {
        let tree = ingest_folder(&self.source(), &self.store, &Rules::default())
            .expect("the source can be kept")
            .digest;
        let request = BuildRequest {
            app: "shop".parse().expect("a valid name"),
            number: BuildNumber(1),
            tree,
            source: SourceInfo { uncommitted: vec!["a.py".to_owned()], ..SourceInfo::default() },
            uid: defaults::FIRST_UID,
            timeout,
        };
        self.events.lock().expect("no thread panics with events").clear();
        let note = |event| self.events.lock().expect("no thread panics with events").push(event);
        self.builder.build(request, &note).await
    }

    /// Folder of the app's caches.
    pub(crate) fn build_folder(&self) -> PathBuf {
        self.data.build().join("shop")
    }

    /// Parent of the builds' control groups.
    pub(crate) fn cgroup(&self) -> String {
        self.data.cgroup_name()
    }

    /// No process of the build's user and no control group of a build is left.
    #[track_caller]
    pub(crate) fn expect_nothing_running(&self) {
        use std::os::unix::fs::MetadataExt as _;
        let user = Tables::of(&self.data).build_uid(defaults::FIRST_UID);
        let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
        let own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.uid() == user);
        let own: Vec<_> = processes.filter(own).map(|entry| entry.path()).collect();
        assert!(own.is_empty(), "{own:?} still run");
        let groups = cgroup::list(&self.cgroup()).expect("control groups can be listed");
        assert!(!groups.iter().any(|name| name.starts_with("build-")), "{groups:?} are left");
    }

    /// Files and folders in the app's folder.
    pub(crate) fn entries(&self) -> usize {
        let mut waiting = vec![self.build_folder()];
        let mut count = 0;
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
                count += 1;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(entry.path());
                }
            }
        }
        count
    }

    /// What uv keeps for the app.
    pub(crate) fn uv_cache_bytes(&self) -> u64 {
        fn below(folder: &Path) -> u64 {
            let entries = fs::read_dir(folder).expect("a cache can be listed").flatten();
            let size = |entry: fs::DirEntry| {
                let metadata = entry.metadata().expect("it was just listed");
                if metadata.is_dir() { below(&entry.path()) } else { metadata.len() }
            };
            entries.map(size).sum()
        }
        below(&self.build_folder().join("uv"))
    }

    /// Warnings of the build before.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().expect("no thread panics with events");
        let warning = |event: &Event| match event {
            Event::Warning { text } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(warning).collect()
    }

    /// What the build before took for granted.
    pub(crate) fn notes(&self) -> Vec<String> {
        let events = self.events.lock().expect("no thread panics with events");
        let note = |event: &Event| match event {
            Event::Note { text } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(note).collect()
    }

    /// What all parts of a name ended with.
    pub(crate) fn parts(&self, part: &str) -> Vec<String> {
        let events = self.events.lock().expect("no thread panics with events");
        let note = |event: &Event| match event {
            Event::Part { name, duration_ms: Some(_), note } if name == part => Some(note.clone()),
            _ => None,
        };
        events.iter().filter_map(note).collect()
    }

    /// What parts of the build before ended with.
    pub(crate) fn note(&self, part: &str) -> String {
        let events = self.events.lock().expect("no thread panics with events");
        let note = events.iter().find_map(|event| match event {
            Event::Part { name, duration_ms: Some(_), note } if name == part => Some(note.clone()),
            _ => None,
        });
        note.unwrap_or_else(|| panic!("there was no part {part:?} in {events:?}"))
    }

    /// Lines that the commands of the build before printed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let events = self.events.lock().expect("no thread panics with events");
        let line = |event: &Event| match event {
            Event::Line { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(line).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let tables = Tables::of(&self.data);
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // A runtime cannot be waited for inside another one, and without rules there is nothing to remove.
            runtime.map(|runtime| runtime.block_on(tables.remove()).is_ok())
        });
        let _ = removed.join();
        cgroup::remove_parent(&self.data.cgroup_name());
        // A test that failed has more to say than this.
        let _ = self.data.remove_runtime();
    }
}
