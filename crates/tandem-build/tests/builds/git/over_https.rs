//! What is fetched of a repository that everybody may read, and what is said where it is not.

use tandem_testkit::git_server::GitServer;

use super::bench::Bench;
use crate::index::has_packet_rules;

const FIRST: &str = "\
mkdir -p pkg
echo one >app.py
echo '*.log' >.gitignore
echo kept >pkg/all.log
printf '#!/bin/sh\\n' >run
chmod +x run
ln -s app.py link
git add -f . && git commit -qm 'First one

with more'
git tag -am note v1
git branch feature/x
echo two >app.py
git commit -qam 'Second one'";

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_are_fetched_as_they_were_committed() {
    let server = GitServer::start();
    let second = server.commit("shop", FIRST);
    let (bench, url) = (Bench::of(&server, &[]).await, server.url("shop"));
    let fetched = bench.fetch(&url, None).await;
    let files = bench.files(&fetched);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [".gitignore", "app.py", "link", "pkg/all.log", "run*"]);
    assert_eq!((files["app.py"].as_str(), files["link"].as_str()), ("two\n", "-> app.py"));
    let info = &fetched.info;
    assert_eq!((info.url.as_ref(), info.commit.as_ref()), (Some(&url), Some(&second)));
    assert_eq!((info.branch.as_deref(), info.subject.as_deref()), (Some("main"), Some("Second one")));
    assert_eq!(bench.note(), format!("main is {}, 4 files", &second[..10]));
    assert_eq!(fetched.warnings, [""; 0]);

    let tag = bench.fetch(&url, Some("v1")).await;
    assert_eq!(bench.files(&tag)["app.py"], "one\n");
    assert_eq!((tag.info.branch, tag.info.reference.as_deref()), (None, Some("v1")));
    assert_eq!(tag.info.subject.as_deref(), Some("First one"));
    let first = tag.info.commit.expect("a commit");
    let branch = bench.fetch(&url, Some("feature/x")).await;
    assert_eq!((branch.info.commit.as_ref(), branch.tree), (Some(&first), tag.tree));

    server.commit("shop", "echo three >app.py && git commit -qam Third");
    assert_eq!(bench.files(&bench.fetch(&url, None).await)["app.py"], "three\n");
    assert_eq!(
        bench.files(&bench.fetch(&url, Some(&second)).await)["app.py"],
        "two\n",
        "no branch is there any more"
    );
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_with_those_that_are_near() {
    let server = GitServer::start();
    let commit = server.commit("shop", FIRST);
    let (bench, url) = (Bench::of(&server, &[]).await, server.url("shop"));
    let problem = bench.problem(&url, Some("mian")).await;
    assert_eq!((problem.code.as_str(), problem.hint.as_str()), ("git_ref_missing", "it has main"));
    let problem = bench.problem(&url, Some(&commit[..8])).await;
    assert!(problem.hint.contains("whole hash"), "{problem:?}");
    let problem = bench.problem(&url, Some(&"1".repeat(40))).await;
    assert_eq!(problem.code, "git_ref_missing", "{problem:?}");
    assert!(problem.title.contains("has no commit 111"), "{problem:?}");
    server.commit("empty", "git commit -q --allow-empty -m x");
    server.run(&server.repository("empty"), "git update-ref -d refs/heads/main");
    let problem = bench.problem(&server.url("empty"), None).await;
    assert_eq!(problem.code, "git_ref_missing", "{problem:?}");
}

#[tokio::test]
async fn a_source_that_calls_the_app_otherwise_says_so() {
    let server = GitServer::start();
    let files =
        "mkdir -p api && echo 'app = \"other\"' >tandem.toml && echo 'app = \"shop\"' >api/tandem.toml";
    server.commit("shop", &format!("{files} && git add . && git commit -qm x"));
    let bench = Bench::of(&server, &[]).await;
    let fetched = bench.fetch(&server.url("shop"), None).await;
    let [warning] = fetched.warnings.as_slice() else { panic!("{:?}", fetched.warnings) };
    assert!(warning.starts_with("tandem.toml calls this app other, and it is deployed as shop"), "{warning}");
    server.commit("shop", "echo 'app = \"third\"' >third.toml && ln -sf third.toml tandem.toml && git add . && git commit -qm x");
    assert_eq!(bench.fetch(&server.url("shop"), None).await.warnings, [""; 0], "links are not followed");
}

#[tokio::test]
async fn who_cannot_be_reached_or_will_not_say_is_told_with_what_helps() {
    let server = GitServer::start();
    server.commit("shop", FIRST);
    let bench = Bench::of(&server, &[]).await;
    for name in ["closed/shop", "nowhere"] {
        let problem = bench.problem(&server.url(name), None).await;
        assert_eq!(problem.code, "git_denied", "{problem:?}");
        assert!(problem.hint.contains("tandem key create --app shop"), "{problem:?}");
        assert!(problem.hint.contains(&format!("git@127.0.0.1:{name}.git")), "{problem:?}");
    }
    for name in ["moved", "moved-file"] {
        let problem = bench.problem(&server.url(name), None).await;
        assert!(["git_unreachable", "git_failed"].contains(&problem.code.as_str()), "{problem:?}");
    }
    for other in ["GIT_SSL_CAINFO", "SSL_CERT_FILE"] {
        let (authority, others) =
            (server.authority().display().to_string(), "/etc/ssl/certs/ca-certificates.crt");
        let mut network = vec![("TANDEM_BUILD_LOOPBACK", server.address()), (other, authority)];
        network.push((
            if other == "SSL_CERT_FILE" { "GIT_SSL_CAINFO" } else { "SSL_CERT_FILE" },
            others.to_owned(),
        ));
        Bench::with(&network, |_| {}).await.fetch(&server.url("shop"), None).await;
    }
    let stranger = Bench::with(&[("TANDEM_BUILD_LOOPBACK", server.address())], |_| {}).await;
    let problem = stranger.problem(&server.url("shop"), None).await;
    assert_eq!(problem.code, "git_unreachable", "its authority is not trusted: {problem:?}");
    if has_packet_rules() {
        let authority = server.authority().display().to_string();
        let closed = Bench::with(&[("SSL_CERT_FILE", authority)], |_| {}).await;
        let problem = closed.problem(&server.url("shop"), None).await;
        assert_eq!(problem.code, "git_unreachable", "{problem:?}");
        assert!(problem.hint.contains("TANDEM_BUILD_LOOPBACK"), "{problem:?}");
    }
}

#[tokio::test]
async fn a_fetch_that_was_killed_is_in_nobodys_way() {
    let server = GitServer::start();
    server.commit("shop", FIRST);
    let (bench, url) = (Bench::of(&server, &[]).await, server.url("shop"));
    bench.fetch(&url, None).await;
    let git = bench.folder().join("git");
    for left in ["shallow.lock", "refs/tandem/source.lock", "objects/pack/tmp_pack_aBcDeF"] {
        tandem_kit::files::write_atomic_unsynced(&git.join(left), b"", 0o644)
            .expect("the folder takes files");
        server.commit("shop", &format!("echo '{left}' >app.py && git commit -qam x"));
        assert_eq!(bench.files(&bench.fetch(&url, None).await)["app.py"], format!("{left}\n"));
        assert!(!git.join(left).exists(), "{left}");
    }
    let mark = git.join("mark");
    tandem_kit::files::write_atomic_unsynced(&mark, b"x", 0o644).expect("the folder takes files");
    bench.fetch(&url, None).await;
    bench.problem(&url, Some("nope")).await;
    bench.fetch(&url, None).await;
    assert!(mark.exists(), "one in which nobody was killed stays");
}

#[tokio::test]
async fn a_repository_that_is_too_large_is_ended_and_leaves_nothing() {
    let server = GitServer::start();
    server.commit("large", "head -c 3000000 /dev/urandom >blob && git add . && git commit -qm large");
    server.commit("small", "echo one >app.py && git add . && git commit -qm small");
    let authority = server.authority().display().to_string();
    let network = [("TANDEM_BUILD_LOOPBACK", server.address()), ("SSL_CERT_FILE", authority)];
    let bench = Bench::with(&network, |config| config.git_bytes = 1 << 20).await;
    let problem = bench.problem(&server.url("large"), None).await;
    assert_eq!(problem.code, "git_too_large", "{problem:?}");
    assert!(problem.title.ends_with("is larger than the 1 MiB that a fetch may bring"), "{problem:?}");
    assert_eq!(bench.files(&bench.fetch(&server.url("small"), None).await)["app.py"], "one\n");
    let kept = tandem_kit::disk::measure(&bench.folder().join("git"), 0).bytes;
    assert!(kept < 1 << 20, "{kept} bytes are kept");
}

#[tokio::test]
async fn files_in_lfs_and_links_that_lead_out_are_told_by_their_paths() {
    let server = GitServer::start();
    server.commit(
        "lfs",
        "mkdir img && printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:aa\\nsize 9\\n' >img/logo.png
         echo '*.png filter=lfs diff=lfs merge=lfs -text' >.gitattributes && git add . && git commit -qm x",
    );
    server.commit("link", "mkdir a && ln -s ../../etc/passwd a/out && git add . && git commit -qm x");
    let bench = Bench::of(&server, &[]).await;
    let problem = bench.problem(&server.url("lfs"), None).await;
    assert_eq!(problem.code, "git_lfs_pointer");
    assert!(problem.title.starts_with("img/logo.png is kept in Git LFS"), "{problem:?}");
    let problem = bench.problem(&server.url("link"), None).await;
    assert_eq!(problem.code, "source_refused");
    assert_eq!(problem.title, "a/out is not taken: it is a link, and its target is outside of the folder");
}
