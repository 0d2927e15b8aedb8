//! What scenarios read off the command line again and again, and the load that they put on `plain`.

use std::net::SocketAddr;

use serde_json::Value;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Load, Mix, Target};

use crate::TANDEM;

/// Host name of the fixture `plain`.
pub(crate) const PLAIN: &str = "plain.localhost";

/// An installation on which the fixture `plain` runs, and the folder it came from.
pub(crate) fn with_plain() -> (Installation, AppFolder) {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    installation.deploy(folder.path());
    (installation, folder)
}

/// Lets somebody ask for pages of `plain`, at the balancer that listens there.
pub(crate) fn ask(address: SocketAddr, mix: Mix) -> Load {
    Load::start(Target { address, host: PLAIN.to_owned() }, mix)
}

/// Changes the text that `plain` answers with.
pub(crate) fn say(folder: &AppFolder, old: &str, new: &str) {
    folder.edit("server.py", &format!("TEXT = {old:?}"), &format!("TEXT = {new:?}"));
}

/// The instances of an app with this role, as `ps --json` prints them.
pub(crate) fn instances(installation: &Installation, app: &str, role: &str) -> Vec<Value> {
    let lines = installation.tandem(["ps", "--json", "--app", app]).expect_success().json();
    let lines = lines.as_array().expect("ps prints a list").clone();
    lines.into_iter().filter(|line| line["role"] == role).collect()
}

/// Ids of the instances with this role, sorted.
pub(crate) fn ids(installation: &Installation, app: &str, role: &str) -> Vec<String> {
    let text = |line: &Value| line["id"].as_str().expect("an instance has an id").to_owned();
    let mut ids: Vec<_> = instances(installation, app, role).iter().map(text).collect();
    ids.sort();
    ids
}

/// How often the release phase of `plain` has run: each run writes a line to the volume.
pub(crate) fn release_phases(installation: &Installation) -> usize {
    installation.site(PLAIN).text("/read?/data/releases").lines().filter(|line| *line == "released").count()
}

/// The release that serves an app.
pub(crate) fn current(installation: &Installation, app: &str) -> String {
    let releases = installation.tandem(["releases", "--json", "--app", app]).expect_success().json();
    let releases = releases.as_array().expect("releases prints a list");
    let current = releases.iter().find(|detail| detail["release"]["status"] == "current");
    current.expect("a release serves")["release"]["number"].as_str().expect("a number").to_owned()
}
