//! Turns a plan into one transaction: every document against the revision at which the world was read.

use tandem_rules::Change;
use tandem_rules::world::World;
use tandem_store::Transaction;
use tandem_types::document::{Cause, Lease};
use tandem_types::rollout::{Rollout, RolloutState};

use crate::place::Place;
use crate::shared::cause;
use crate::world::Gathered;

/// Who the journal says did it.
const ACTOR: &str = "system:rollouts";

/// The transaction that writes a plan's changes under the lease.
pub(super) fn transaction(
    place: &Place,
    gathered: &Gathered,
    changes: &[Change],
    lease: &Lease,
) -> Transaction {
    let mut transaction = Transaction::new(reason(place, &gathered.world, changes)).fenced(lease);
    for change in changes {
        let key = change.key();
        let expect = gathered.expect(&key);
        transaction = match change {
            Change::App(value) => transaction.put(key, &**value, expect),
            Change::Environment(value) => transaction.put(key, &**value, expect),
            Change::Installation(value) => transaction.put(key, &**value, expect),
            Change::Build(value) => transaction.put(key, &**value, expect),
            Change::Release(value) => transaction.put(key, &**value, expect),
            Change::Rollout(value) => transaction.put(key, &**value, expect),
            Change::Assignment(_, value) => transaction.put(key, &**value, expect),
            Change::Routing(value) => transaction.put(key, &**value, expect),
        };
    }
    transaction
}

/// The rollout that the changes move on, as it will be.
pub(super) fn rollout(changes: &[Change]) -> Option<&Rollout> {
    changes.iter().find_map(|change| match change {
        Change::Rollout(rollout) => Some(&**rollout),
        _ => None,
    })
}

fn reason(place: &Place, world: &World, changes: &[Change]) -> Cause {
    let Some(after) = rollout(changes) else {
        return cause(ACTOR, "environment.upkeep", "", place);
    };
    let before = world.rollout(after.number).map(|before| before.state);
    let text = match before.filter(|before| *before != after.state) {
        Some(before) => format!("{}: {} → {}", after.number, name(before), name(after.state)),
        None => format!("{}: {}", after.number, name(after.state)),
    };
    cause(ACTOR, "rollout.step", text, place)
}

/// A state in the words of the wire.
fn name(state: RolloutState) -> String {
    format!("{state:?}").to_lowercase()
}
