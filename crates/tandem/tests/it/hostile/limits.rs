//! Bombs: each ends at its limit, and the neighbor, the balancer and the server do not notice.

use serde_json::{Value, json};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::wait::eventually;

use super::neighbor::Visitors;
use super::{HOSTILE, NEIGHBOR, ask, can_isolate, installation, tell};
use crate::screen::{instances, say};

/// Memory of the app, of which Python and its files have some.
const MEMORY: u64 = 256 << 20;
/// Processes and threads of an instance.
const PROCESSES: u64 = 512;

/// What a bomb may come to.
enum Most {
    /// So many of what it takes.
    Of(u64),
    /// The kernel kills what takes too much memory, before it has more than this.
    Memory,
    /// Nothing of Tandem's bounds it: the bomb bounds itself, and only the neighbor is asked.
    Itself,
}

const BOMBS: [(&str, Most); 15] = [
    ("processes", Most::Of(PROCESSES)),
    ("zombies", Most::Of(PROCESSES)),
    ("threads", Most::Of(PROCESSES)),
    ("memory", Most::Memory),
    ("files_in_memory", Most::Memory),
    ("shared_memory", Most::Memory),
    // Each takes some 700 bytes of the kernel's, which count as the app's.
    ("inodes_in_memory", Most::Of(MEMORY / 512)),
    ("descriptors", Most::Of(1 << 20)),
    ("terminals", Most::Of(4096)),
    ("processor", Most::Itself),
    ("log", Most::Itself),
    ("one_long_line", Most::Itself),
    ("connections", Most::Itself),
    ("volume", Most::Itself),
    ("inodes_in_a_volume", Most::Itself),
];

#[test]
fn every_bomb_ends_at_its_limit_and_the_neighbor_loses_nothing() {
    if !can_isolate() {
        return;
    }
    let installation = installation();
    for (name, most) in &BOMBS {
        let visitors = Visitors::come(&installation);
        let outcome = set_off(&installation, name);
        let status = installation.tandem(["status", "--json"]).expect_success().json();
        let visits = visitors.leave();
        tell(&format!("{name:20} | {outcome:30} | {}", visits.describe()));
        assert!(status["apps"].is_array() || status.is_object(), "{name}: the server answers: {status}");
        assert!(visits.lost.is_empty(), "{name}: {:?}", visits.lost);
        let number = outcome.parse::<u64>().ok();
        match most {
            // Many processes may take too much memory before they are too many.
            Most::Of(most) => assert!(
                number.map_or(outcome.starts_with("the instance ended"), |number| number <= *most),
                "{name}: {outcome}"
            ),
            Most::Memory => assert!(
                outcome == "killed by signal 9" || number.is_none(),
                "{name} got more than {MEMORY} bytes: {outcome}"
            ),
            Most::Itself => assert!(number.is_some(), "{name}: {outcome}"),
        }
        serves_again(&installation);
    }
    expect_bounded_log(&installation);
    installation.finish();
}

/// What the bomb says, or that its instance ended by it.
fn set_off(installation: &Installation, name: &str) -> String {
    let mut question = tandem_testkit::connection::Question::get(&format!("/bomb/{name}"));
    question.method = http::Method::POST;
    match installation.site(HOSTILE).ask(question) {
        Ok(answer) if answer.status == 200 => {
            let value: Value = serde_json::from_slice(&answer.body).expect("the app answers in JSON");
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        }
        Ok(answer) => format!("the instance ended: {}", answer.status),
        Err(error) => format!("the instance ended: {error:#}"),
    }
}

/// The hostile app is alive again, so that the next bomb finds it as this one did.
fn serves_again(installation: &Installation) {
    eventually("the hostile app serves", || {
        let answer = installation.site(HOSTILE).ask(tandem_testkit::connection::Question::get("/"));
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

/// A flood of lines leaves no more on the disk than its chunks.
fn expect_bounded_log(installation: &Installation) {
    let folder = installation.data().runner().join("logs/hostile.production");
    let bytes: u64 = walk(&folder);
    let (chunks, size) = (tandem_types::defaults::LOG_CHUNKS, tandem_types::defaults::LOG_CHUNK_BYTES);
    tell(&format!("log of the hostile app: {} KiB on the disk", bytes >> 10));
    // One chunk more while the oldest goes, and those of the release phase.
    assert!(bytes <= (chunks as u64 + 2) * size, "{bytes} bytes in {chunks} chunks of {size}");
}

fn walk(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("there are logs").flatten();
    entries
        .map(|entry| {
            let metadata = entry.metadata().expect("it is there");
            if metadata.is_dir() { walk(&entry.path()) } else { metadata.len() }
        })
        .sum()
}

#[test]
fn ports_taken_by_an_app_are_passed_over_and_never_trusted() {
    if !can_isolate() {
        return;
    }
    let installation = installation();
    let taken = ask(&installation.site(HOSTILE), "/squat/next", &json!({ "from": next_port(&installation) }));
    assert!(taken.as_u64().is_some_and(|taken| taken >= 100), "most of the ports were free: {taken}");
    let folder = AppFolder::fixture("plain");
    folder.edit("tandem.toml", "app = \"plain\"", "app = \"neighbor\"");
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(installation.site(NEIGHBOR).text("/"), "two\n");
    assert!(!instances(&installation, "neighbor", "serving").is_empty());
    installation.finish();
}

/// The port after those that were given.
fn next_port(installation: &Installation) -> u64 {
    let state = installation.data().runner().join("state.json");
    let text = std::fs::read_to_string(&state).expect("the runner keeps it");
    let state: Value = serde_json::from_str(&text).expect("it is JSON");
    state["ports"]["next"].as_u64().expect("a port comes next")
}
