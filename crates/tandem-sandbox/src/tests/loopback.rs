//! What packet rules let through, with real listeners and real users.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use tandem_kit::paths::DataDir;

use super::harness::{Place, UID, can_isolate, run_spec};
use crate::bubblewrap::programs;
use crate::packet_rules::{Guarded, Tables};

/// A data folder with its tables, removed when dropped.
struct Rules {
    _folder: tempfile::TempDir,
    data: DataDir,
    tables: Tables,
}

impl Rules {
    /// None where this machine cannot have rules.
    fn new() -> Option<Self> {
        let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
        if !can_isolate() || !has_ipv6 || programs::find("nft").is_none() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let tables = Tables::of(&data);
        Some(Self { _folder: folder, data, tables })
    }

    async fn end(self) {
        self.tables.remove().await.unwrap();
        self.tables.remove().await.expect("removing what is not there is fine");
        self.data.remove_runtime().unwrap();
    }
}

/// A listener on both families' loopback, and its port.
fn listen() -> ([TcpListener; 2], u16) {
    loop {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        if let Ok(six) = TcpListener::bind(("::1", port)) {
            return ([four, six], port);
        }
    }
}

/// What a user reaches of these ports: `PORT HOST` a line, for TCP on both families and UDP. What is not reached must be
/// refused at once: a connection that hangs is told as well.
async fn reached(uid: u32, ports: &[u16]) -> BTreeSet<String> {
    let place = Place::new();
    let mut spec = place.spec("/usr/bin/python3 -c \"$SCRIPT\"");
    let script = format!(
        "import socket\n\
         for port in {ports:?}:\n\
         \x20   for host in ('127.0.0.1', '::1'):\n\
         \x20       try: socket.create_connection((host, port), 5).close(); print(port, host)\n\
         \x20       except ConnectionRefusedError: pass\n\
         \x20       except OSError as e: print(port, host, e)\n\
         \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         \x20   try: s.sendto(b'x', ('127.0.0.1', port)); print(port, 'udp')\n\
         \x20   except OSError: pass\n"
    );
    spec.environment.insert("SCRIPT".to_owned(), script);
    spec.user.uid = uid;
    let outcome = run_spec(spec).await;
    assert!(outcome.succeeded(), "{outcome:?}");
    outcome.last_lines.into_iter().collect()
}

fn lines(port: u16, hosts: &[&str]) -> BTreeSet<String> {
    hosts.iter().map(|host| format!("{port} {host}")).collect()
}

const TCP: [&str; 2] = ["127.0.0.1", "::1"];

#[tokio::test]
async fn an_app_reaches_its_own_port_and_services_but_neither_the_api_nor_another_apps_port() {
    let Some(rules) = Rules::new() else { return };
    let ((_a, own), (_b, other), (_c, api), (_d, service)) = (listen(), listen(), listen(), listen());
    let all = [own, other, api, service];
    let owned = BTreeMap::from([(own, BTreeSet::from([UID])), (other, BTreeSet::from([UID + 1]))]);
    let guarded = Guarded { closed: BTreeSet::from([api]), owned };
    rules.tables.guard_instances(&guarded).await.unwrap();
    rules.tables.guard_instances(&guarded).await.expect("twice is as once");
    let tcp = |lines: BTreeSet<String>| -> BTreeSet<String> {
        lines.into_iter().filter(|line| !line.ends_with("udp")).collect()
    };
    assert_eq!(tcp(reached(UID, &all).await), &lines(own, &TCP) | &lines(service, &TCP));
    assert_eq!(tcp(reached(UID + 1, &all).await), &lines(other, &TCP) | &lines(service, &TCP));
    assert_eq!(tcp(reached(UID + 2, &all).await), lines(service, &TCP));
    let build = rules.tables.build_uid(UID);
    assert_eq!(tcp(reached(build, &all).await), lines(service, &TCP), "a build is nobody's app");
    rules.tables.guard_instances(&Guarded::default()).await.unwrap();
    assert_eq!(tcp(reached(UID, &[own, other]).await), &lines(own, &TCP) | &lines(other, &TCP), "released");
    rules.end().await;
}

#[tokio::test]
async fn a_build_reaches_nothing_of_the_loopback_but_what_is_open_to_it() {
    let Some(rules) = Rules::new() else { return };
    let ((_a, index), (_b, database)) = (listen(), listen());
    let resolver = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let open = BTreeSet::from([SocketAddr::from(([127, 0, 0, 1], index))]);
    rules.tables.guard_builds(&open).await.unwrap();
    let build = rules.tables.build_uid(UID);
    assert_eq!(reached(build, &[index, database, resolver]).await, lines(index, &["127.0.0.1"]));
    assert!(reached(build, &[53]).await.contains("53 udp"), "name servers are let through");
    let others = reached(UID, &[index, database]).await;
    assert!(lines(database, &TCP).is_subset(&others), "apps are not builds: {others:?}");
    rules.end().await;
}
