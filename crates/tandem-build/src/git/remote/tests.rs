//! Every spelling of a URL, and what is refused.

use super::*;

#[test]
fn https_and_ssh_are_read_in_every_spelling_and_written_as_they_were() {
    for (url, known_as, name) in [
        ("https://git.example.org/team/shop.git", "git.example.org", "shop"),
        ("https://git.example.org:8443/shop/", "[git.example.org]:8443", "shop"),
        ("ssh://git@git.example.org/team/shop.git", "git.example.org", "shop"),
        ("ssh://git@git.example.org:2222/~/shop", "[git.example.org]:2222", "shop"),
        ("git@git.example.org:team/shop.git", "git.example.org", "shop"),
        ("https://[::1]:8443/x", "[::1]:8443", "x"),
    ] {
        let remote = Remote::parse(url).unwrap_or_else(|refused| panic!("{url}: {refused}"));
        assert_eq!((remote.url().as_str(), remote.known_as().as_str(), remote.name()), (url, known_as, name));
        assert!(is_url(url) || !url.contains('@'), "{url}");
    }
}

#[test]
fn a_host_is_one_however_it_is_written_and_ssh_asks_as_git() {
    for (url, written) in [
        ("git@GitHub.com:A/B", "git@github.com:A/B"),
        ("https://H/X", "https://h/X"),
        ("h:shop", "git@h:shop"),
        ("ssh://h/x", "ssh://git@h/x"),
    ] {
        assert_eq!(Remote::parse(url).expect(url).url(), written);
    }
}

#[test]
fn other_schemes_and_whatever_a_program_could_take_for_a_command_are_refused() {
    let code = |url: &str| Remote::parse(url).expect_err(url).to_problem().code;
    for url in ["http://h/x", "git://h/x", "file:///etc", "ext::sh -c id", "ext::sh", "ftp://h/x", "fd::17/x"]
    {
        let expected = if url.contains(' ') { "git_url_invalid" } else { "git_url_refused" };
        assert_eq!(code(url), expected, "{url}");
        assert!(is_url(url), "{url}");
    }
    for url in ["https://joe:pw@h/x", "https://t0ken@h/x", "ssh://git:pw@h/x"] {
        assert_eq!(code(url), "git_url_password", "{url}");
    }
    for url in [
        "",
        "https://h",
        "https://h/",
        "https:///x",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id:x",
        "git@-h:x",
        "git@h:-x",
        "https://h/x?token=1",
        "https://h/x#y",
        "https://h/a'b",
        "https://h/$(id)",
        "https://h:x/y",
        "/srv/shop",
        "shop",
        "https://h/x\ny",
    ] {
        assert_eq!(code(url), "git_url_invalid", "{url:?}");
    }
    assert!(Remote::parse("http://h/x").expect_err("refused").to_problem().hint.contains("https://"));
}

#[test]
fn a_folder_is_not_taken_for_a_url() {
    for path in [".", "/srv/shop", "../a@b/c:d", "shop", "C", "a:b", "./git@h:x"] {
        assert!(!is_url(path), "{path}");
    }
}

#[test]
fn names_that_git_would_take_for_something_else_are_refused() {
    for name in ["main", "v1.2", "feature/x-y", "refs/heads/main", "HEAD", &"a".repeat(40)] {
        assert_eq!(check_reference(name), Ok(()), "{name}");
    }
    for name in [
        "",
        "-x",
        "--upload-pack=id",
        "a b",
        "a..b",
        "main~1",
        "main^",
        "a:b",
        "a@{1}",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a.lock",
        "a/.b",
        "*",
        "a\n",
        &"a".repeat(300),
    ] {
        assert!(check_reference(name).is_err(), "{name:?}");
    }
}

#[test]
fn urls_of_submodules_may_be_relative_and_follow_the_same_rules() {
    for (base, url, joined) in [
        ("https://h/team/shop.git", "../theme.git", Ok("https://h/team/theme.git")),
        ("https://h/team/shop.git", "./theme", Ok("https://h/team/shop.git/theme")),
        ("git@h:team/shop.git", "../../other/theme", Ok("git@h:other/theme")),
        ("https://h/shop.git", "git@other:x", Ok("git@other:x")),
        ("https://h/shop", "../../../x", Err("git_url_invalid")),
        ("https://h/shop", "file:///srv/x", Err("git_url_refused")),
        ("https://h/shop", "/srv/x", Err("git_url_invalid")),
        ("https://h/shop", "ext::sh", Err("git_url_refused")),
        ("https://h/shop", "-u", Err("git_url_invalid")),
    ] {
        let base = Remote::parse(base).expect(base);
        let found = base.join(url).map(|remote| remote.url()).map_err(|refused| refused.to_problem().code);
        assert_eq!(found.as_deref().map_err(String::as_str), joined, "{url}");
    }
}
