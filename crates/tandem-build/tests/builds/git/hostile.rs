//! What a repository or its host brings along to have something run.

use std::path::Path;

use tandem_testkit::git_server::GitServer;

use super::bench::Bench;

/// Filters that nobody defined, and hooks and configuration as files of the source.
const TRAP: &str = "\
mkdir -p hooks
printf '#!/bin/sh\\ntouch /app/caught\\n' >hooks/post-checkout && chmod +x hooks/post-checkout
printf '[core]\\n\\thooksPath = hooks\\n[filter \"trap\"]\\n\\tsmudge = touch /app/caught\\n' >.gitconfig
cp .gitconfig config
printf '*.py filter=trap\\n*.txt text eol=crlf ident\\n' >.gitattributes
echo one >app.py
printf 'a\\n' >a.txt
git add . && git commit -qm trap";
/// Hooks that leave a mark, where git looks for hooks and where the configuration beside them says they are.
const PLANTED: &str = "\
mkdir -p hooks other
for hook in reference-transaction post-index-change post-checkout fsmonitor; do
  printf '#!/bin/sh\\ntouch \"$GIT_DIR/caught\"\\n' >hooks/$hook
done
chmod +x hooks/* && cp hooks/* other/
printf '[core]\\n\\thooksPath = /git/other\\n\\tfsmonitor = /git/other/fsmonitor\\n' >>config";

#[tokio::test]
async fn hooks_filters_and_configuration_of_a_repository_do_nothing() {
    let server = GitServer::start();
    server.commit("trap", TRAP);
    let bench = Bench::of(&server, &[]).await;
    let git = bench.folder().join("git");
    for count in ["one", "two"] {
        let fetched = bench.fetch(&server.url("trap"), None).await;
        let files = bench.files(&fetched);
        assert_eq!(files["app.py"], format!("{count}\n"));
        assert_eq!(files["a.txt"], "a\r\n", "what a clone has");
        assert!(!files.keys().any(|name| name.contains("caught")), "{:?}", files.keys());
        assert!(!git.join("caught").exists(), "a hook ran");
        if count == "one" {
            assert!(!git.join("hooks").exists(), "no template was copied");
            // As if somebody had found a way to write there: the next fetch updates references, and an index.
            server.run(&git, PLANTED);
            server.commit("trap", "echo two >app.py && git commit -qam two");
        }
    }
    assert!(git.join("hooks/reference-transaction").exists(), "the hooks were there");
}

#[tokio::test]
async fn a_tree_that_git_itself_would_not_check_out_is_refused() {
    let server = GitServer::start();
    let script = "\
blob=$(echo '[core] fsmonitor = touch /app/caught' | git hash-object -w --stdin)
tree=$(printf '100644 blob %s\\tconfig\\n' $blob | git mktree)
top=$(printf '040000 tree %s\\t.git\\n' $tree | git mktree)
git reset -q --soft $(git commit-tree -m x $top)";
    server.commit("dotgit", script);
    let bench = Bench::of(&server, &[]).await;
    let problem = bench.problem(&server.url("dotgit"), None).await;
    assert_eq!(problem.code, "git_failed", "{problem:?}");
    assert!(problem.detail.contains(".git"), "{problem:?}");
}

#[tokio::test]
async fn nothing_that_is_no_source_is_taken_though_it_is_committed() {
    let server = GitServer::start();
    server.commit(
        "venv",
        "mkdir -p pkg/__pycache__ .venv/lib && echo 1 >pkg/__pycache__/a.pyc && echo x >.venv/pyvenv.cfg
         echo 1 >.venv/lib/a.py && echo 1 >pkg/a.py && git add -f . && git commit -qm x",
    );
    let bench = Bench::of(&server, &[]).await;
    let fetched = bench.fetch(&server.url("venv"), None).await;
    assert_eq!(bench.files(&fetched).into_keys().collect::<Vec<_>>(), ["pkg/a.py"]);
}

#[tokio::test]
async fn urls_that_are_not_fetched_from_start_nothing() {
    let server = GitServer::start();
    let bench = Bench::of(&server, &[]).await;
    for url in [
        "ext::sh",
        "file:///etc",
        "/etc",
        "http://127.0.0.1/x",
        "git://127.0.0.1/x",
        "https://a:b@127.0.0.1/x",
    ] {
        let problem = bench.problem(url, None).await;
        assert!(problem.code.starts_with("git_url_"), "{problem:?}");
        assert!(!problem.hint.is_empty());
    }
    let problem = bench.problem(&server.url("x"), Some("--upload-pack=touch /tmp/never")).await;
    assert_eq!(problem.code, "git_ref_invalid");
    assert!(!bench.folder().join("git").exists() && !Path::new("/tmp/never").exists());
}
