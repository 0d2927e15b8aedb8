//! What requests see of an instance, and whether it is left out of its pool for that.

use std::sync::Arc;

use tandem_rules::ejection::{Seen, may_leave_out};

use crate::table::{Instance, LiveRoute};

/// Takes in what a request of a route saw of one of its instances.
pub(crate) fn judge(route: &LiveRoute, instance: &Arc<Instance>, seen: Seen) {
    if seen == Seen::Well {
        return instance.saw_well();
    }
    if !instance.saw_trouble(seen) {
        return;
    }
    // One after the other: two threads that see two instances fail must not leave out one too many.
    let _judging = route.account().judging();
    let members = route.members();
    let left_out = members.iter().filter(|member| member.is_left_out()).count();
    let is_other = |member: &&Arc<Instance>| !Arc::ptr_eq(member, instance);
    let others_well = members.iter().filter(is_other).filter(|member| member.is_available()).count();
    if !instance.is_left_out() && may_leave_out(members.len(), left_out, others_well) {
        let (id, length) = (instance.id(), instance.leave_out());
        let app = route.app();
        tracing::warn!(instance.id = %id, "instance {id} of {app} fails its requests and is left out for {length:?} at least");
    }
}
