//! An app that lacks a module: what its last words say, and where modules come from.
//!
//! Most often it is a driver of a database that the app takes for granted, or that a group of its dependencies has which
//! nobody asked for.

use tandem_types::problem::Problem;

/// Puts where modules come from in front of a problem's hint, where the last lines in its detail say that one is missing.
#[must_use]
pub(crate) fn explain(problem: Problem) -> Problem {
    let Some(missing) = problem.detail.lines().rev().find_map(hint) else { return problem };
    let hint = if problem.hint.is_empty() { missing } else { format!("{missing}; {}", problem.hint) };
    problem.hint(hint)
}

fn hint(line: &str) -> Option<String> {
    if let Some(name) = named(line, "ModuleNotFoundError: No module named ") {
        let top = name.split('.').next().unwrap_or(name);
        return Some(format!(
            "nothing that was installed has the module {top}: add what has it to the dependencies, or name the extra or group \
             of theirs that does (`extras`, `groups` in [build]); where it is the app's own, `root` says where commands start"
        ));
    }
    let name = named(line, "Error: Cannot find module ")?;
    // A path is a file of the app's own, which the message says better.
    let is_package = !name.starts_with(['.', '/']);
    is_package.then(|| {
        format!("nothing that was installed has the module {name}: add it to package.json and its lock")
    })
}

/// The name in quotes behind these words.
fn named<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    let rest = line.split_once(words)?.1.strip_prefix('\'')?;
    rest.split('\'').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(detail: &str) -> String {
        explain(
            Problem::new(422, "release_failed", "the release phase failed").detail(detail).hint("mend it"),
        )
        .hint
    }

    #[test]
    fn a_module_that_is_missing_is_named_with_where_it_may_come_from() {
        let python = "  import psycopg2.extras\nModuleNotFoundError: No module named 'psycopg2.extras'\n";
        let hint = told(python);
        assert!(hint.starts_with("nothing that was installed has the module psycopg2: "), "{hint}");
        assert!(hint.contains("`groups`") && hint.ends_with("; mend it"), "{hint}");
        let node = "Error: Cannot find module 'express'\nRequire stack:\n- /app/server.js\n";
        assert!(told(node).contains("has the module express: add it to package.json"), "{}", told(node));
        for other in
            ["Error: Cannot find module './routes'", "No module named nothing", "ImportError: libpq.so.5"]
        {
            assert_eq!(told(other), "mend it", "{other}");
        }
    }
}
