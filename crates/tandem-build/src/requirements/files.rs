//! Requirements files, in pip's format, and what they include.
//!
//! Paths of other requirements files are relative to the file that names them, paths of packages to the folder in which
//! pip (here uv) is run.

use std::collections::BTreeSet;

use super::{Declared, Repository, Requirements, add_input, is_pinned, join, malformed, name_of, parse_toml};
use crate::Error;
use crate::network::redacted;
use crate::source::{Source, below};

/// Reads a file and what it includes; `folder` is where it is installed from.
pub(super) fn read(source: &Source, folder: &str, file: &str) -> Result<Requirements, Error> {
    let mut found = Requirements::none(Declared::Requirements);
    (found.folder, found.file) = (folder.to_owned(), file.to_owned());
    let first = Include { path: below(folder, file), by: String::new(), is_constraint: false };
    let mut reader = Reader {
        source,
        folder,
        found,
        waiting: vec![first],
        read: BTreeSet::new(),
        bounds: BTreeSet::new(),
    };
    while let Some(include) = reader.waiting.pop() {
        if reader.read.insert((include.path.clone(), include.is_constraint)) {
            reader.file(&include)?;
        }
    }
    let Reader { mut found, bounds, .. } = reader;
    found.unpinned.retain(|requirement| !bounds.contains(&name_of(requirement)));
    Ok(found)
}

/// A file that another one names.
struct Include {
    path: String,
    /// Where it is named: `line 3 of requirements.txt`; empty for the first.
    by: String,
    /// It only says which versions there may be of what others name.
    is_constraint: bool,
}

/// Reads one file after the other.
struct Reader<'a> {
    source: &'a Source,
    folder: &'a str,
    found: Requirements,
    waiting: Vec<Include>,
    read: BTreeSet<(String, bool)>,
    /// Packages that a constraint pins.
    bounds: BTreeSet<String>,
}

/// One requirement or option.
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// Its file.
    path: &'a str,
    is_constraint: bool,
}

impl Reader<'_> {
    fn file(&mut self, include: &Include) -> Result<(), Error> {
        let Include { path, by, is_constraint } = include;
        let Some(text) = self.source.text(path)? else {
            let first = below(self.folder, &self.found.file);
            return Err(malformed(
                &first,
                format!(
                    "{by} names {path}, which is not part of the source: is it there, and not named in .gitignore?"
                ),
            ));
        };
        add_input(self.source, path, &mut self.found.inputs);
        for (number, text) in &joined_lines(&text) {
            self.line(&Line { number: *number, text, path, is_constraint: *is_constraint });
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>) {
        let here = line.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (names, is_constraint) in
            [(["-r", "--requirement"], line.is_constraint), (["-c", "--constraint"], true)]
        {
            let Some(path) = option(line.text, &names) else { continue };
            // What is fetched is nobody's to read here.
            if !path.contains("://") {
                let path = join(here, path.trim_matches(['"', '\'']));
                let by = format!("line {} of {}", line.number, line.path);
                self.waiting.push(Include { path, by, is_constraint });
            }
            return;
        }
        let text = option(line.text, &["-e", "--editable"]).unwrap_or(line.text);
        if text.starts_with('-') {
            return;
        }
        if line.is_constraint {
            self.bounds.extend(is_pinned(text).then(|| name_of(text)));
        } else {
            self.requirement(line, text);
        }
    }

    fn requirement(&mut self, line: &Line<'_>, text: &str) {
        if let Some(url) = repository(text) {
            let by = format!("{}:{}", line.path, line.number);
            self.found.repositories.push(Repository::new(&url, by));
            self.found.unpinned.extend(moving(text));
        }
        let is_wheel = text.ends_with(".whl") && !text.contains("://");
        if text.starts_with('.') || text.starts_with("file:") || is_wheel {
            let path = text.trim_start_matches("file:").split(['[', ';', ' ']).next().unwrap_or(text);
            let path = join(self.folder, path.trim_matches(['"', '\'']));
            add_input(self.source, &path, &mut self.found.inputs);
            if text.starts_with('.') && !is_wheel && !has_name(self.source, &path) {
                self.found.unnamed.push(format!("./{path}"));
            }
            return;
        }
        let is_url = text.split([' ', '@', '[']).next().is_some_and(|word| word.contains("://"));
        if !is_url {
            self.found.packages.add(text);
            if !is_pinned(text) {
                let requirement = text.split(" --hash").next().unwrap_or(text).trim();
                self.found.unpinned.push(redacted(requirement, &[]));
            }
        } else if let Some((_, egg)) = text.split_once("#egg=") {
            self.found.packages.add(egg);
        }
    }
}

/// The repository of `shop @ git+https://example.org/shop.git@v1#subdirectory=x`, as git is given it.
pub(crate) fn repository(requirement: &str) -> Option<String> {
    let rest = &requirement[requirement.find("git+")? + 4..];
    let url = rest.split([' ', '#', ';', '?', '"', '\'']).next().unwrap_or(rest);
    let (scheme, path) = url.split_once("://")?;
    // The first `@` may belong to a user's name, one behind the host to a revision.
    let slash = path.find('/').unwrap_or(path.len());
    let end = path[slash..].find('@').map_or(path.len(), |at| slash + at);
    Some(format!("{scheme}://{}", &path[..end]))
}

/// The repository of a requirement that follows a branch, as a warning names it: the default one, or one whose name has no
/// digit, as those of tags and commits have.
pub(super) fn moving(requirement: &str) -> Option<String> {
    let rest = &requirement[requirement.find("git+")? + 4..];
    let url = rest.split([' ', '#', ';', '?', '"', '\'']).next().unwrap_or(rest);
    let path = url.split_once("://")?.1.split_once('/')?.1;
    let is_fixed = path.rsplit_once('@').is_some_and(|(_, name)| name.contains(|c: char| c.is_ascii_digit()));
    (!is_fixed).then(|| without_secret(url))
}

/// A URL for people and records. What stands in front of its host is a token or has a password, but for the name by which
/// SSH is spoken; what stands for a variable is none.
pub(crate) fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    let Some((user, _)) = authority.rsplit_once('@') else { return url.to_owned() };
    let shown = match user.find("${").map(|at| &user[at..]) {
        Some(variable) => variable.split_inclusive('}').next().unwrap_or("****"),
        None if scheme == "ssh" && !user.contains(':') => user,
        None => "****",
    };
    format!("{scheme}://{shown}{}", &rest[user.len()..])
}

/// Whether `pyproject.toml` says what a folder's package is called; else only its build does.
fn has_name(source: &Source, folder: &str) -> bool {
    let path = below(folder, super::PROJECT_FILE);
    let text = source.text(&path).ok().flatten();
    let project = text.and_then(|text| parse_toml(&path, &text).ok());
    project.is_some_and(|project| project.get("project").is_some_and(|project| project.get("name").is_some()))
}

/// The value of an option at the beginning of a line.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let bounded = rest.starts_with([' ', '\t', '=']) || !name.starts_with("--");
        bounded.then(|| rest.trim_start_matches(['=', ' ', '\t']).trim())
    })
}

/// Lines without comments, each with its number from 1; those that end in a backslash are joined with the next.
fn joined_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, before) = begun.take().unwrap_or((index + 1, String::new()));
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        match line.strip_suffix('\\') {
            Some(line) => begun = Some((number, format!("{before}{line} "))),
            None => lines.push((number, format!("{before}{line}"))),
        }
    }
    lines.extend(begun);
    let without_comment = |(number, line): (usize, String)| {
        let line = line.split(" #").next().unwrap_or(&line).trim().to_owned();
        (number, line)
    };
    lines.into_iter().map(without_comment).filter(|(_, line)| !line.is_empty()).collect()
}
