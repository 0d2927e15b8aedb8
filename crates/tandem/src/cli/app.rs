//! `tandem app create|list|show|destroy`.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use serde::Serialize;
use tandem_types::AppName;
use tandem_types::api::{AppSummary, CreateApp, EnvironmentSummary};
use tandem_types::destroy::Progress;

use super::confirm::{Deed, confirm};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Style, Table, local_time};
use crate::session::Session;

/// Verbs of `app`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Create an app, to set its config before its first deploy
    #[command(after_help = "\
`tandem deploy` creates the app where it is not there yet.

Example:
  tandem app create guestbook")]
    Create {
        /// Its name
        name: AppName,
    },
    /// List apps and their environments
    #[command(after_help = "\
Example:
  tandem app list")]
    List,
    /// Show one app
    #[command(after_help = "\
Example:
  tandem app show guestbook")]
    Show {
        /// Its name [default: the app of this folder]
        name: Option<AppName>,
    },
    /// Stop an app and forget its releases and config; its volumes stay on disk
    #[command(after_help = "\
Example:
  tandem app destroy guestbook --confirm guestbook")]
    Destroy {
        /// Its name
        name: AppName,
        /// The name once more, instead of being asked
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::Create { name } => create(session, name).await,
        Verb::List => list(session).await,
        Verb::Show { name } => show(session, name).await,
        Verb::Destroy { name, confirm } => destroy(session, &name, confirm).await,
    }
}

async fn create(session: &Session, name: AppName) -> Result<Exit, Failure> {
    let app: AppSummary = session.client()?.post("/v1/apps", &CreateApp { name }).await?;
    session.output.show(&app, |app| format!("created {}\n", app.name))?;
    Ok(Exit::Done)
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let apps: Vec<AppSummary> = session.client()?.get("/v1/apps").await?;
    session.output.show(&apps, |apps| table(apps, session.output.data_style()))?;
    Ok(Exit::Done)
}

async fn show(session: &Session, name: Option<AppName>) -> Result<Exit, Failure> {
    let name = match name {
        Some(name) => name,
        None => session.place().await?.app,
    };
    let app: AppSummary = session.client()?.get(&format!("/v1/apps/{name}")).await?;
    session.output.show(&app, |app| {
        let style = session.output.data_style();
        let heading = format!("{}, created {}\n\n", style.bold(app.name.as_str()), local_time(app.created));
        heading + &table(std::slice::from_ref(app), style)
    })?;
    Ok(Exit::Done)
}

/// What `--json` prints of an app that is no more.
#[derive(Debug, Serialize)]
struct Destroyed<'a> {
    name: &'a AppName,
    state: &'static str,
}

async fn destroy(session: &Session, name: &AppName, said: Option<String>) -> Result<Exit, Failure> {
    // First: nobody confirms the name of an app that there is not.
    let _: AppSummary = session.client()?.get(&format!("/v1/apps/{name}")).await?;
    let deed = Deed {
        name: name.as_str(),
        warning: format!("This stops {name} and forgets its releases and config; its volumes stay on disk."),
        refusal: format!("{name} was not destroyed"),
        verb: "app destroy",
    };
    confirm(session, &deed, said)?;
    let () = session.client()?.delete(&format!("/v1/apps/{name}?confirm=true")).await?;
    until_gone(session, name).await?;
    session.output.note(format!("{name} is destroyed; its volumes stay on disk"));
    session.output.show(&Destroyed { name, state: "destroyed" }, |_| String::new())?;
    Ok(Exit::Done)
}

/// Tells what the destruction waits for, until the app is gone. It goes on without anybody who watches.
async fn until_gone(session: &Session, name: &AppName) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    let mut lines = session.client()?.lines::<Progress>(&format!("/v1/apps/{name}/destroy"));
    while let Some(line) = lines.next().await {
        let progress = match line {
            Ok(progress) => progress,
            // It was quicker than the question.
            Err(error) if error.problem().is_some_and(|problem| problem.code == "app_not_found") => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if progress.destroyed {
            return Ok(());
        }
        for text in progress.waiting_for {
            if told.insert(text.clone()) {
                session.output.note(format!("waiting: {text}"));
            }
        }
    }
    Err(Failure::new(format!("the server ended before {name} was gone; it goes on once the server runs"))
        .hint(format!("type `tandem app destroy {name} --confirm {name}` to watch on")))
}

/// Apps by environment, one a line.
pub(super) fn table(apps: &[AppSummary], style: Style) -> String {
    let mut table = Table::new(&["APP", "ENVIRONMENT", "RELEASE", "WARM", "READY", "ROLLOUT", "ADDRESS"]);
    for app in apps {
        for environment in &app.environments {
            table.row(row(app, environment, style));
        }
    }
    table.render(style, "no apps yet; type `tandem deploy` in the folder of your app")
}

fn row(app: &AppSummary, environment: &EnvironmentSummary, style: Style) -> Vec<Cell> {
    let numbers: Vec<String> = environment.warm.iter().map(ToString::to_string).collect();
    vec![
        Cell::painted(app.name.as_str(), |text| style.bold(text)),
        environment.name.as_str().into(),
        environment.current.map(|release| release.to_string()).unwrap_or_else(|| "none".into()).into(),
        numbers.join(" ").into(),
        ready(environment, style),
        environment.rollout.map(|rollout| rollout.to_string()).unwrap_or_default().into(),
        environment.addresses.join(" ").into(),
    ]
}

/// `web 2/2, worker 1/1`.
fn ready(environment: &EnvironmentSummary, style: Style) -> Cell {
    let of = |process| environment.ready.get(process).copied().unwrap_or_default();
    let all = environment.wanted.iter().all(|(process, wanted)| of(process) >= *wanted);
    let parts: Vec<String> = environment
        .wanted
        .iter()
        .map(|(process, wanted)| format!("{process} {}/{wanted}", of(process)))
        .collect();
    let text = parts.join(", ");
    if all { text.into() } else { Cell::painted(text, |text| style.yellow(text)) }
}
