//! What a run looked at, as questions that another source can be asked.
//!
//! Questions are texts: `file PATH` (its content), `list PATH` (names and kinds in a folder), `kind PATH` (what is there).
//! Same answers to all questions: the run would have done the same.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bytecode;
use crate::data::Places;
use crate::source::{Found, Source};

/// The report of `collect.py`. Written by code of the app, so nothing in it is trusted.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Trace {
    #[serde(default)]
    opened: Vec<String>,
    #[serde(default)]
    listed: Vec<String>,
    #[serde(default)]
    looked_up: Vec<String>,
    #[serde(default)]
    pub(super) opaque: Option<String>,
    #[serde(default)]
    pub(super) outcome: String,
    #[serde(default)]
    pub(super) static_root: Option<String>,
    #[serde(default)]
    pub(super) static_url: Option<String>,
    #[serde(default)]
    pub(super) debug: bool,
    #[serde(default)]
    pub(super) missing: Vec<String>,
    #[serde(default)]
    pub(super) places: Places,
}

impl Trace {
    /// The questions with the answers of the source that was run. What lies in the output folder is the run's own work,
    /// but what the source had there is input too.
    pub(super) fn inputs(&self, source: &Source, output: Option<&str>) -> BTreeMap<String, String> {
        let is_output = |path: &str| {
            output.is_some_and(|output| {
                path.strip_prefix(output).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        // Python reads bytecode instead of the source that it was made from.
        let opened =
            self.opened.iter().map(|path| bytecode::source_path(path).unwrap_or_else(|| path.clone()));
        let opened = opened.map(|path| format!("file {path}"));
        let listed = self.listed.iter().map(|path| format!("list {path}"));
        let looked_up = self.looked_up.iter().map(|path| format!("kind {path}"));
        let all = opened.chain(listed).chain(looked_up);
        let mut inputs: BTreeMap<String, String> = all
            .filter(|question| !question.split_once(' ').is_some_and(|(_, path)| is_output(path)))
            .map(|question| {
                let answer = answer(source, &question);
                (question, answer)
            })
            .collect();
        for path in source.files.keys().filter(|path| is_output(path)) {
            let question = format!("file {path}");
            let answer = answer(source, &question);
            inputs.insert(question, answer);
        }
        inputs
    }
}

/// What a source says to a question.
pub(super) fn answer(source: &Source, question: &str) -> String {
    let (kind, path) = question.split_once(' ').unwrap_or(("", question));
    let path = if path == "." { "" } else { path };
    match (kind, source.resolve(path)) {
        (_, Found::Missing) => "missing".to_owned(),
        ("file", Found::File(file)) => file.digest.to_string(),
        (_, Found::File(_)) => "a file".to_owned(),
        ("list", Found::Folder(folder)) => {
            let names = source.list(&folder);
            let names = serde_json::to_vec(&names).expect("text is always JSON");
            tandem_blobs::tree::digest_of(&names).to_string()
        }
        (_, Found::Folder(_)) => "a folder".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tandem_blobs::BlobStore;

    use super::*;

    const FILES: [(&str, &str); 5] = [
        ("shop/settings.py", "1"),
        ("shop/models.py", "1"),
        ("static/a.css", "1"),
        ("views.py", "1"),
        ("out/old.css", "1"),
    ];

    fn changed(files: &[(&str, &str)]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let trace = Trace {
            opened: [
                "shop/settings.py",
                "shop/__pycache__/models.cpython-311.pyc",
                "static/a.css",
                "gone",
                "out/a.css",
            ]
            .map(str::to_owned)
            .into(),
            listed: vec!["static".to_owned(), "out".to_owned()],
            looked_up: vec![".env".to_owned(), "shop".to_owned(), "out/b.css".to_owned()],
            ..Trace::default()
        };
        let before = trace.inputs(&Source::of(&store, &FILES), Some("out"));
        assert!(before.keys().all(|question| !question.ends_with("out/a.css")));
        let after = Source::of(&store, files);
        before.iter().any(|(question, before)| answer(&after, question) != *before)
    }

    fn with(path: &'static str, text: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut files: Vec<_> = FILES.into_iter().filter(|(known, _)| *known != path).collect();
        files.push((path, text));
        files
    }

    #[test]
    fn a_run_depends_on_what_it_looked_at_and_on_nothing_else() {
        assert!(!changed(&FILES));
        assert!(!changed(&with("views.py", "2")), "not looked at");
        assert!(!changed(&with("shop/other.py", "")), "the folder was not listed");
        for (path, text) in [
            ("shop/settings.py", "2"),
            ("shop/models.py", "2"),
            ("static/a.css", "2"),
            ("static/b.css", ""),
            ("gone", "here now"),
            (".env", "asked about and there now"),
            ("out/old.css", "2"),
        ] {
            assert!(changed(&with(path, text)), "{path} was looked at");
        }
    }
}
