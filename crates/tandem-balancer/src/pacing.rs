//! Connections on a loopback address are not paced.
//!
//! Where the system has BBR, each socket sends by a timer of its own, so that queues on the way stay short. Over loopback there is no
//! queue and no way: a longer answer is only cut in two, and its end waits for a timer. Such a socket gets Reno instead, which every
//! kernel has, where the system lets everybody choose it. A socket on any other address keeps what the operator chose, and so does one that
//! another process has bound and handed over.

use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::net::sockopt;

/// Algorithms that send by a timer: `bbr`, and its later versions.
const PACED: &str = "bbr";
const UNPACED: &str = "reno";

/// Turns pacing off for a socket on a loopback address that is not connected yet, if there is any. Those that a listening socket
/// accepts are as it is.
pub(crate) fn unpace(socket: impl AsFd, address: IpAddr) {
    let is_paced = || sockopt::tcp_congestion(&socket).is_ok_and(|algorithm| algorithm.starts_with(PACED));
    if address.to_canonical().is_loopback() && is_paced() {
        // It works with it all the same.
        let _ = sockopt::set_tcp_congestion(&socket, UNPACED);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_what_stays_on_this_machine_is_changed_and_only_if_it_is_paced() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let of = |socket: &TcpListener| sockopt::tcp_congestion(socket).unwrap();
        let default = of(&listener());
        // A system may not have it, or not for everybody.
        let has_bbr = sockopt::set_tcp_congestion(listener(), "bbr").is_ok();
        for algorithm in [default.as_str(), "reno", "bbr"].iter().take(if has_bbr { 3 } else { 2 }) {
            for (address, changes) in
                [("127.0.0.1", true), ("::1", true), ("192.0.2.1", false), ("::", false)]
            {
                let socket = listener();
                sockopt::set_tcp_congestion(&socket, algorithm).unwrap();
                unpace(&socket, address.parse().unwrap());
                let expected = if changes && algorithm.starts_with("bbr") { "reno" } else { algorithm };
                assert_eq!(of(&socket), expected, "{algorithm} {address}");
            }
        }
    }
}
