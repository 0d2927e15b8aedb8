//! The Procfile: read or refused at a line of its own; what was read can be written down and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem_app_file::{Procfile, parse_procfile, problem};

fuzz_target!(|text: &str| {
    match parse_procfile(text) {
        Ok(procfile) => {
            for command in procfile.processes.values().chain(&procfile.release) {
                assert!(!command.is_empty() && !command.contains(['\n', '\0']), "{command:?}");
            }
            assert!(procfile.processes.keys().all(|name| !matches!(name.as_str(), "release" | "smoke")));
            let again = parse_procfile(&print(&procfile)).expect("what was read can be written down");
            // What is noted of names of other platforms is noted once: they are written as they are called here.
            assert_eq!(again, Procfile { notes: Vec::new(), ..procfile });
        }
        Err(error) => {
            let line = text.split('\n').nth(error.line - 1).expect("the line is there");
            assert!(error.column >= 1 && error.column <= line.chars().count() + 1, "{error:?}");
            assert_eq!(problem(&error).status, 422);
        }
    }
});

fn print(procfile: &Procfile) -> String {
    let release = procfile.release.iter().map(|command| format!("release: {command}\n"));
    let processes = procfile.processes.iter().map(|(name, command)| format!("{name}: {command}\n"));
    release.chain(processes).collect()
}
