//! Dependencies that come from git repositories, and why they did not.

use super::{Advice, says};
use crate::requirements::{repository, without_secret};

/// What git says where it finds nobody.
const NOBODY: &[&str] = &[
    "Could not resolve host",
    "Failed to connect",
    "Couldn't connect",
    "Connection refused",
    "Connection timed out",
    "Network is unreachable",
    "No route to host",
    "Operation timed out",
];
/// What it and those it asks say where they want to know who asks.
const REFUSED: &[&str] = &[
    "could not read Username",
    "could not read Password",
    "Authentication failed",
    "Permission denied (publickey",
    "Repository not found",
    "Host key verification failed",
    "returned error: 403",
    "returned error: 401",
    "terminal prompts disabled",
];
/// What it says where there is no such branch, tag or commit.
const NO_REVISION: &[&str] = &[
    "couldn't find remote ref",
    "not our ref",
    "reference is not a tree",
    "failed to find branch",
    "bad object",
];

/// About a repository that a dependency comes from; none where the lines are about something else.
pub(super) fn advice(lines: &[String], repositories: &[(String, String)]) -> Option<Advice> {
    if says(lines, &["Git executable not found"]) {
        let title = "a dependency comes from a git repository, and there is no git".to_owned();
        let hint = "type this on the server: apt-get install git".to_owned();
        return Some(Advice { code: "dependency_failed", title, hint });
    }
    if !says(lines, &["Git operation failed"]) {
        return None;
    }
    let named = lines.iter().find_map(|line| repositories.iter().find(|(url, _)| names(line, url)));
    let (url, by) = match named.or(repositories.first().filter(|_| repositories.len() == 1)) {
        Some((url, by)) => (url.clone(), format!(", which {by} asks for,")),
        None => (url_in(lines)?, String::new()),
    };
    let (title, hint) = if says(lines, NO_REVISION) {
        let hint = "was the branch or tag removed, or the history rewritten? Name a commit that is there, and lock anew: `uv lock`";
        (format!("the git repository {url}{by} has not the revision that is asked for"), hint)
    } else if says(lines, REFUSED) {
        let hint = "builds have no keys and no passwords for git: publish the package on an index that Tandem is given \
                    (UV_INDEX_URL), or put it into the source and name its folder";
        (format!("the git repository {url}{by} is private, or not there"), hint)
    } else if says(lines, NOBODY) && !url.starts_with("http") {
        let hint = "the lines above are git's own; the server must reach that host by SSH, which asks no proxy, and builds have \
                    no keys: name the repository by https://, or publish the package on an index that the server reaches";
        (format!("the git repository {url}{by} cannot be reached from the server"), hint)
    } else if says(lines, NOBODY) {
        let hint = "the lines above are git's own; the server must reach that host: if there is a proxy, set HTTPS_PROXY for Tandem, \
                    or publish the package on an index that it reaches";
        (format!("the git repository {url}{by} cannot be reached from the server"), hint)
    } else {
        (format!("the git repository {url}{by} could not be fetched"), "the lines above are git's own")
    };
    let hint = match url.contains("${") {
        true => {
            "builds have no config values: what stands for one in a requirement is never put in its place"
                .to_owned()
        }
        false => hint.to_owned(),
    };
    Some(Advice { code: "dependency_failed", title, hint })
}

/// Whether a line is about a repository; what stands where URLs have their passwords is struck out in it.
fn names(line: &str, url: &str) -> bool {
    let bare =
        |url: &str| url.split_once('@').map_or(url, |(_, rest)| rest).trim_end_matches(".git").to_owned();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    line.contains(&bare(rest))
}

fn url_in(lines: &[String]) -> Option<String> {
    let line = lines.iter().find(|line| line.contains("git fetch") || line.contains("Failed to download"))?;
    let word = line.split(['\'', '`', ' ']).find(|word| word.contains("://"))?;
    repository(&format!("git+{}", word.trim_start_matches("git+"))).map(|url| without_secret(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "   Updating https://example.org/ours.git (v1)\n\
        error: Failed to download and build `foo @ git+https://example.org/ours.git@v1`\n  cause: Git operation failed\n\
        cause: process didn't exit successfully: `/usr/bin/git fetch 'https://example.org/ours.git' '+HEAD'` (exit status: 128)\n";

    fn told(last: &str, repositories: &[(&str, &str)]) -> Option<Advice> {
        let lines: Vec<String> = HEAD.lines().chain([last]).map(str::to_owned).collect();
        let repositories: Vec<(String, String)> =
            repositories.iter().map(|(url, by)| ((*url).to_owned(), (*by).to_owned())).collect();
        advice(&lines, &repositories)
    }

    #[test]
    fn the_repository_and_who_asks_for_it_are_named() {
        let asked = [
            ("https://example.org/others", "a.txt:1"),
            ("https://example.org/ours.git", "requirements.txt:3"),
        ];
        let begin = "the git repository https://example.org/ours.git, which requirements.txt:3 asks for,";
        for (last, end, hint) in [
            (
                "fatal: unable to access 'x': Could not resolve host: example.org",
                "cannot be reached from the server",
                "HTTPS_PROXY",
            ),
            (
                "fatal: could not read Username for 'https://example.org'",
                "is private, or not there",
                "UV_INDEX_URL",
            ),
            ("fatal: couldn't find remote ref v1", "has not the revision that is asked for", "uv lock"),
            ("fatal: something else", "could not be fetched", "git's own"),
        ] {
            let advice = told(last, &asked).unwrap();
            assert_eq!(advice.title, format!("{begin} {end}"));
            assert!(advice.hint.contains(hint), "{}", advice.hint);
        }
        let advice = told("fatal: could not read Username", &[]).unwrap();
        assert_eq!(advice.title, "the git repository https://example.org/ours.git is private, or not there");
        let advice =
            told("fatal: x", &[("https://${TOKEN}@example.org/ours.git", "requirements.txt:1")]).unwrap();
        assert!(advice.hint.contains("no config values"), "{}", advice.hint);
        let ssh = ("ssh://git@example.org/ours.git", "requirements.txt:1");
        let advice = told("ssh: connect to host example.org port 22: Connection refused", &[ssh]).unwrap();
        assert!(advice.hint.contains("name the repository by https://"), "{}", advice.hint);
        assert_eq!(advice_of_other(), None);
    }

    fn advice_of_other() -> Option<Advice> {
        advice(&["error: No solution found".to_owned()], &[("https://x".to_owned(), "y".to_owned())])
    }
}
