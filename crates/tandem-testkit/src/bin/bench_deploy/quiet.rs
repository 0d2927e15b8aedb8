//! A change of one line with nobody looking: CPU, bytes on the wire, and what stays on the disk. A visitor's pages cost
//! more than a deploy, so these figures are not taken where a visitor asks.

use std::time::Duration;

use tandem_testkit::wait::pass;

use crate::Plan;
use crate::ground::Ground;
use crate::measure::{own_children_seconds, used};
use crate::script_side::ScriptSide;
use crate::tandem_side::{Cost, TandemSide};

use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::relay::Relay;

/// After a deploy, what it still costs counts to it.
const SETTLE: Duration = Duration::from_secs(4);
/// Time in which Tandem removes what nobody needs any more; it keeps trees for a minute and looks each minute.
const CLEAN_UP: Duration = Duration::from_secs(150);

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// kB on the wire, both ways.
    pub(crate) wire: Vec<f64>,
    /// CPU of Tandem's deploys.
    pub(crate) tandem: Vec<Cost>,
    /// CPU of each script's deploys.
    pub(crate) scripts: [Vec<ScriptCost>; 2],
    /// kB by which each deploy made the file system fuller for good; none where it is shared with others.
    pub(crate) left: Option<f64>,
}

/// CPU seconds of a script's deploy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScriptCost {
    /// The script and all it starts.
    pub(crate) script: f64,
    /// Boots of gunicorn's new workers.
    pub(crate) boots: f64,
}

/// Deploys with each side in turn, then some more with Tandem alone, of which the disk is looked at.
pub(crate) fn measure(
    plan: &Plan,
    ground: &Ground,
    tandem: &TandemSide,
    scripts: [&ScriptSide; 2],
) -> anyhow::Result<Quiet> {
    let mut quiet = Quiet::default();
    let token = tandem.token()?;
    let relay = Relay::start(tandem.installation().ready().api)?;
    for round in 0..plan.quiet_deploys {
        say(&format!("one-line change {} of {} with nobody looking", round + 1, plan.quiet_deploys));
        tandem.folder.greet(&format!("Round {round} over the relay"));
        let before = tandem.look(ground);
        quiet.wire.push(tandem.deploy_over(&relay, &token, ground)? as f64 / 1e3);
        pass(SETTLE);
        quiet.tandem.push(before.until(&tandem.look(ground)));
        for (script, costs) in scripts.iter().zip(&mut quiet.scripts) {
            script.folder.greet(&format!("Round {round} with nobody looking"));
            costs.push(script_cost(script, ground)?);
        }
    }
    quiet.left = left(plan, ground, tandem)?;
    Ok(quiet)
}

fn script_cost(script: &ScriptSide, ground: &Ground) -> anyhow::Result<ScriptCost> {
    let (command, before) = (own_children_seconds(), script.workers());
    script.deploy(ground)?;
    pass(SETTLE);
    Ok(ScriptCost {
        script: own_children_seconds() - command,
        // What the old workers used until they ended is lost; nobody asked them anything.
        boots: used(&before, &script.workers()).max(0.0),
    })
}

/// Growth by deploys of which everything was removed again that Tandem does not keep.
#[expect(clippy::cast_precision_loss, reason = "a disk of some gigabytes")]
fn left(plan: &Plan, ground: &Ground, tandem: &TandemSide) -> anyhow::Result<Option<f64>> {
    say(&format!("{} changes more, with the disk looked at before and after", plan.quiet_deploys));
    pass(CLEAN_UP);
    let before = ground.used_bytes();
    for round in 0..plan.quiet_deploys {
        tandem.folder.greet(&format!("Round {round} for the disk"));
        tandem.deploy();
    }
    pass(CLEAN_UP);
    let grown = before.zip(ground.used_bytes()).map(|(before, after)| after as f64 - before as f64);
    Ok(grown.map(|bytes| bytes / 1e3 / plan.quiet_deploys.max(1) as f64))
}
