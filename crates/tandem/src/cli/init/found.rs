//! What was found, in the words people get.

use tandem_build::Detected;

/// One line each: what it is, what runs, what was taken for granted.
pub(super) fn lines(detected: &Detected) -> Vec<String> {
    let Detected { spec, has_procfile, is_django, work, notes, .. } = detected;
    let mut lines = Vec::new();
    let kind = match (is_django, has_procfile) {
        (true, true) => "a Django project with a Procfile",
        (true, false) => "a Django project",
        (false, true) => "an app with a Procfile",
        (false, false) => "an app",
    };
    let folder = if work.is_empty() { String::new() } else { format!(", in {work}") };
    lines.push(format!("{kind}{folder}"));
    lines.extend(spec.processes.iter().map(|(name, process)| format!("{name}: {}", process.command)));
    lines.extend(spec.release.iter().map(|release| format!("release: {}", release.command)));
    lines.extend(notes.iter().cloned());
    lines
}
