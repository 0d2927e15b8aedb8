//! `tandem.toml`: whatever the text, it is read or refused at a place inside it, and what was read can be written down
//! and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_app_file as app_file;
use tandem_app_file::{AppFile, BuildEntry, HealthEntry, ProcessEntry};
use toml::{Table, Value};

fuzz_target!(|text: &str| {
    match app_file::parse(text) {
        Ok(file) => {
            sane(&file);
            let printed = print(&file);
            let again = app_file::parse(&printed).expect("what was read can be written down");
            assert_eq!(again, file, "{printed}");
        }
        Err(error) => points_into(&error, text),
    }
});

/// A mistake is shown where it is: the line is one of the text's, the mark not beyond its end.
fn points_into(error: &app_file::Mistake, text: &str) {
    let line = text.split('\n').nth(error.line - 1).expect("the line is there");
    assert!(error.column >= 1 && error.column <= line.chars().count() + 1, "{error:?}");
    assert_eq!(line.trim_end_matches('\r'), error.excerpt.trim_end_matches('\r'), "{error:?}");
    assert!(!error.message.contains('\n'), "{error:?}");
    assert_eq!(app_file::problem(error).status, 422);
}

/// What later steps take for granted.
fn sane(file: &AppFile) {
    let commands = file.processes.values().filter_map(|process| process.command.as_ref());
    for text in commands.chain(&file.release.command) {
        assert!(!text.contains('\0'), "no command line holds a NUL: {text:?}");
    }
    for path in file.volumes.values() {
        // Absolute, or a folder of the app.
        assert!(path.strip_prefix('/').unwrap_or(path).split('/').all(plain), "{path:?}");
    }
    for (prefix, folder) in file.static_folders.iter().flatten() {
        assert!(prefix.starts_with('/') && prefix.ends_with('/'), "{prefix:?}");
        assert!(!prefix.contains('\0'), "{prefix:?}");
        assert!(folder.split('/').all(plain), "{folder:?}");
    }
    for domain in &file.domains {
        assert!(http::uri::Authority::try_from(domain.as_str()).is_ok_and(|host| host.host() == domain));
    }
    for process in file.processes.values() {
        assert!(process.cpus.is_none_or(|cpus| (0.01..=1024.0).contains(&cpus)));
        let path = process.health.path.as_ref();
        assert!(path.is_none_or(|path| path.parse::<http::Uri>().is_ok()), "{process:?}");
    }
}

fn plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains('\0')
}

/// The file as a text of our own; not in the product, which only ever reads.
fn print(file: &AppFile) -> String {
    let mut table = Table::new();
    put(&mut table, "app", file.app.as_ref().map(ToString::to_string));
    put(&mut table, "root", file.root.clone());
    table.insert("build".to_owned(), build(&file.build).into());
    table.insert("domains".to_owned(), file.domains.clone().into());
    let processes: Table =
        file.processes.iter().map(|(name, entry)| (name.to_string(), process(entry).into())).collect();
    table.insert("processes".to_owned(), processes.into());
    let mut release = Table::new();
    put(&mut release, "command", file.release.command.clone());
    put(&mut release, "timeout", file.release.timeout.map(|span| span.to_string()));
    table.insert("release".to_owned(), release.into());
    put(&mut table, "static", file.static_folders.as_ref().map(texts));
    table.insert("volumes".to_owned(), texts(&file.volumes));
    let mut source = Table::new();
    source.insert("include".to_owned(), file.source.include.clone().into());
    table.insert("source".to_owned(), source.into());
    toml::to_string(&table).expect("plain values")
}

fn build(entry: &BuildEntry) -> Table {
    let BuildEntry { python, settings, requirements, node, extras, groups, commands, after_collectstatic } =
        entry;
    let mut table = Table::new();
    for (key, text) in
        [("python", python), ("settings", settings), ("requirements", requirements), ("node", node)]
    {
        put(&mut table, key, text.clone());
    }
    for (key, texts) in [
        ("extras", extras),
        ("groups", groups),
        ("commands", commands),
        ("after_collectstatic", after_collectstatic),
    ] {
        table.insert(key.to_owned(), texts.clone().into());
    }
    table
}

fn process(entry: &ProcessEntry) -> Table {
    let mut table = Table::new();
    put(&mut table, "command", entry.command.clone());
    let HealthEntry { path, host, https, statuses } = &entry.health;
    let mut health = Table::new();
    put(&mut health, "path", path.clone());
    put(&mut health, "host", host.clone());
    put(&mut health, "https", *https);
    put(&mut health, "status", statuses.as_ref().map(ToString::to_string));
    if !health.is_empty() {
        table.insert("health".to_owned(), health.into());
    }
    put(&mut table, "instances", entry.instances.map(i64::from));
    put(&mut table, "memory", entry.memory_bytes.map(|bytes| format!("{bytes}B")));
    put(&mut table, "cpus", entry.cpus);
    put(&mut table, "stop_timeout", entry.stop_timeout.map(|span| span.to_string()));
    put(&mut table, "stop_signal", entry.stop_signal.map(|signal| signal.to_string()));
    table
}

fn texts(map: &std::collections::BTreeMap<String, String>) -> Value {
    map.iter().map(|(name, text)| (name.clone(), Value::from(text.clone()))).collect::<Table>().into()
}

fn put(table: &mut Table, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        table.insert(key.to_owned(), value.into());
    }
}
