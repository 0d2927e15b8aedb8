//! Which Node is taken for what is written.

use tandem_blobs::BlobStore;

use super::*;
use crate::source::Source;

fn node(path: &str, version: &str) -> Node {
    Node { path: path.into(), version: version.to_owned(), host: path.into() }
}

fn wanted(text: &str) -> Wanted {
    Wanted { text: text.to_owned(), said_by: ".nvmrc".to_owned() }
}

#[test]
fn ranges_are_npms_and_the_machines_own_node_wins_where_it_fits() {
    let there = [
        node("/usr/bin/node", "20.20.2"),
        node("/opt/tandem/node/a/bin/node", "22.1.0"),
        node("/opt/tandem/node/b/bin/node", "22.9.0"),
    ];
    for (text, version) in [
        ("", Some("20.20.2")),
        ("lts/*", Some("20.20.2")),
        ("lts/iron", Some("20.20.2")),
        ("lts/jod", Some("22.9.0")),
        ("20", Some("20.20.2")),
        ("v20.11.1", Some("20.20.2")),
        ("v20.21.0", None),
        (">= 20.4.0", Some("20.20.2")),
        ("^18 || 22.x", Some("22.9.0")),
        (">=22 <22.5", Some("22.1.0")),
        ("24", None),
    ] {
        let range = wanted(text).range().unwrap();
        assert_eq!(choose(&range, &there).map(|node| node.version).as_deref(), version, "{text}");
    }
    assert!(wanted("the latest").range().is_err());
}

#[test]
fn what_is_nearest_to_the_app_says_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open(folder.path()).unwrap();
    let json =
        r#"{"engines": {"node": ">=18"}, "scripts": {"start": "node x.js"}, "dependencies": {"a": "1"}}"#;
    let read = |files: &[(&str, &str)], said| {
        Package::read(&Source::of(&store, files), "web", said).unwrap().unwrap()
    };
    let files = [
        ("package.json", json),
        (".nvmrc", "22\n"),
        ("web/x.js", ""),
        ("web/.node-version", "# ours\n20.1.0\n"),
    ];
    assert_eq!(read(&files, Some("24")).wanted.text, "24");
    let package = read(&files, None);
    assert_eq!(
        (package.wanted.text.as_str(), package.wanted.said_by.as_str()),
        ("20.1.0", "web/.node-version")
    );
    assert_eq!(read(&files[..3], None).wanted.text, "22");
    let package = read(&[files[0], files[2]], None);
    assert_eq!(package.wanted.said_by, "`engines` of package.json");
    assert_eq!(package.installer, Some(Installer::Unlocked));
    assert!(package.has_start && !package.is_linked && package.folder.is_empty());
    let locked = read(&[files[0], files[2], ("package-lock.json", "{}")], None);
    assert_eq!(locked.installer, Some(Installer::Locked("package-lock.json")));
    assert!(locked.refuse_foreign_lock().is_ok());
    let yarn = read(&[files[0], files[2], ("yarn.lock", "")], None);
    assert_eq!(yarn.refuse_foreign_lock().unwrap_err().to_problem().code, "recipe_unsupported");
}

#[tokio::test]
async fn links_out_of_what_instances_see_are_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().canonicalize().unwrap().join("node");
    for name in ["linked", "script"] {
        fs::create_dir_all(tools.join(name).join("bin")).unwrap();
    }
    fs::copy("/bin/true", folder.path().join("node-in-a-home")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("node-in-a-home"), tools.join("linked/bin/node")).unwrap();
    tandem_kit::files::write_atomic(&tools.join("script/bin/node"), b"#!/bin/sh\n", 0o755).unwrap();
    assert!(candidates(&tools).iter().all(|(path, _)| path.starts_with("/usr")));
    let error = find(&wanted("99.x"), &tools).await.unwrap_err().to_problem();
    assert_eq!(error.code, "node_missing", "{error:?}");
    assert!(error.title.contains("99.x") && error.title.contains(".nvmrc"), "{error:?}");
    assert!(error.hint.contains(&tools.display().to_string()), "{error:?}");
}

#[test]
fn headers_beside_node_are_named_as_its_npm_understands_them() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path();
    let node = Node {
        path: "/opt/tandem/node/a/bin/node".into(),
        version: "24.1.0".to_owned(),
        host: prefix.join("bin/node"),
    };
    let quiet = ["NPM_CONFIG_PROGRESS", "NPM_CONFIG_UPDATE_NOTIFIER"];
    assert_eq!(node.environment().into_keys().collect::<Vec<_>>(), quiet, "there are no headers");
    for path in ["include/node", "lib/node_modules/npm"] {
        fs::create_dir_all(prefix.join(path)).unwrap();
    }
    tandem_kit::files::write_atomic(&prefix.join("include/node/common.gypi"), b"{}", 0o644).unwrap();
    for (npm, name) in [
        ("10.9.2", "npm_config_nodedir"),
        ("11.3.0", "npm_package_config_node_gyp_nodedir"),
        ("none", "npm_config_nodedir"),
    ] {
        let json = format!(r#"{{"name": "npm", "version": "{npm}"}}"#);
        let path = prefix.join("lib/node_modules/npm/package.json");
        tandem_kit::files::write_atomic(&path, json.as_bytes(), 0o644).unwrap();
        let environment = node.environment();
        assert_eq!(environment.len(), 3, "{environment:?}");
        assert_eq!(environment[name], "/opt/tandem/node/a", "as builds see it: {environment:?}");
    }
}
