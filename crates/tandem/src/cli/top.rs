//! `tandem top`: the last minute's traffic by app and release, live at a terminal, and the log of slow requests.

mod screen;
mod text;

use std::io::{IsTerminal as _, stdout};

use futures_util::TryStreamExt as _;
use tandem_types::api::AppSummary;
use tandem_types::traffic::{SlowMinute, Top};
use tokio::signal::unix::{SignalKind, signal};

use super::reconnect::Reconnect;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use screen::Screen;
use text::{Below, empty, log_of, render};

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
REQ/S is of the last five seconds, IN FLIGHT of now, everything else of the last minute. P50, P95
and P99 tell within how long so many of 100 answers had been handed over, files and pages of the
balancer among them, websockets not. Requests of no app stand under `-`. Ctrl-C ends it.

With --slow it is the log of slow requests: the ten slowest of each minute and environment, for
an hour, the latest minute first. A request belongs to the minute in which it ended.

Elsewhere than at a terminal, and with --json, it tells once how things stand. The queries of
URLs are never shown: they often hold what nobody else should read.

Examples:
  tandem top
  tandem top --app guestbook --env staging
  tandem top --latest                  the latest requests below, rather than the slowest
  tandem top --slow --app guestbook    what was slow in the last hour
  tandem top --json | jq '.slowest[0]'")]
pub(crate) struct Args {
    /// Show the latest requests below, rather than the slowest of the last minute
    #[arg(long)]
    latest: bool,

    /// Print the slowest requests of each minute of the last hour, and end
    #[arg(long, conflicts_with = "latest")]
    slow: bool,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if args.slow {
        return slow(session).await;
    }
    let below = if args.latest { Below::Latest } else { Below::Slowest };
    if session.output.json || !stdout().is_terminal() {
        return once(below, session).await;
    }
    let listen = |kind| signal(kind).map_err(|e| Failure::chain("listen for signals", &e));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let screen = Screen::enter(&session.output)?;
    let ended = tokio::select! {
        ended = live(below, session, &screen) => ended,
        _ = interrupt.recv() => Ok(Exit::Done),
        _ = terminate.recv() => Ok(Exit::Done),
    };
    drop(screen);
    ended
}

/// Names need no escaping in a URL.
fn path(session: &Session, what: &str) -> String {
    let app = session.global.app.iter().map(|app| format!("app={app}"));
    let environment = session.global.env.iter().map(|environment| format!("environment={environment}"));
    let asked: Vec<String> = app.chain(environment).collect();
    format!("/v1/{what}{}", asked.join("&"))
}

async fn slow(session: &Session) -> Result<Exit, Failure> {
    let minutes: Vec<SlowMinute> = session.client()?.get(&path(session, "slow?")).await?;
    session.output.show(&minutes, |minutes| log_of(minutes, session.output.data_style()))?;
    Ok(Exit::Done)
}

async fn once(below: Below, session: &Session) -> Result<Exit, Failure> {
    let top: Top = session.client()?.get(&path(session, "top?")).await?;
    let hint = hint(&top, session).await?;
    session.output.show(&top, |top| render(top, below, &hint, session.output.data_style()))?;
    Ok(Exit::Done)
}

async fn live(below: Below, session: &Session, screen: &Screen) -> Result<Exit, Failure> {
    let mut reconnect = Reconnect::new();
    loop {
        let mut tops = session.client()?.lines::<Top>(&path(session, "top?follow=true&"));
        let end = loop {
            match tops.try_next().await {
                Ok(Some(top)) => {
                    reconnect.heard();
                    let hint = hint(&top, session).await.unwrap_or_default();
                    screen.draw(&render(&top, below, &hint, session.output.data_style()))?;
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        reconnect.wait(session, end).await?;
    }
}

/// What to type where there is nothing to show.
async fn hint(top: &Top, session: &Session) -> Result<String, Failure> {
    if !top.releases.is_empty() {
        return Ok(String::new());
    }
    let apps: Vec<AppSummary> = session.client()?.get("/v1/apps").await?;
    let wanted = apps.iter().filter(|app| session.global.app.as_ref().is_none_or(|name| app.name == *name));
    let environments = wanted.flat_map(|app| &app.environments);
    let wanted = environments
        .filter(|environment| session.global.env.as_ref().is_none_or(|name| environment.name == *name));
    Ok(empty(wanted.flat_map(|environment| &environment.addresses).next().map(String::as_str)))
}
