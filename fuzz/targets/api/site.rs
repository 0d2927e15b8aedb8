//! A server in a temporary folder: one app with two releases, of which the second serves, a token, and a source that can
//! be deployed. Nothing runs, so what is asked stays as it was asked.

use std::os::unix::fs::MetadataExt as _;

use axum::Router;
use serde_json::{Value, json};
use tandem_blobs::BlobStore;
use tandem_build::BuilderConfig;
use tandem_control::{Control, ControlConfig, SourceBuilder};
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_store::{Expect, SharedStore, Transaction, sqlite};
use tandem_types::app::App;
use tandem_types::build::Build;
use tandem_types::document::{Cause, Kind};
use tandem_types::environment::Environment;
use tandem_types::instance::Isolation;
use tandem_types::release::Release;
use tandem_types::routing::RoutingDocument;
use tandem_types::token::Token;
use tandem_types::tree::Tree;
use tandem_web::Site;
use tempfile::TempDir;
use tokio::runtime::Runtime;

thread_local! {
    /// Who the requests come from, over the local socket.
    pub static OWN_UID: u32 = std::fs::metadata("/proc/self").expect("/proc is there").uid();
}

/// A server and what it lives in.
pub struct Scene {
    pub router: Router,
    pub runtime: Runtime,
    data: DataDir,
    trigger: Trigger,
    _folder: TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let (trigger, drain) = drain::channel();
        let site = runtime.block_on(async {
            let clock = Clock::system();
            let store = sqlite::open(data.database(), clock.clone()).await.expect("a store");
            let blobs = BlobStore::open(data.blobs()).expect("a blob store");
            blobs.put_tree(&Tree::default()).expect("there is room");
            files::ensure_dir(&data.keys(), 0o700).expect("the folder of keys");
            furnish(&store).await;
            // Nothing is built: no reconciler runs.
            let builder = tandem_build::Builder::new(BuilderConfig::new(
                data.clone(),
                blobs.clone(),
                clock.clone(),
                Isolation::Plain,
            ));
            let config = ControlConfig {
                data: data.clone(),
                store: store.clone(),
                blobs: blobs.clone(),
                builder: SourceBuilder::shared(builder),
                clock,
                hosts: vec!["box".parse().expect("a name")],
                version: "0.1.0".to_owned(),
                acme: None,
            };
            let control = Control::build(config).await.expect("control").handle();
            Site { control, store, blobs, drain }
        });
        Self { router: tandem_web::router(site), runtime, data, trigger, _folder: folder }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.trigger.fire();
        self.data.remove_runtime().expect("the runtime folder goes");
    }
}

/// Writes the documents of an app that has been deployed twice.
async fn furnish(store: &SharedStore) {
    let now = "2026-11-21T12:00:00Z";
    let digest = "ab".repeat(32);
    let app = json!({"name": "shop", "created": now, "next_build": "b3"});
    let environment = json!({
        "app": "shop", "name": "production", "uid": 20001, "scale": {"web": 1, "worker": 1}, "current": "r2",
        "warm": [{"release": "r1", "until": "2100-01-01T00:00:00Z"}], "next_release": "r3", "next_rollout": "ro3",
        "created": now, "domains": ["shop.example"],
    });
    let process = json!({
        "command": "run", "health": "/", "instances": 1, "memory_bytes": 536_870_912, "pids": 256,
        "stop_timeout": "30s",
    });
    let build = |number: &str| {
        json!({
            "app": "shop", "number": number, "digest": digest, "subtrees": [], "source": {}, "created": now,
            "duration": "3s", "spec": {"processes": {"web": process, "worker": process, "clock": process}},
        })
    };
    let release = |number: &str, build: &str, rollout: &str, status: &str| {
        json!({
            "app": "shop", "environment": "production", "number": number, "build": build, "config": {"values": {}},
            "cause": {"actor": "unix:ann", "action": "deploy.start"}, "created": now, "rollout": rollout,
            "status": status, "took_traffic": now,
        })
    };
    let token = json!({"name": "ci", "hash": digest, "created": now});
    let routing = json!({"serving": {"epoch": "e1", "routes": []}, "last": "e1"});
    let cause = Cause {
        actor: "unix:ann".to_owned(),
        action: "scene.furnish".to_owned(),
        reason: String::new(),
        subject: String::new(),
    };
    let place = "apps/shop/envs/production";
    let all = Transaction::new(cause);
    let all = put::<App>(all, "apps/shop", app);
    let all = put::<Environment>(all, place, environment);
    let all = put::<Build>(all, "apps/shop/builds/0000000001", build("b1"));
    let all = put::<Build>(all, "apps/shop/builds/0000000002", build("b2"));
    let superseded = release("r1", "b1", "ro1", "superseded");
    let all = put::<Release>(all, &format!("{place}/releases/0000000001"), superseded);
    let current = release("r2", "b2", "ro2", "current");
    let all = put::<Release>(all, &format!("{place}/releases/0000000002"), current);
    let all = put::<Token>(all, "tokens/ci", token);
    let all = put::<RoutingDocument>(all, "routing/table", routing);
    store.transact(all).await.expect("the documents are written");
}

fn put<T: Kind>(all: Transaction, key: &str, value: Value) -> Transaction {
    let value: T = serde_json::from_value(value).expect("a document of that kind");
    all.put(key, &value, Expect::Absent)
}
