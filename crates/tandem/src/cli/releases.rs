//! `tandem releases`: every release of an environment, latest first, and what has become of it.

use tandem_types::api::ReleaseDetail;
use tandem_types::release::ReleaseStatus;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Style, Table, ago};
use crate::session::Session;

/// Arguments of `releases`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`warm` releases still run and can be rolled back to at once; `kept` ones are started first.

Examples:
  tandem releases
  tandem releases --env staging -n 5
  tandem releases --json | jq '.[0].release.number'")]
pub(crate) struct Args {
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER", value_parser = super::at_least_one())]
    lines: usize,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let mut releases: Vec<ReleaseDetail> = session.client()?.get(&place.path("releases")).await?;
    releases.sort_by_key(|detail| std::cmp::Reverse(detail.release.number));
    releases.truncate(args.lines);
    let now = session.clock.now();
    session.output.show(&releases, |releases| {
        let style = session.output.data_style();
        let mut table =
            Table::new(&["RELEASE", "STATUS", "ROLLBACK", "BUILD", "COMMIT", "WHEN", "BY", "MESSAGE"]);
        for detail in releases {
            table.row([
                detail.release.number.into(),
                status(detail.release.status, style),
                rollback(detail).into(),
                detail.release.build.into(),
                commit(detail).into(),
                ago(detail.release.created, now).into(),
                detail.release.cause.actor.as_str().into(),
                first_line(&detail.release.message).into(),
            ]);
        }
        table.render(style, &format!("no release of {place} yet; type `tandem deploy`"))
    })?;
    Ok(Exit::Done)
}

/// What has become of a release, as one word.
pub(super) fn status(status: ReleaseStatus, style: Style) -> Cell {
    match status {
        ReleaseStatus::Pending => Cell::painted("pending", |text| style.yellow(text)),
        ReleaseStatus::Current => Cell::painted("current", |text| style.green(text)),
        ReleaseStatus::Superseded => "superseded".into(),
        ReleaseStatus::Failed => Cell::painted("failed", |text| style.red(text)),
        ReleaseStatus::RolledBack => Cell::painted("rolled back", |text| style.yellow(text)),
    }
}

/// How fast one can go back to it.
pub(super) fn rollback(detail: &ReleaseDetail) -> &'static str {
    match (detail.warm, detail.can_roll_back) {
        (true, _) => "warm",
        (false, true) => "kept",
        (false, false) => "",
    }
}

/// The beginning of the commit's hash; marked where files differed from it.
fn commit(detail: &ReleaseDetail) -> String {
    let source = &detail.build.source;
    let short: String = source.commit.iter().flat_map(|commit| commit.chars().take(10)).collect();
    if source.uncommitted.is_empty() { short } else { format!("{short}+") }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
