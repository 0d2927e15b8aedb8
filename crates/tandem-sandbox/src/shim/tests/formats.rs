//! The files of version 1 as they are on disk. Shims of this version meet runners of later ones: what stands here must be
//! readable for ever.

use tandem_kit::files;

use crate::shim::record::{ShimRecord, exit_file, shim_file};
use crate::shim::{ExitRecord, ShimSpec};

const SPEC: &str = include_str!("golden/spec.json");
const SHIM: &str = include_str!("golden/shim.json");
const EXIT: &str = include_str!("golden/exit.json");

#[test]
fn specifications_keep_their_form() {
    let spec: ShimSpec = serde_json::from_str(SPEC).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), SPEC);
    assert!(!format!("{spec:?}").contains("20001"), "values of the environment are not printed");
}

#[test]
fn of_secrets_a_specification_tells_only_where_they_are() {
    let file = r#","secrets":{"path":"/run/tandem/0a1b2c3d/e/i42.json"}}"#;
    let text = SPEC.strip_suffix('}').unwrap().to_owned() + file;
    let mut spec: ShimSpec = serde_json::from_str(&text).unwrap();
    let secrets = spec.secrets.as_mut().unwrap();
    secrets.values.insert("SECRET_KEY".to_owned(), "s3cret".to_owned());
    assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    let printed = format!("{spec:?}");
    assert!(printed.contains("SECRET_KEY") && !printed.contains("s3cret"), "{printed}");
}

#[test]
fn records_keep_their_form() {
    let folder = tempfile::tempdir().unwrap();
    files::write_atomic(&exit_file(folder.path()), EXIT.as_bytes(), 0o600).unwrap();
    files::write_atomic(&shim_file(folder.path()), SHIM.as_bytes(), 0o600).unwrap();
    let exit = ExitRecord::read(folder.path()).unwrap().unwrap();
    assert_eq!((exit.exit.code, exit.dropped_lines), (Some(1), 7));
    assert_eq!(exit.ran_ms, None, "written by a shim that did not tell");
    assert_eq!(serde_json::to_string(&exit).unwrap(), EXIT);
    let told = EXIT.replace("7}", r#"7,"ran_ms":1000}"#);
    let exit: ExitRecord = serde_json::from_str(&told).unwrap();
    assert_eq!(exit.ran_ms, Some(1_000));
    assert_eq!(serde_json::to_string(&exit).unwrap(), told);
    let shim = ShimRecord::read(folder.path()).unwrap();
    assert_eq!((shim.shim.pid, shim.child), (4242, Some((4243, 98766))));
    assert_eq!(serde_json::to_string(&shim).unwrap(), SHIM);
}
