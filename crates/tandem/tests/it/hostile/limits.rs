//! Bombs: each ends at its limit, and the neighbor, the balancer and the server do not notice.

use serde_json::Value;
use tandem_testkit::installation::Installation;
use tandem_testkit::wait::{PATIENCE, within};
use tandem_types::defaults::RESTART_MOST;

use super::neighbor::{Visitors, Visits};
use super::{HOSTILE, NEIGHBOR, installation, tell};
use crate::needs::{Need, are_met};

/// Memory of the app, of which Python and its files have some.
const MEMORY: u64 = 256 << 20;
/// Processes and threads of an instance.
const PROCESSES: u64 = 512;

/// What a bomb may come to.
enum Most {
    /// From so many of what it takes, fewer than which are no bomb, to so many.
    Of(u64, u64),
    /// The kernel kills what takes too much memory, before it has more than this.
    Memory,
    /// Nothing of Tandem's bounds it: the bomb bounds itself, takes at least so much, and only the neighbor is asked.
    Itself(u64),
}

impl Most {
    fn allows(&self, outcome: &str) -> bool {
        let number = outcome.parse::<u64>().ok();
        let killed = outcome.starts_with("the instance ended") || outcome == "killed by signal 9";
        match self {
            // Many processes may take too much memory before they are too many.
            Self::Of(least, most) => number.map_or(killed, |number| (*least..=*most).contains(&number)),
            Self::Memory => killed,
            Self::Itself(least) => number.is_some_and(|number| number >= *least),
        }
    }
}

const BOMBS: [(&str, Most); 15] = [
    ("processes", Most::Of(PROCESSES / 2, PROCESSES)),
    ("zombies", Most::Of(PROCESSES / 2, PROCESSES)),
    ("threads", Most::Of(PROCESSES / 2, PROCESSES)),
    ("memory", Most::Memory),
    ("files_in_memory", Most::Memory),
    ("shared_memory", Most::Memory),
    // Each takes some 700 bytes of the kernel's, which count as the app's.
    ("inodes_in_memory", Most::Of(1000, MEMORY / 512)),
    ("descriptors", Most::Of(1000, 1 << 20)),
    ("terminals", Most::Of(100, 4096)),
    ("processor", Most::Itself(8)),
    ("log", Most::Itself(1000)),
    ("one_long_line", Most::Itself(1 << 20)),
    ("connections", Most::Itself(10)),
    ("volume", Most::Itself(256 << 20)),
    ("inodes_in_a_volume", Most::Itself(20_000)),
];

#[test]
fn every_bomb_ends_at_its_limit_and_the_neighbor_loses_nothing() {
    if !are_met(&[Need::Isolation, Need::Limits]) {
        return;
    }
    let installation = installation();
    let quiet = Visits::in_quiet(&installation, NEIGHBOR);
    tell(&format!("{:20} | {:30} | {}", "quiet", "", quiet.describe()));
    for (name, most) in &BOMBS {
        let visitors = Visitors::of(&installation, NEIGHBOR);
        let outcome = set_off(&installation, name);
        let status = installation.tandem(["status", "--json"]).expect_success().json();
        let visits = visitors.leave();
        tell(&format!("{name:20} | {outcome:30} | {}", visits.describe()));
        let apps = status["apps"].as_array().map(Vec::len);
        assert_eq!(apps, Some(2), "{name}: the server knows both: {status}");
        assert!(visits.lost.is_empty(), "{name}: {:?}", visits.lost);
        assert!(most.allows(&outcome), "{name}: {outcome}");
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

/// The hostile app is alive again, so that the next bomb finds it as this one did. Who has ended often waits for long.
fn serves_again(installation: &Installation) {
    let limit = RESTART_MOST.as_duration() + PATIENCE;
    let serves = within(limit, || {
        let answer = installation.site(HOSTILE).ask(tandem_testkit::connection::Question::get("/"));
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    });
    assert!(serves.is_some(), "the hostile app does not serve within {limit:?}");
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
