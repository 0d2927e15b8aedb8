//! An app that means harm, beside one that does not and beside Tandem: what it tries, what it takes, what it leaves.
//!
//! The app is the fixture `hostile` of the testkit. Nothing of this can be tried without root, bubblewrap and nft.

mod builds;
mod context;
mod disk;
mod escapes;
mod limits;
mod litter;
mod neighbor;
mod ports;

use std::path::Path;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::site::Site;

use crate::TANDEM;

/// Host names of the two apps.
const HOSTILE: &str = "hostile.localhost";
const NEIGHBOR: &str = "neighbor.localhost";

/// An installation with both apps. The neighbor listens on IPv4 and IPv6 and has a secret.
fn installation() -> Installation {
    installation_on(None)
}

/// The same with its data folder below another one.
fn installation_on(parent: Option<&Path>) -> Installation {
    let parent = parent.map(Path::to_owned);
    let mut installation = Installation::prepare(Setting { parent, ..Setting::of(TANDEM) });
    installation.take_tools();
    installation.start_again();
    let neighbor = AppFolder::fixture("plain");
    neighbor.edit("tandem.toml", "app = \"plain\"", "app = \"neighbor\"");
    neighbor.edit("server.py", "Server((\"127.0.0.1\", ", "Server((\"::\", ");
    neighbor.edit(
        "server.py",
        "    request_queue_size = 128",
        "    request_queue_size = 128\n    address_family = 10",
    );
    installation.deploy(neighbor.path());
    let words = ["config", "set", "SECRET=hunter-zwei", "--app", "neighbor"];
    let _ = installation.tandem(words).expect_success();
    installation.deploy(AppFolder::fixture("hostile").path());
    installation
}

/// Asks the hostile app to do something; its answer.
#[track_caller]
fn ask(site: &Site, path: &str, context: &serde_json::Value) -> serde_json::Value {
    let mut question = Question::get(path);
    question.method = http::Method::POST;
    question.body = context.to_string().into();
    let answer = site.ask(question).unwrap_or_else(|error| panic!("{path}: {error:#}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text()))
}

#[expect(clippy::print_stdout, reason = "figures and tables are for who reads the output of the run")]
fn tell(line: &str) {
    println!("{line}");
}
