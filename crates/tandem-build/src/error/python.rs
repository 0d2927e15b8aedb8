//! No interpreter fits: what is asked for, by whom, what is here, and how to get one.

use tandem_types::problem::Problem;

use super::refused;

/// What people need to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PythonMissing {
    /// The version or range, and the file that asks for it; none: any would do.
    pub asked: Option<(String, String)>,
    /// Debian's package of it, where one can be named.
    pub package: Option<String>,
    /// Interpreters that are here.
    pub found: Vec<String>,
    /// Where they were looked for.
    pub looked: String,
    /// Types the fetching of one; empty: not known.
    pub line: String,
    /// Why none was fetched; none: it was not tried.
    pub not_fetched: Option<String>,
}

impl PythonMissing {
    /// `3.12`; nothing where any would do.
    pub(super) fn asked_for(&self) -> &str {
        self.asked.as_ref().map_or("", |(text, _)| text)
    }

    /// The failure as people get it.
    pub(super) fn to_problem(&self) -> Problem {
        let title = match &self.asked {
            None => "there is no Python that apps could use".to_owned(),
            Some((text, by)) => format!("there is no Python {text} that apps could use, which {by} asks for"),
        };
        let mut detail = match &self.found[..] {
            [] => format!("there is none at {}; those in a home folder are not visible to apps", self.looked),
            found => format!("there is: {}", found.join(", ")),
        };
        if let Some(reason) = &self.not_fetched {
            detail.push_str(&format!("\nuv was asked to fetch one: {reason}"));
        }
        let mut ways = Vec::new();
        match (&self.package, &self.asked) {
            (_, None) => ways.push("apt-get install python3".to_owned()),
            (Some(package), _) => ways.push(format!("apt-get install {package}, where Debian has it")),
            (None, _) => {}
        }
        if !self.line.is_empty() {
            ways.push(format!("on a server that reaches the downloads: {}", self.line));
        }
        if let Some((_, by)) = &self.asked {
            ways.push(format!("ask for another one in {}", by.rsplit(" in ").next().unwrap_or(by)));
        }
        refused("python_missing", title).detail(detail).hint(ways.join("; or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_by_whom_what_is_here_and_how_to_get_it_are_told() {
        let missing = PythonMissing {
            asked: Some(("3.12".to_owned(), "requires-python in api/pyproject.toml".to_owned())),
            package: Some("python3.12".to_owned()),
            found: vec!["/usr/bin/python3.11".to_owned()],
            looked: "/usr/bin/python3.*".to_owned(),
            line: "uv python install 3.12".to_owned(),
            not_fetched: Some("dns error".to_owned()),
        };
        let problem = missing.to_problem();
        assert_eq!(problem.code, "python_missing");
        assert_eq!(
            problem.title,
            "there is no Python 3.12 that apps could use, which requires-python in api/pyproject.toml asks for"
        );
        assert_eq!(problem.detail, "there is: /usr/bin/python3.11\nuv was asked to fetch one: dns error");
        assert_eq!(
            problem.hint,
            "apt-get install python3.12, where Debian has it; or on a server that reaches the downloads: \
             uv python install 3.12; or ask for another one in api/pyproject.toml"
        );
        let none = PythonMissing { looked: "/usr/bin/python3.*".to_owned(), ..PythonMissing::default() };
        let problem = none.to_problem();
        assert!(
            problem.detail.contains("/usr/bin/python3.*") && problem.hint == "apt-get install python3",
            "{problem:?}"
        );
    }
}
