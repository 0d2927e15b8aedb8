//! Sources by URL and by reference, with the real binary, a real HTTPS server and a real sshd.

use nix::sys::signal::Signal;
use tandem_kit::points::{Effect, Point};
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::git_server::{GitServer, SshServer};
use tandem_testkit::hold::Holds;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::PLAIN;

/// Points that are passed here and not in the kill matrix, whose deploys send their source.
pub(crate) const POINTS: [Point; 1] = [Point::Effect(Effect::SourceFetched)];

/// `plain` in a repository: `v1` answers `one`, `main` answers `two`.
fn repository(server: &GitServer) -> String {
    let folder = AppFolder::fixture("plain");
    let path = folder.path().display();
    server
        .commit("plain", &format!("cp -r '{path}/.' . && git add -f . && git commit -qm One && git tag v1"));
    server.commit("plain", "sed -i 's/TEXT = \"one\"/TEXT = \"two\"/' server.py && git commit -qam Two")
}

/// Tandem that may reach the servers and trusts their authority.
fn installation(server: &GitServer, others: &[String]) -> Installation {
    let mut installation = Installation::prepare(Setting::of(TANDEM));
    installation.take_tools();
    installation.set("SSL_CERT_FILE", server.authority());
    installation.set("TANDEM_BUILD_LOOPBACK", [&[server.address()], others].concat().join(" "));
    installation.start_again();
    installation
}

#[test]
fn a_url_is_deployed_at_a_tag_and_at_its_branch_and_the_release_says_so() {
    let server = GitServer::start();
    let commit = repository(&server);
    let installation = installation(&server, &[]);
    let url = server.url("plain");
    let deployed = installation.tandem(["deploy", &url, "--ref", "v1"]).expect_success();
    assert!(deployed.stderr.contains(&format!("deploying plain/production from {url} (v1)")), "{deployed}");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    let _ = installation.tandem(["deploy", &url]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    let shown = installation.tandem(["release", "show", "r2", "--app", "plain"]).expect_success().stdout;
    assert!(shown.contains(&format!("{} on main: Two", &commit[..12])), "{shown}");
    assert!(shown.contains(&url), "{shown}");
    let listed = installation.tandem(["releases", "--app", "plain"]).expect_success().stdout;
    assert!(listed.contains(&commit[..10]), "{listed}");
    let missing = installation.tandem(["deploy", &url, "--ref", "v11"]).expect_code(1).stderr;
    assert!(missing.contains("has no branch or tag v11") && missing.contains("it has v1"), "{missing}");
    let refused = installation.tandem(["deploy", "file:///etc"]).expect_code(1).stderr;
    assert!(refused.contains("sources are not fetched by `file`"), "{refused}");
    installation.finish();
}

#[test]
fn a_server_that_dies_behind_the_fetch_fetches_again_and_goes_on() {
    let server = GitServer::start();
    repository(&server);
    let mut installation = installation(&server, &[]);
    let holds = Holds::of(installation.data());
    installation.end(Signal::SIGTERM);
    installation.start_again();
    let point = POINTS[0];
    holds.hold(point);
    let url = server.url("plain");
    let client = installation.program(["deploy", &url]);
    let client = client.output(&installation.data().root().join("../client.log")).start();
    eventually("the source is fetched", || holds.is_reached(point).then_some(()));
    installation.end(Signal::SIGKILL);
    holds.let_go(point);
    drop(client);
    installation.start_again();
    let watched = installation.tandem(["rollout", "watch", "ro1", "--app", "plain"]);
    let _ = watched.expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    installation.finish();
}

#[test]
fn a_private_repository_is_deployed_with_the_key_that_was_printed() {
    if !SshServer::is_there() {
        println!("left out: there is no root or no /usr/sbin/sshd (apt-get install openssh-server)");
        return;
    }
    let (server, mut ssh) = (GitServer::start(), SshServer::start());
    repository(&server);
    let installation = installation(&server, &[ssh.address()]);
    let url = ssh.url(&server.repository("plain"));
    let denied = installation.tandem(["deploy", &url]).expect_code(1).stderr;
    assert!(denied.contains("was met for the first time: its key SHA256:"), "{denied}");
    assert!(denied.contains("tandem key create --app plain"), "{denied}");
    let public = installation.tandem(["key", "create", "--app", "plain"]).expect_success().stdout;
    assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" tandem:plain\n"), "{public}");
    assert_eq!(installation.tandem(["key", "show", "--app", "plain"]).expect_success().stdout, public);
    ssh.authorize(public.trim_end());
    let _ = installation.tandem(["deploy", &url]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    ssh.start_with_new_key();
    let changed = installation.tandem(["deploy", &url]).expect_code(1).stderr;
    assert!(changed.contains("shows another key than when it was met first"), "{changed}");
    let host = ssh.address().replacen("127.0.0.1:", "[127.0.0.1]:", 1);
    assert!(changed.contains(&format!("tandem key trust {host}")), "{changed}");
    let _ = installation.tandem(["key", "trust", &host]).expect_success();
    let _ = installation.tandem(["deploy", &url]).expect_success();
    let _ = installation.tandem(["key", "remove", "--app", "plain"]).expect_success();
    let _ = installation.tandem(["deploy", &url]).expect_code(1);
    installation.finish();
}

#[test]
fn a_commit_of_a_folder_is_deployed_without_what_is_not_committed() {
    let server = GitServer::start();
    repository(&server);
    let installation = Installation::start(TANDEM);
    let work = server.work_tree("plain");
    tandem_kit::files::write_atomic_unsynced(&work.join("server.py"), b"broken\n", 0o644).expect("changed");
    let path = work.to_str().expect("a plain path");
    let deployed = installation.tandem(["deploy", path, "--ref", "v1"]).expect_success();
    let told = "1 uncommitted file plays no part: v1 is sent as it was committed";
    assert!(deployed.stderr.contains(told), "{deployed}");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    let bare = server.repository("plain");
    let _ = installation
        .tandem(["deploy", bare.to_str().expect("a plain path"), "--ref", "main"])
        .expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    let missing = installation.tandem(["deploy", path, "--ref", "nope"]).expect_code(1).stderr;
    assert!(missing.contains("has no branch, tag or commit nope") && missing.contains("main"), "{missing}");
    let _ = installation.tandem(["deploy", path, "--ref", "main~1"]).expect_success();
    let shown = installation.tandem(["release", "show", "r3", "--app", "plain"]).expect_success().stdout;
    assert!(shown.contains(": One") && !shown.contains("on main~1"), "{shown}");
    let new = work.join("new");
    std::fs::create_dir(&new).expect("a new folder");
    let missing = installation.tandem(["deploy", new.to_str().expect("a plain path"), "--ref", "v1"]);
    let missing = missing.expect_code(1).stderr;
    assert!(missing.contains("/new is not in v1"), "{missing}");
    installation.finish();
}
