//! Submodules: fetched under the rules of the source that names them.

use tandem_testkit::git_server::GitServer;

use super::bench::Bench;

/// A gitlink without git's own `submodule add`, which would refuse what a hostile repository holds.
fn with_submodule(server: &GitServer, name: &str, (path, url, commit): (&str, &str, &str)) {
    server.commit(
        name,
        &format!(
            "echo {name} >{name}.py
             git config -f .gitmodules submodule.{path}.path {path}
             git config -f .gitmodules submodule.{path}.url '{url}'
             git config -f .gitmodules submodule.{path}.update '!touch /tmp/never'
             git add . && git update-index --add --cacheinfo 160000,{commit},{path} && git commit -qm {name}"
        ),
    );
}

#[tokio::test]
async fn submodules_are_fetched_at_their_commits_also_by_relative_urls_and_within_each_other() {
    let server = GitServer::start();
    let old = server.commit("deep", "echo deep >deep.py && git add . && git commit -qm deep");
    server.commit("deep", "echo newer >deep.py && git commit -qam newer");
    with_submodule(&server, "theme", ("vendor", "../deep.git", &old));
    let theme = server.commit("theme", "");
    with_submodule(&server, "shop", ("theme", "../theme.git", &theme));
    let bench = Bench::of(&server, &[]).await;
    let fetched = bench.fetch(&server.url("shop"), None).await;
    let files = bench.files(&fetched);
    let names: Vec<_> = files.keys().map(String::as_str).filter(|name| name.ends_with(".py")).collect();
    assert_eq!(names, ["shop.py", "theme/theme.py", "theme/vendor/deep.py"]);
    assert_eq!(files["theme/vendor/deep.py"], "deep\n", "the commit that is named, not the newest");
}

#[tokio::test]
async fn a_submodule_from_elsewhere_than_sources_come_from_is_refused_by_name() {
    let server = GitServer::start();
    let commit = server.commit("theme", "echo x >x.py && git add . && git commit -qm x");
    let local = server.repository("theme");
    let file = format!("file://{}", local.display());
    for (number, (url, code)) in [
        (file.as_str(), "git_url_refused"),
        (local.to_str().expect("a plain path"), "git_url_invalid"),
        ("ext::sh -c touch% /tmp/never", "git_url_invalid"),
        ("-u./x", "git_url_invalid"),
        ("https://joe:pw@127.0.0.1/x.git", "git_url_password"),
        ("../nowhere.git", "git_denied"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("shop{number}");
        with_submodule(&server, &name, ("theme", url, &commit));
        let bench = Bench::of(&server, &[]).await;
        let problem = bench.problem(&server.url(&name), None).await;
        assert_eq!(problem.code, code, "{url}: {problem:?}");
        assert!(problem.title.starts_with("the submodule theme: "), "{problem:?}");
        assert!(!problem.title.contains("pw"), "{problem:?}");
    }
}

#[tokio::test]
async fn a_submodule_that_nothing_names_is_left_empty_and_told() {
    let server = GitServer::start();
    let commit = server.commit("theme", "echo x >x.py && git add . && git commit -qm x");
    let script = format!(
        "echo x >app.py && git add . && git update-index --add --cacheinfo 160000,{commit},lost && git commit -qm x"
    );
    server.commit("shop", &script);
    let bench = Bench::of(&server, &[]).await;
    let fetched = bench.fetch(&server.url("shop"), None).await;
    assert_eq!(fetched.warnings, ["lost is empty: it is a submodule that .gitmodules does not name"]);
}
