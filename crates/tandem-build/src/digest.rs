//! The name of a build: the digest of what is mounted where, and of what runs.

use serde_json::Value;
use tandem_types::Digest;
use tandem_types::app::AppSpec;
use tandem_types::build::Subtree;

/// BLAKE3 over the canonical JSON of mount points, trees and spec: the same input gives the same digest on every machine.
pub(crate) fn of(subtrees: &[Subtree], spec: &AppSpec) -> Digest {
    let mounts: Vec<Value> = subtrees.iter().map(|part| serde_json::json!([part.mount, part.tree])).collect();
    let spec = serde_json::to_value(spec).expect("a spec has a JSON form");
    let mut text = String::new();
    push(&mut text, &serde_json::json!({ "spec": spec, "subtrees": mounts }));
    tandem_blobs::tree::digest_of(text.as_bytes())
}

/// Keys sorted, no white space. Written here, since the order in which `serde_json` prints keys depends on features that
/// any crate may switch on.
fn push(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                push(text, &map[key]);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push(text, value);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_mounts_trees_and_spec_and_not_on_the_order_of_keys() {
        let tree = tandem_blobs::tree::digest_of(b"tree");
        let part =
            |mount: &str| Subtree { name: "app".into(), mount: mount.into(), tree, bytes: 1, files: 1 };
        let spec = AppSpec { smoke: Some("true".to_owned()), ..AppSpec::default() };
        let digest = of(&[part("/app")], &spec);
        assert_eq!(digest, of(&[Subtree { bytes: 2, ..part("/app") }], &spec));
        assert_ne!(digest, of(&[part("/other")], &spec));
        assert_ne!(digest, of(&[part("/app")], &AppSpec::default()));
        let mut text = String::new();
        push(&mut text, &serde_json::json!({ "b": [1, { "d": null, "c": "x\"y" }], "a": 1.5 }));
        assert_eq!(text, r#"{"a":1.5,"b":[1,{"c":"x\"y","d":null}]}"#);
    }

    /// Else an upgrade would give every build another name, and stage and check it out anew.
    #[test]
    fn the_name_of_a_build_stays_over_versions() {
        let build: tandem_types::build::Build =
            serde_json::from_str(include_str!("golden/build.json")).unwrap();
        assert_eq!(of(&build.subtrees, &build.spec).to_string(), build.digest.to_string());
    }
}
