//! The command line: what can be typed, and which file answers for it.

mod app;
mod attach;
mod balancer;
mod completions;
mod config;
mod confirm;
mod deploy;
mod doctor;
mod down;
mod global;
mod init;
mod journal;
mod key;
mod logs;
mod pause;
mod ps;
mod reconnect;
mod release;
mod releases;
mod restart;
mod resume;
mod rollback;
mod rollout;
mod run;
mod scale;
mod sessions;
mod status;
pub(crate) mod store;
mod token;
mod top;
mod trust;
mod volume;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};
use tandem_types::AppName;

use crate::elsewhere;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hung;
use crate::output::Output;
use crate::roles;
use crate::session::Session;

pub(crate) use balancer::Args as BalancerArgs;
pub(crate) use global::Global;

const EXAMPLES: &str = "\
Start here:
  tandem up                   run Tandem on this machine
  tandem deploy               ship the app in this folder
  tandem logs -f              watch it
  tandem rollback             back to the previous release, at once

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 70 a bug in tandem.
`tandem help VERB` has more about each verb, with examples.";

/// Ships, runs and watches web applications on machines you own.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, max_term_width = 100, after_help = EXAMPLES, disable_help_subcommand = false)]
pub(crate) struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every verb, in the order people meet them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run Tandem on this machine: server, runner and balancer
    Up(roles::up::Args),
    /// Stop everything that `tandem up` runs, the apps too
    Down(down::Args),
    /// Write a tandem.toml for the app in a folder
    Init(init::Args),
    /// Build the app in a folder, or of a git URL, and move the traffic to it
    Deploy(deploy::Args),
    /// Move the traffic back to an earlier release
    Rollback(rollback::Args),
    /// List the releases of an app
    Releases(releases::Args),
    /// Show one release
    #[command(subcommand)]
    Release(release::Verb),
    /// Watch, list or abort rollouts
    #[command(subcommand)]
    Rollout(rollout::Verb),
    /// List the running instances of an app
    Ps(ps::Args),
    /// Show what an app wrote
    Logs(logs::Args),
    /// Run a command once in the current release, with a terminal
    Run(run::Args),
    /// List one-off commands, or end one
    Sessions(sessions::Args),
    /// Come back to a one-off command
    Attach(attach::Args),
    /// Set, remove and list config values (environment variables)
    #[command(subcommand)]
    Config(config::Verb),
    /// Change how many instances run
    Scale(scale::Args),
    /// Replace all instances by new ones, without a gap
    Restart(restart::Args),
    /// Answer requests with a page that says that the app is paused
    Pause(pause::Args),
    /// Let requests reach a paused app again
    Resume(resume::Args),
    /// Show who changed what, when and why
    Journal(journal::Args),
    /// Show what runs and what needs attention
    Status(status::Args),
    /// Show the traffic of the last minute, live
    Top(top::Args),
    /// Have this machine trust the certificates of apps under development
    Trust(trust::Args),
    /// Say what this machine lacks for Tandem, and the line to type
    Doctor(doctor::Args),
    /// Create, list, show and destroy apps
    #[command(subcommand)]
    App(app::Verb),
    /// Run the server alone, beside a runner and a balancer
    Server(roles::server::Args),
    /// Run the runner alone, beside a server and a balancer
    Runner(roles::runner::Args),
    /// Run a balancer alone, or forget one that is gone for good
    Balancer(balancer::Args),
    /// Make and show deploy keys for private git sources
    #[command(subcommand)]
    Key(key::Verb),
    /// List what apps keep, take it out, put it back
    #[command(subcommand)]
    Volume(volume::Verb),
    /// Create, list and revoke tokens for access over TCP
    #[command(subcommand)]
    Token(token::Verb),
    /// Check the store of this machine's server, copy it, or put a copy back
    #[command(subcommand)]
    Store(store::Verb),
    /// Print shell completions
    Completions(completions::Args),
    /// Run one instance or job (started by the runner)
    #[command(hide = true)]
    Shim(roles::shim::Args),
    /// Pack or unpack one volume (started by the runner)
    #[command(hide = true)]
    VolumeWorker(roles::volume_worker::Args),
}

impl Command {
    /// Whether it is in vain from beginning to end while the server of this machine is stopped. `down` is only as long as it
    /// asks, which it sees to itself: what it waits for then goes on once the server does.
    fn asks_the_server(&self) -> bool {
        !matches!(
            self,
            Self::Store(_) | Self::Completions(_) | Self::Down(_) | Self::Doctor(_) | Self::Init(_)
        )
    }
}

/// The number of rows of a table: a table of none says nothing.
fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}

/// Adds what was probably meant by a word where no word is expected: an app, as in `tandem logs shop`.
pub(crate) fn advise(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return };
    if error.kind() != ErrorKind::UnknownArgument || word.parse::<AppName>().is_err() {
        return;
    }
    let tip =
        format!("an app is named by '--app {word}', a process type of `tandem logs` by '--process {word}'");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
}

/// Runs a verb to its end.
///
/// # Errors
///
/// Why it was refused or failed.
pub(crate) fn run(command: Command, global: Global, output: Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::chain("start the event loop", &e))?;
    let session = Session::new(global, output);
    let exit = runtime.block_on(async {
        let asks = command.asks_the_server();
        let exit = tokio::select! {
            exit = Box::pin(dispatch(command, &session)) => exit,
            failure = hung::stays_stopped(&session), if asks => Err(failure),
        };
        match exit {
            Err(failure) => Err(hung::explain(elsewhere::explain(failure, &session), &session).await),
            exit => exit,
        }
    });
    runtime.shutdown_background();
    exit
}

async fn dispatch(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Down(args) => down::run(args, session).await,
        Command::Init(args) => init::run(&args, session).await,
        Command::Deploy(args) => deploy::run(args, session).await,
        Command::Rollback(args) => rollback::run(args, session).await,
        Command::Releases(args) => releases::run(args, session).await,
        Command::Release(verb) => release::run(verb, session).await,
        Command::Rollout(verb) => rollout::run(verb, session).await,
        Command::Ps(args) => ps::run(args, session).await,
        Command::Logs(args) => logs::run(args, session).await,
        Command::Run(args) => run::run(args, session).await,
        Command::Sessions(args) => sessions::run(args, session).await,
        Command::Attach(args) => attach::run(args, session).await,
        Command::Config(verb) => config::run(verb, session).await,
        Command::Scale(args) => scale::run(args, session).await,
        Command::Restart(args) => restart::run(args, session).await,
        Command::Pause(args) => pause::run(args, session).await,
        Command::Resume(args) => resume::run(args, session).await,
        Command::Journal(args) => journal::run(args, session).await,
        Command::Status(args) => status::run(args, session).await,
        Command::Top(args) => top::run(args, session).await,
        Command::Trust(args) => trust::run(args, session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::App(verb) => app::run(verb, session).await,
        Command::Key(verb) => key::run(verb, session).await,
        Command::Volume(verb) => volume::run(verb, session).await,
        Command::Token(verb) => token::run(verb, session).await,
        Command::Store(verb) => store::run(verb, session).await,
        Command::Completions(args) => completions::run(&args, session),
        Command::Balancer(balancer::Args { verb: Some(verb), .. }) => balancer::run(verb, session).await,
        Command::Up(_)
        | Command::Server(_)
        | Command::Runner(_)
        | Command::Balancer(_)
        | Command::VolumeWorker(_)
        | Command::Shim(_) => unreachable!("roles start in main"),
    }
}

#[cfg(test)]
mod tests;
