//! Private repositories: keys of apps, and keys of hosts.

use tandem_build::git::{KeyPair, create_key, fingerprint_of};
use tandem_testkit::git_server::{GitServer, SshServer};

use super::bench::Bench;

const APP: &str = "echo private >app.py && git add . && git commit -qm Private";

/// sshd wants root; without it the rest of the suite still tests HTTPS.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn servers() -> Option<(GitServer, SshServer)> {
    let servers = SshServer::is_there().then(|| (GitServer::start(), SshServer::start()));
    if servers.is_none() {
        println!("left out: there is no root or no /usr/sbin/sshd (apt-get install openssh-server)");
    }
    servers
}

async fn key(bench: &Bench) -> KeyPair {
    create_key(&bench.data, &"shop".parse().expect("a name")).await.expect("a key")
}

#[tokio::test]
async fn a_private_repository_is_fetched_with_the_app_s_key_and_no_other() {
    let Some((server, ssh)) = servers() else { return };
    server.commit("private", APP);
    let url = ssh.url(&server.repository("private"));
    let mut bench = Bench::of(&server, &[ssh.address()]).await;
    let problem = bench.problem(&url, None).await;
    assert_eq!(problem.code, "git_denied", "{problem:?}");
    assert!(problem.hint.contains("tandem key create --app shop"), "{problem:?}");
    let pair = key(&bench).await;
    bench.key = Some(pair.clone());
    let problem = bench.problem(&url, None).await;
    assert_eq!(problem.code, "git_denied", "{problem:?}");
    assert!(problem.hint.ends_with(&pair.public), "{problem:?}");
    ssh.authorize(&pair.public);
    let fetched = bench.fetch(&url, None).await;
    assert_eq!(bench.files(&fetched)["app.py"], "private\n");
    assert_eq!(fetched.info.url.as_deref(), Some(url.as_str()));
    expect_nowhere(bench.data.root(), &pair.private);
}

/// Neither in the repository's configuration nor in what commands left.
fn expect_nowhere(root: &std::path::Path, private: &str) {
    let line = private.lines().nth(2).expect("a key has some lines").as_bytes();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).expect("it can be listed").flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(path);
            } else if let Ok(content) = std::fs::read(&path) {
                assert!(!content.windows(line.len()).any(|window| window == line), "{}", path.display());
            }
        }
    }
}

#[tokio::test]
async fn a_host_is_pinned_at_its_first_use_and_named_when_its_key_changes() {
    let Some((server, mut ssh)) = servers() else { return };
    server.commit("private", APP);
    let url = ssh.url(&server.repository("private"));
    let mut bench = Bench::of(&server, &[ssh.address()]).await;
    bench.key = Some(key(&bench).await);
    ssh.authorize(&bench.key.as_ref().expect("just made").public);
    let attempt = bench.attempt(&url, None).await;
    attempt.result.expect("it is fetched");
    let before = fingerprint_of(&ssh.host_key()).expect("a key");
    let pins: Vec<_> = attempt.pins.iter().map(|pin| (pin.host.clone(), fingerprint_of(&pin.key))).collect();
    let host = ssh.address().replacen("127.0.0.1:", "[127.0.0.1]:", 1);
    assert_eq!(pins, [(host.clone(), Some(before.clone()))]);

    bench.known_hosts = attempt.pins.iter().map(|pin| format!("{} {}", pin.host, pin.key)).collect();
    let again = bench.attempt(&url, None).await;
    again.result.expect("it is fetched");
    assert_eq!(again.pins, [], "known already");

    ssh.start_with_new_key();
    let changed = bench.attempt(&url, None).await;
    assert_eq!(changed.pins, []);
    let problem = changed.result.expect_err("somebody may be in between").to_problem();
    assert_eq!(problem.code, "git_host_key_changed", "{problem:?}");
    let after = fingerprint_of(&ssh.host_key()).expect("a key");
    assert_eq!(problem.detail, format!("known: {before}\nshown: {after}"));
    assert!(problem.hint.contains(&format!("tandem key trust {host}")), "{problem:?}");

    bench.known_hosts.clear();
    bench.fetch(&url, None).await;
}
