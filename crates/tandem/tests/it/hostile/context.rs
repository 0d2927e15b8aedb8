//! Where the things of others are, as only somebody outside can know.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tandem_testkit::installation::Installation;

use crate::screen::instances;

/// The context of all tries, and what must live as long as they run.
pub(super) struct Context {
    /// As the app gets it.
    pub(super) inside: Value,
    /// For the same tries as root and without a sandbox.
    pub(super) outside: Value,
    _listeners: [UnixListener; 2],
    _folder: tempfile::TempDir,
}

impl Context {
    pub(super) fn of(installation: &Installation) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("open.sock");
        let listener = UnixListener::bind(&path).expect("the folder takes sockets");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let name = format!("tandem-hostile-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("it is short");
        let listeners = [listener, UnixListener::bind_addr(&address).expect("nobody has it")];
        let own = of_app(installation, "hostile", "web.1");
        let data = installation.data();
        let inside = json!({
            "data": data.root(),
            "store": data.database(),
            "keys": data.keys(),
            "blobs": data.blobs(),
            "builds": data.build(),
            "runtime": data.runtime(),
            "api_socket": data.api_socket(),
            "runner_socket": data.runner_socket(),
            "api_port": installation.ready().api.port(),
            "server_pid": server(data.runtime()),
            "host_address": address_of_host(),
            "unix_socket": path,
            "abstract": name,
            "own_unit": data.runner().join("instances").join(&own),
            "own_shim": data.shim_sockets().join(format!("{own}.sock")),
            // As it is called in there; see `keeper`.
            "keeper": 1,
            "cgroup": limit_file(&data.cgroup_name(), &own),
            "neighbor": neighbor(installation),
            "code": "/app/server.py",
            "writable": "/data",
        });
        let code = folder.path().join("code.py");
        tandem_kit::files::write_atomic_unsynced(&code, b"", 0o644).expect("there is room");
        let mut outside = inside.clone();
        outside["outside"] = json!(true);
        outside["keeper"] = json!(keeper(&data.cgroup_name(), &own));
        outside["code"] = json!(code);
        outside["writable"] = json!(folder.path());
        Self { inside, outside, _listeners: listeners, _folder: folder }
    }
}

/// The process of `tandem up`, as it has written itself down.
fn server(runtime: &Path) -> u64 {
    let note: Option<Value> = tandem_kit::files::read_json(&runtime.join("up.json")).expect("it is JSON");
    note.and_then(|note| note["pid"].as_u64()).expect("`tandem up` has said which process it is")
}

fn neighbor(installation: &Installation) -> Value {
    let id = of_app(installation, "neighbor", "web.1");
    let data = installation.data();
    let pid = app(&data.cgroup_name(), &id);
    let port = port_of(pid);
    json!({
        "pid": pid,
        "port": port,
        "uid": uid_of(pid),
        "unit": data.runner().join("instances").join(&id),
        "shim": data.shim_sockets().join(format!("{id}.sock")),
        "secrets": secrets(data.runtime(), &id),
        "logs": data.runner().join("logs/neighbor.production"),
        "file": data.volumes().join("neighbor.production/data/releases"),
    })
}

/// The first instance of a process of an app that serves now.
fn of_app(installation: &Installation, app: &str, process: &str) -> String {
    let lines = instances(installation, app, "serving");
    let line = lines.iter().find(|line| line["name"] == process);
    line.unwrap_or_else(|| panic!("{app} has no {process}: {lines:?}"))["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

/// The app's own process.
fn app(group: &str, id: &str) -> i32 {
    let is_app = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).starts_with("python3")
    };
    members(group, id).into_iter().find(is_app).expect("the app runs")
}

/// Process 1 of the sandbox, which is root's, as it is called outside.
fn keeper(group: &str, id: &str) -> i32 {
    let is_first = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("NSpid:"));
        line.is_some_and(|line| line.split_whitespace().count() > 2 && line.ends_with("\t1"))
    };
    members(group, id).into_iter().find(is_first).expect("the sandbox has a first process")
}

fn members(group: &str, id: &str) -> Vec<i32> {
    let file = group_file(group, id, "cgroup.procs").expect("it has a control group");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Where the limit of processes stands; without such a limit, who is in the group.
fn limit_file(group: &str, id: &str) -> PathBuf {
    let limit = group_file(group, id, "pids.max");
    limit.or_else(|| group_file(group, id, "cgroup.procs")).expect("it has a control group")
}

/// A file of an instance's group, in whichever hierarchy has it.
fn group_file(group: &str, id: &str, name: &str) -> Option<PathBuf> {
    let below = Path::new(group).join(id).join(name);
    let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    roots.map(|root| Path::new(root).join(&below)).into_iter().find(|file| file.exists())
}

fn port_of(pid: i32) -> u16 {
    let addresses = tandem_sandbox::listener::addresses_of(&[pid]).expect("proc can be read");
    addresses.first().expect("it listens").port()
}

fn uid_of(pid: i32) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}")).expect("it runs"))
}

fn secrets(runtime: &Path, id: &str) -> PathBuf {
    let folders = fs::read_dir(runtime).expect("it is ours").flatten();
    let mut files = folders.map(|folder| folder.path().join(format!("{id}.json")));
    files.find(|file| file.exists()).expect("its config is in memory")
}

/// An address that is not the loopback's, or the loopback's where the host has no other.
fn address_of_host() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("there are ports");
    let connected = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    connected.map_or_else(|_| "127.0.0.1".to_owned(), |address| address.ip().to_string())
}
