//! What people read of instances on their way through the gate, while the rollout goes on.

use std::net::{IpAddr, SocketAddr};

use tandem_types::ProcessType;
use tandem_types::assignment::AssignedInstance;

/// How a warning begins that says why an instance is not ready yet.
pub(in crate::rollout) fn not_ready_yet(instance: &AssignedInstance) -> String {
    let AssignedInstance { process, index, release, .. } = instance;
    format!("{process}.{index} of {release} is not ready:")
}

/// The port is part of it only as `$PORT`: it is another one for each instance, and the warning is the same.
pub(in crate::rollout) fn exposed(process: &ProcessType, address: SocketAddr) -> String {
    let shown = match address.ip() {
        ip @ IpAddr::V4(_) => ip.to_string(),
        ip @ IpAddr::V6(_) => format!("[{ip}]"),
    };
    format!(
        "{process} listens on {shown}:$PORT, so whoever reaches this machine reaches it without the balancer: have its command \
         listen on 127.0.0.1:$PORT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_all_interfaces_is_told_alike_for_all_instances() {
        let text = |address: &str| exposed(&"web".parse().unwrap(), address.parse().unwrap());
        assert!(text("0.0.0.0:20001").starts_with("web listens on 0.0.0.0:$PORT, so"));
        assert!(text("[::]:20001").starts_with("web listens on [::]:$PORT, so"));
        assert_eq!(text("0.0.0.0:20001"), text("0.0.0.0:20002"));
    }
}
