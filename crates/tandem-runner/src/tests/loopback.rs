//! What instances and jobs reach of the loopback that they share.

use std::net::TcpListener;
use std::path::Path;

use tandem_sandbox::tool::Tool;
use tandem_types::assignment::{Assignment, JobKind};
use tandem_types::instance::{Address, InstanceState, JobState};
use tandem_types::{Fence, Span};

use super::scene::Scene;
use crate::EndMode;
use crate::testing::{job, web};

const NFT: &str = "/usr/sbin/nft";
const TRY: &str = "import socket, sys\n\
    for port in sys.argv[1:]:\n\
    \x20   try: socket.create_connection(('127.0.0.1', int(port)), 5).close(); print(port)\n\
    \x20   except ConnectionRefusedError: pass\n";

/// The rules of this host as nft lists them; none where there is no table.
async fn table(scene: &Scene) -> Option<String> {
    let name = scene.data.cgroup_name().replace('/', "_");
    let call = Tool::new(NFT).args(["list", "table", "inet", &name]);
    let output = call.run(Span::seconds(30)).await.expect("nft answers");
    (output.code == Some(0)).then(|| String::from_utf8(output.stdout).expect("rules are text"))
}

async fn port_of(scene: &Scene, id: u64) -> u16 {
    let line = scene.state(id, InstanceState::Ready).await;
    let Some(Address::Tcp(address)) = line.address else { panic!("{line:?} has a port") };
    address.port()
}

#[tokio::test]
async fn an_app_reaches_services_and_itself_but_no_other_app_nor_a_closed_port() {
    if !nix::unistd::Uid::effective().is_root() || !Path::new(NFT).exists() {
        return;
    }
    let mut scene = Scene::new().await;
    let bind = || TcpListener::bind(("127.0.0.1", 0)).expect("there are ports");
    let (api, service) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().expect("it listens").port();
    scene.closed_ports.send_replace([port(&api)].into());
    let app: &[(&str, &str)] = &[("app.py", include_str!("app.py")), ("try.py", TRY)];
    let command = "exec python3 /app/app.py";
    let mut own = Assignment { instances: vec![web(1, command)], ..scene.assignment(app) };
    let mut other = Assignment { instances: vec![web(2, command)], uid: own.uid + 1, ..own.clone() };
    other.environment = "staging".parse().expect("it is a name");
    scene.server.put(&own);
    scene.server.put(&other);
    scene.start();
    let ports = [port_of(&scene, 1).await, port_of(&scene, 2).await, port(&api), port(&service)];

    let words = ports.map(|port| port.to_string()).join(" ");
    let command = format!("python3 /app/try.py {words} > /data/reached");
    own.jobs = vec![job(1, JobKind::Smoke, &command)];
    own.fence = Fence(2);
    scene.server.put(&own);
    assert!(matches!(scene.job_end(1).await, JobState::Ended { exit } if exit.code == Some(0)));
    let reached = std::fs::read_to_string(scene.volume("reached")).expect("the job wrote it");
    assert_eq!(reached, format!("{}\n{}\n", ports[0], ports[3]));

    scene.kill().await;
    let before = table(&scene).await.expect("instances outlive the runner, and so do their rules");
    scene.start();
    scene.state(2, InstanceState::Ready).await;
    assert_eq!(table(&scene).await, Some(before));

    scene.closed_ports.send_replace([port(&api), 4_567].into());
    let limit = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !table(&scene).await.is_some_and(|table| table.contains("4567")) {
        assert!(tokio::time::Instant::now() < limit, "a server at another address is closed to apps");
    }

    scene.server.delete(&other);
    let owner = format!("{} . {}", other.uid, ports[1]);
    scene.until("i2 to be forgotten", |report| (report.instances.len() == 1).then_some(())).await;
    let after = table(&scene).await.expect("i1 runs");
    assert!(!after.contains(&owner) && after.contains(&format!("{} . {}", own.uid, ports[0])), "{after}");
    scene.drain(EndMode::StopAll).await;
    assert_eq!(table(&scene).await, None);
}
