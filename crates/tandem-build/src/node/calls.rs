//! What a shell command calls, and in which folder, as far as its text says so: which programs of Node's, and which of them
//! install packages.
//!
//! No shell is run. What cannot be told (a variable in a path, a loop) is left open, and who asks decides what that means.

use std::collections::BTreeSet;

use crate::recipe::APP;
use crate::source::below;

/// Programs of Node's that a command may begin with.
const PROGRAMS: [&str; 8] = ["corepack", "node", "npm", "npx", "pnpm", "tsx", "yarn", "ts-node"];
/// Those that start another, named behind them.
const STARTERS: [&str; 9] = ["command", "corepack", "env", "exec", "nice", "nohup", "npx", "sudo", "time"];
/// Words of the shell in front of a command.
const WORDS: [&str; 8] = ["!", "do", "else", "if", "then", "until", "while", "{"];
/// Programs that install packages, each with the words for it.
const INSTALLING: [(&str, &[&str]); 4] = [
    ("npm", &["ci", "clean-install", "ic", "install-clean", "i", "in", "install", "add", "it", "cit"]),
    ("yarn", &["install", "add"]),
    ("pnpm", &["i", "install", "add"]),
    ("bun", &["ci", "i", "install", "add"]),
];
/// Options that name the folder of a package.
const FOLDER_OPTIONS: [&str; 4] = ["--prefix", "--cwd", "--dir", "-C"];

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    words: Vec<String>,
    /// Where it starts, below the top; none where the command's text does not say.
    pub(crate) folder: Option<String>,
}

impl Call {
    /// The program without its folder.
    pub(crate) fn program(&self) -> &str {
        base(&self.words[0])
    }

    /// Whether it is one of Node's.
    pub(crate) fn is_nodes(&self) -> bool {
        PROGRAMS.contains(&self.program()) || self.program() == "bun"
    }

    /// The folder whose `package.json` it works with; none where its text does not say.
    pub(crate) fn package_folder(&self) -> Option<String> {
        let mut folder = self.folder.clone()?;
        let mut words = self.words[1..].iter().filter(|_| self.is_nodes());
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(a, b)| (a, Some(b)));
            if FOLDER_OPTIONS.contains(&name) {
                folder = enter(&folder, value.or_else(|| words.next().map(String::as_str))?)?;
            }
        }
        Some(folder)
    }

    /// Whether it installs the packages of a folder.
    fn installs(&self) -> bool {
        let Some((name, verbs)) = INSTALLING.iter().find(|(name, _)| *name == self.program()) else {
            return false;
        };
        let mut is_value = false;
        let mut verb = None;
        for word in &self.words[1..] {
            if ["-g", "--global", "--version", "-v", "--help", "-h"].contains(&word.as_str()) {
                return false;
            }
            if !word.starts_with('-') && !is_value && verb.is_none() {
                verb = Some(word.as_str());
            }
            is_value = FOLDER_OPTIONS.contains(&word.as_str());
        }
        // yarn alone installs.
        verb.map_or(*name == "yarn", |verb| verbs.contains(&verb))
    }
}

/// What a command calls, one after the other, where it starts in a folder.
pub(crate) fn calls(command: &str, folder: &str) -> Vec<Call> {
    let mut reader = Reader { folder: Some(folder.to_owned()), ..Reader::default() };
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, _) if c.is_whitespace() && c != '\n' => reader.end_word(),
            (None, '\n' | ';' | '&' | '|' | '`') => reader.end_call(),
            (None, '(') => {
                reader.end_call();
                reader.outer.push(reader.folder.clone());
            }
            (None, ')') => {
                reader.end_call();
                if let Some(folder) = reader.outer.pop() {
                    reader.folder = folder;
                }
            }
            _ => reader.word.push(c),
        }
    }
    reader.end_call();
    reader.calls
}

#[derive(Default)]
struct Reader {
    folder: Option<String>,
    /// Folders of the shells around a `( … )`.
    outer: Vec<Option<String>>,
    word: String,
    words: Vec<String>,
    calls: Vec<Call>,
}

impl Reader {
    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn end_call(&mut self) {
        self.end_word();
        let words = std::mem::take(&mut self.words);
        let is_before = |word: &&String| {
            let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
            });
            is_assignment || WORDS.contains(&word.as_str())
        };
        let mut words: Vec<String> = words.iter().skip_while(is_before).cloned().collect();
        while words.len() > 1 && STARTERS.contains(&base(&words[0])) {
            self.calls.push(Call { words: words.clone(), folder: self.folder.clone() });
            let is_option = |word: &&String| word.starts_with('-') || word.contains('=');
            words = words.iter().skip(1).skip_while(is_option).cloned().collect();
        }
        let Some(program) = words.first().map(|word| base(word).to_owned()) else { return };
        match program.as_str() {
            "cd" | "pushd" => {
                let target = words.get(1).cloned().unwrap_or_else(|| "-".to_owned());
                self.folder = self.folder.take().and_then(|folder| enter(&folder, &target));
            }
            "sh" | "bash"
                if words.get(1).is_some_and(|word| word.starts_with('-') && word.ends_with('c')) =>
            {
                let folder = self.folder.clone();
                let inner = words.get(2).map(|text| calls(text, folder.as_deref().unwrap_or_default()));
                let known = |call: Call| Call { folder: call.folder.filter(|_| folder.is_some()), ..call };
                self.calls.extend(inner.into_iter().flatten().map(known));
            }
            _ => {
                let folder = self.folder.clone();
                // What is kept in the repository: `node .yarn/releases/yarn-4.1.0.cjs install`.
                let is_yarn = |word: &String| base(word).starts_with("yarn") && word.ends_with("js");
                if program == "node" && words.get(1).is_some_and(is_yarn) {
                    self.calls.push(Call { words: words.clone(), folder: folder.clone() });
                    words.drain(..2);
                    words.insert(0, "yarn".to_owned());
                }
                self.calls.push(Call { words, folder });
            }
        }
    }
}

/// Whether a command starts a program of Node's, or one of those that its packages bring along.
pub(crate) fn uses_node(command: &str, programs: &BTreeSet<String>) -> bool {
    let words = command.split(|c: char| c.is_whitespace() || ";&|()'\"`".contains(c));
    words.filter_map(|word| word.rsplit('/').next()).any(|word| PROGRAMS.contains(&word))
        || calls(command, "").iter().any(|call| programs.contains(call.program()))
}

/// Folders whose packages a command installs by itself, where it starts in one; none for each that its text does not name.
pub(crate) fn installs(command: &str, folder: &str) -> Vec<Option<String>> {
    calls(command, folder).iter().filter(|call| call.installs()).map(Call::package_folder).collect()
}

/// `npm ci` and nothing else: what a build does by itself, and keeps.
pub(crate) fn is_plain_install(command: &str) -> bool {
    matches!(
        command.split_whitespace().collect::<Vec<_>>()[..],
        ["npm", "ci" | "install" | "i" | "clean-install"]
    )
}

/// The folder that a path names from another one; none where that is not below the top or cannot be told.
fn enter(folder: &str, path: &str) -> Option<String> {
    if path.contains(['$', '*', '~']) || path == "-" {
        return None;
    }
    let (from, path) = match path.strip_prefix(APP) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => ("", rest),
        _ if path.starts_with('/') => return None,
        _ => (folder, path),
    };
    let mut at = from.to_owned();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            if at.is_empty() {
                return None;
            }
            at = at.rsplit_once('/').map_or(String::new(), |(above, _)| above.to_owned());
        } else {
            at = below(&at, part);
        }
    }
    Some(at)
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_command_installs_is_read_off_its_text() {
        let at = |folder: &str| vec![Some(folder.to_owned())];
        for (command, folders) in [
            ("npm ci", at("web")),
            ("cd client && npm ci && npm run build", at("web/client")),
            ("(cd client && npm ci) && npm install", vec![Some("web/client".into()), Some("web".into())]),
            ("cd .. && NODE_ENV=x npm ci --omit=dev", at("")),
            ("npm --prefix client ci", at("web/client")),
            ("npm ci --prefix=../other", at("other")),
            ("cd /app/front && yarn", at("front")),
            ("cd \"$X\" && npm ci", vec![None]),
            ("cd /srv; npm ci", vec![None]),
            ("yarn --cwd client install --immutable", at("web/client")),
            ("yarn && yarn build", at("web")),
            ("corepack yarn install --immutable", at("web")),
            ("node .yarn/releases/yarn-4.1.0.cjs install", at("web")),
            ("npx --yes pnpm@9 x; npx pnpm -C client i", at("web/client")),
            ("bun install", at("web")),
            ("sh -c 'cd client && npm ci'", at("web/client")),
            ("npm i -g corepack", vec![]),
            ("npm run install-x; yarn build; pnpm --version; yarn --version", vec![]),
            ("pip install npm", vec![]),
        ] {
            assert_eq!(installs(command, "web"), folders, "{command}");
        }
    }

    #[test]
    fn commands_of_node_are_told_from_others() {
        let none = BTreeSet::new();
        for command in ["npm start", "cd web && npx next start", "/usr/bin/node x.js", "sh -c 'node x'"] {
            assert!(uses_node(command, &none), "{command}");
        }
        let programs = BTreeSet::from(["next".to_owned(), "serve".to_owned()]);
        for command in ["gunicorn node.wsgi", "python manage.py npm_assets", "./node_modules/.bin", "x next"]
        {
            assert!(!uses_node(command, &programs), "{command}");
        }
        for command in ["next start -p $PORT", "exec serve -s dist", "node_modules/.bin/next start"] {
            assert!(uses_node(command, &programs) && !uses_node(command, &none), "{command}");
        }
        assert!(is_plain_install(" npm  ci ") && !is_plain_install("npm ci --omit=dev"));
    }
}
