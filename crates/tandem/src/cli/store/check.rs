//! `tandem store check`: is the file whole, does every document make sense, does the journal tell the same story.

use serde::Serialize;
use tandem_kit::tasks;
use tandem_store::sqlite::snapshots::{Snapshot, Snapshots};
use tandem_store::sqlite::{self, Checked};
use tandem_types::api::{Installation, Token};
use tandem_types::app::App;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::document::{Document, Kind, kind_name};
use tandem_types::environment::Environment;
use tandem_types::git::{DeployKey, GitHosts};
use tandem_types::https::{AcmeAccount, Certificate, CertificateOrder, Challenges, LocalAuthority};
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::RoutingDocument;
use tandem_types::session::Session as Command;

use super::{failed, finish_restore, known_data};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{bytes, local_time};
use crate::session::Session;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    checked: Checked,
    snapshots: Vec<Snapshot>,
}

pub(super) async fn run(session: &Session) -> Result<Exit, Failure> {
    let data = known_data(session)?;
    finish_restore(&data)?;
    let database = data.database();
    let look = database.clone();
    let checked = tasks::blocking("check the store", move || sqlite::check(&look, understand)).await;
    let checked = checked.map_err(|error| failed(&error))?;
    let snapshots = Snapshots::of(&database).list().map_err(|error| failed(&error))?;
    let report = Report { checked, snapshots };
    session.output.show(&report, text)?;
    if report.checked.problems.is_empty() {
        return Ok(Exit::Done);
    }
    let folder = session.data();
    let title = format!("the store {} is damaged", database.display());
    Err(Failure::new(title).code("store_damaged").detail(report.checked.problems.join("\n")).hint(format!(
        "end `tandem up` (SIGTERM leaves the apps running), then type `tandem store restore --data {}`",
        folder.display()
    )))
}

fn text(report: &Report) -> String {
    let Checked { revision, documents, deletions, journal_entries, journal_since, bytes: size, .. } =
        &report.checked;
    let kinds: Vec<_> = documents.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let since = journal_since.map(|time| format!(" since {}", local_time(time))).unwrap_or_default();
    let mut lines = vec![
        format!("revision   {revision}, {}", bytes(*size)),
        format!("documents  {} ({})", documents.values().sum::<u64>(), kinds.join(", ")),
        format!("journal    {journal_entries} entries{since}; {deletions} deletions remembered"),
    ];
    let latest = report.snapshots.first().map(|latest| {
        format!(
            "{}, the latest of {} (revision {})",
            report.snapshots.len(),
            local_time(latest.time),
            latest.revision
        )
    });
    lines.push(format!("snapshots  {}", latest.unwrap_or_else(|| "none yet".to_owned())));
    if report.checked.problems.is_empty() {
        lines.push("everything is whole".to_owned());
    }
    lines.join("\n") + "\n"
}

/// Every kind that is stored, given to a macro.
macro_rules! of_kinds {
    ($act:ident) => {
        $act!(
            AcmeAccount,
            App,
            Assignment,
            Build,
            Certificate,
            CertificateOrder,
            Challenges,
            DeployKey,
            Environment,
            GitHosts,
            Installation,
            LocalAuthority,
            Release,
            Rollout,
            RoutingDocument,
            Command,
            Token
        )
    };
}

/// Reads a document as what its kind says. Of a kind that is not known nothing can be said.
pub(super) fn understand(document: &Document) -> Result<(), String> {
    macro_rules! read {
        ($($kind:ty),*) => {
            $(if kind_name(&document.kind) == kind_name(<$kind as Kind>::KIND) {
                return serde_json::from_value::<$kind>(document.body.clone()).map(drop).map_err(|e| e.to_string());
            })*
        };
    }
    of_kinds!(read);
    Ok(())
}

/// Whether this version can write a kind back, as in `app/2`: it knows the kind, and none older than that.
pub(super) fn is_known(kind: &str) -> bool {
    macro_rules! list {
        ($($kind:ty),*) => { [$(<$kind as Kind>::reads(kind)),*] };
    }
    of_kinds!(list).contains(&true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tandem_types::Revision;

    use super::*;

    #[test]
    fn a_kind_is_known_up_to_the_version_that_this_one_writes() {
        assert!(["app/1", App::KIND, Token::KIND].into_iter().all(is_known));
        assert!(!["app/4000000000", "app", "app/x", "unheard-of/1", ""].into_iter().any(is_known));
    }

    /// A kind that is missing in the list would have every copy refused that has one of it.
    #[test]
    fn every_kind_that_has_a_golden_file_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tandem-types/src/golden/stored");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        let kinds = names.iter().filter_map(|name| name.strip_suffix(".jsonl")?.rsplit_once('-'));
        let kinds: Vec<_> = kinds
            .filter(|(_, version)| version.parse::<u32>().is_ok())
            .map(|(name, version)| format!("{name}/{version}"))
            .collect();
        assert!(kinds.len() > 20, "{kinds:?}");
        let unknown: Vec<_> = kinds.iter().filter(|kind| !is_known(kind)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_document_that_is_not_what_its_kind_says_is_told() {
        let document = |kind: &str, body| Document {
            key: "apps/shop".to_owned(),
            revision: Revision(1),
            kind: kind.to_owned(),
            body,
        };
        let app = json!({"name": "shop", "created": "2026-11-21T12:00:00Z", "next_build": "b8"});
        assert_eq!(understand(&document("app/2", app.clone())), Ok(()));
        assert_eq!(understand(&document("app/9", app)), Ok(()), "of a newer version, as far as it is known");
        assert_eq!(understand(&document("unheard-of/1", json!(1))), Ok(()));
        let wrong = understand(&document("app/2", json!({"name": "shop"}))).unwrap_err();
        assert!(wrong.contains("created"), "{wrong}");
    }
}
