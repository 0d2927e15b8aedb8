//! An app that fills the disk that it shares with everybody: volumes and homes have no quota. The neighbor is served, the
//! server answers, and says how to find out who it was.

use serde_json::json;
use tandem_testkit::disk::Disk;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Program;
use tandem_testkit::wait::eventually;

use super::neighbor::Visitors;
use super::{HOSTILE, NEIGHBOR, ask, installation_on, tell};
use crate::needs::{Need, are_met};

#[test]
fn an_app_that_fills_its_volume_and_home_stops_nobody_and_is_found_by_the_line_that_status_says() {
    if !are_met(&[Need::Isolation]) {
        return;
    }
    let disk = Disk::ext4(192);
    let installation = installation_on(Some(disk.path()));
    for thing in ["bytes", "inodes"] {
        let visitors = Visitors::of(&installation, NEIGHBOR);
        let taken = ask(&installation.site(HOSTILE), &format!("/keep/{thing}"), &json!({}));
        let (problem, found) = who(&installation);
        let _ = installation.tandem(["restart", "--app", "neighbor"]).expect_success();
        let visits = visitors.leave();
        tell(&format!("all {thing} of the disk: {taken} | {}", visits.describe()));
        tell(&format!("    {problem}\n    {found}"));
        assert!(visits.lost.is_empty(), "{thing}: {:?}", visits.lost);
        assert!(taken.as_u64().is_some_and(|taken| taken > 10_000), "{thing}: {taken}");
        assert!(problem.contains("deploys are refused"), "{problem}");
        assert!(found.contains("volumes/hostile.production"), "{found}");
        let _ = ask(&installation.site(HOSTILE), "/keep/empty", &json!({}));
        eventually("there is room again", || {
            let status = installation.tandem(["status", "--json"]).expect_success().json();
            status["problems"].as_array().is_none_or(Vec::is_empty).then_some(())
        });
    }
    installation.finish();
    disk.finish();
}

/// What the status says of the disk, and what the line says that it tells people to type.
fn who(installation: &Installation) -> (String, String) {
    let problem = eventually("status tells of the disk", || {
        let status = installation.tandem(["status", "--json"]).expect_success().json();
        let problems = status["problems"].as_array()?.clone();
        let told = problems.iter().filter_map(|problem| problem.as_str());
        told.filter(|problem| problem.contains("the disk of")).map(str::to_owned).next()
    });
    let line = problem.split('`').nth(1).expect("a line to type");
    let found = Program::new("sh").arguments(["-c", line]).run().expect_success().stdout;
    (problem.clone(), found)
}
