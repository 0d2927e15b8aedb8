//! `tandem release show r12`: everything that is known about one release, but no config values.

use std::fmt::Write;

use tandem_types::ReleaseNumber;
use tandem_types::api::ReleaseDetail;
use tandem_types::build::Build;

use super::releases;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, Table, bytes, count, local_time, memory, milliseconds, visible};
use crate::session::Session;

/// Verbs of `release`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show a release: its build, processes, config names and history
    #[command(after_help = "\
Examples:
  tandem release show r12
  tandem release show r12 --json")]
    Show {
        /// Release number, such as r12
        release: ReleaseNumber,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let Verb::Show { release } = verb;
    let place = session.place().await?;
    let detail: ReleaseDetail = session.client()?.get(&place.path(&format!("releases/{release}"))).await?;
    session.output.show(&detail, |detail| render(detail, session.output.data_style()))?;
    Ok(Exit::Done)
}

fn render(detail: &ReleaseDetail, style: Style) -> String {
    let release = &detail.release;
    let mut text =
        format!("{} of {}/{}\n\n", style.bold(&release.number.to_string()), release.app, release.environment);
    for (name, value) in facts(detail) {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<13} {}", visible(&value));
        }
    }
    text.push_str("\nProcesses\n\n");
    text.push_str(&indent(&processes(&detail.build, style)));
    text.push_str("\nParts of the build\n\n");
    text.push_str(&indent(&parts(&detail.build, style)));
    for note in &detail.build.notes {
        let _ = writeln!(text, "\n{} {}", style.bold("note:"), visible(note));
    }
    for warning in &detail.build.warnings {
        let _ = writeln!(text, "\n{} {}", style.yellow("warning:"), visible(warning));
    }
    text
}

fn facts(detail: &ReleaseDetail) -> Vec<(&'static str, String)> {
    let (release, build) = (&detail.release, &detail.build);
    let status = releases::status(release.status, Style::new(false)).text().to_owned();
    let names: Vec<&str> = release.config.values.keys().map(String::as_str).collect();
    vec![
        ("status", status),
        ("rollback", releases::rollback(detail).to_owned()),
        ("message", release.message.clone()),
        ("by", format!("{} ({})", release.cause.actor, release.cause.action)),
        ("created", local_time(release.created)),
        ("took traffic", release.took_traffic.map(local_time).unwrap_or_default()),
        ("lost traffic", release.lost_traffic.map(local_time).unwrap_or_default()),
        ("rollout", release.rollout.to_string()),
        (
            "build",
            format!(
                "{} ({}), made in {}",
                build.number,
                build.digest.short(),
                milliseconds(build.duration.as_millis())
            ),
        ),
        ("source", source(build)),
        ("fetched from", build.source.url.clone().unwrap_or_default()),
        ("python", build.interpreter.clone().unwrap_or_default()),
        ("node", build.node.clone().unwrap_or_default()),
        ("domains", build.spec.domains.join(" ")),
        ("release phase", build.spec.release.as_ref().map(|r| r.command.clone()).unwrap_or_default()),
        ("config", names.join(" ")),
        ("changed", detail.config_changes.join(" ")),
    ]
}

fn source(build: &Build) -> String {
    let Some(commit) = &build.source.commit else { return String::new() };
    let mut text = commit.chars().take(12).collect::<String>();
    if let Some(reference) =
        build.source.reference.as_ref().filter(|name| Some(*name) != build.source.branch.as_ref())
    {
        let _ = write!(text, " ({reference})");
    }
    if let Some(branch) = &build.source.branch {
        let _ = write!(text, " on {branch}");
    }
    if let Some(subject) = &build.source.subject {
        let _ = write!(text, ": {subject}");
    }
    let changed = build.source.uncommitted.len() as u64;
    if changed > 0 {
        let _ = write!(text, " (with {})", count(changed, "uncommitted file", "uncommitted files"));
    }
    text
}

fn processes(build: &Build, style: Style) -> String {
    let mut table = Table::new(&["TYPE", "INSTANCES", "MEMORY", "HEALTH", "COMMAND"]);
    for (process, spec) in &build.spec.processes {
        table.row([
            process.into(),
            spec.instances.into(),
            memory(spec.memory_bytes).into(),
            if process.is_web() { spec.health.to_string() } else { String::new() }.into(),
            spec.command.as_str().into(),
        ]);
    }
    table.render(style, "none")
}

fn parts(build: &Build, style: Style) -> String {
    let mut table = Table::new(&["PART", "MOUNT", "FILES", "SIZE", "DIGEST"]);
    for part in &build.subtrees {
        table.row([
            part.name.as_str().into(),
            part.mount.as_str().into(),
            part.files.into(),
            bytes(part.bytes).into(),
            part.tree.short().into(),
        ]);
    }
    table.render(style, "none")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
