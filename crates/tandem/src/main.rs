//! The `tandem` binary: a table of contents.
//!
//! [`cli`] has the verbs, one small file each; [`roles`] has what keeps running (`up`, the balancer, the shim).
//! What a command prints goes through [`output`], how it fails through [`failure`], where it acts (server, app,
//! environment) through [`session`] and [`place`]; [`follow`] watches a rollout until it ends.

mod cli;
mod data_folder;
mod doctor;
mod elsewhere;
mod exit;
mod failure;
mod follow;
mod git;
mod hung;
mod output;
mod place;
mod port;
mod roles;
mod session;
mod source;

mod talk;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use exit::Exit;
use failure::Failure;
use output::Output;
use session::Session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(error),
    };
    cli.global = cli.global.with_environment();
    let output = Output::detect(cli.global.json, cli.global.quiet);
    let outcome = catch_unwind(AssertUnwindSafe(|| start(cli, output.clone())));
    let exit = match outcome {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => tell(&output, &failure),
        Err(_) => tell_bug(&output),
    };
    exit.into()
}

/// Roles choose their own runtime; a verb is one conversation with the server and needs one thread.
fn start(cli: Cli, output: Output) -> Result<Exit, Failure> {
    match cli.command {
        Command::Shim(args) => roles::shim::run(&args),
        Command::VolumeWorker(args) => Ok(roles::volume_worker::run(&args)),
        Command::Balancer(cli::BalancerArgs { role: Some(args), traffic, .. }) => {
            roles::balancer::run((args, &traffic), &Session::new(cli.global, output))
        }
        Command::Up(args) => roles::up::run(args, cli.global, output),
        Command::Server(args) => roles::server::run(args, cli.global, output),
        Command::Runner(args) => roles::runner::run(args, cli.global, output),
        command => cli::run(command, cli.global, output),
    }
}

/// Help and version are asked for and go to standard output; all else is wrong usage, told as JSON too where that is
/// asked for.
fn refuse(mut error: clap::Error) -> ExitCode {
    cli::advise(&mut error);
    // That nobody reads it changes nothing.
    drop(error.print());
    if !error.use_stderr() {
        return Exit::Done.into();
    }
    if std::env::args_os().any(|word| word == "--json") {
        let text = error.to_string();
        let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let failure = Failure::usage(title.trim_start_matches("error: ")).detail(rest.trim());
        drop(failure.answer().map(|answer| Output::detect(true, false).value(&answer)));
    }
    Exit::Usage.into()
}

fn tell(output: &Output, failure: &Failure) -> Exit {
    if let Some(text) = failure.render(output.style()) {
        output.always(text);
    }
    // A verb that has answered with the state of a rollout has told its problem in it.
    if let Some(answer) = failure.answer().filter(|_| output.json && !output.has_answered()) {
        // That nobody reads it changes nothing about the failure.
        drop(output.value(&answer));
    }
    failure.exit()
}

/// The panic itself was printed when it happened.
fn tell_bug(output: &Output) -> Exit {
    let failure = Failure::new("this is a bug in tandem, not something that you did")
        .hint("please report it with the lines above and the output of `tandem --version`");
    tell(output, &failure);
    Exit::Bug
}
