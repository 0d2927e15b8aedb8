//! `tandem deploy [PATH]`: sends what the server misses of a folder, asks for a rollout, follows it. A commit instead of
//! the folder's files, and a source that the server fetches itself, are in files of their own.

use std::path::{Component, Path, PathBuf};

use tandem_build::git::is_url;
use tandem_kit::clock::Moment;
use tandem_types::AppName;
use tandem_types::api::{RolloutAction, StartRollout};
use tandem_types::git::GitSource;
use tandem_types::problem::Problem;

use super::rollout::Start;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::Until;
use crate::output::milliseconds;
use crate::place::{self, Place};
use crate::session::Session;
use crate::source;

mod commit;
mod git;

/// Arguments of `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sends the folder as it is: uncommitted changes too (they are named in the build), ignored files
not (`[source] include` in tandem.toml brings those that are needed). It returns when the traffic
has moved; the release that served before stays warm, so that `tandem rollback` is instant.

With --ref the commit is sent, whatever the folder holds. A URL is fetched by the server: HTTPS,
or SSH with the app's deploy key (`tandem key create`); without --ref the repository's own branch.

Ctrl-C only ends this command, with exit code 1: the rollout goes on, and `tandem rollout watch`
shows it again. With --json, the one line on standard output is an object with `app`,
`environment`, `rollout`, `release`, `build`, `state`, `verdict`, `duration_ms`, `addresses`.

Examples:
  tandem deploy                              the app in this folder
  tandem deploy ~/src/shop -m 'new prices'   another folder, with a reason for the journal
  tandem deploy --root api                   one app of a repository, with what it shares
  tandem deploy --ref v1.2                   a tag, without what is not committed
  tandem deploy https://github.com/team/shop.git --ref main --app shop
  tandem deploy git@github.com:team/shop.git --app shop
  tandem deploy --env staging
  tandem deploy --no-wait                    refuse if another rollout is under way")]
pub(crate) struct Args {
    /// Folder of the app [default: this one, or the nearest above it with a tandem.toml], or a git URL
    #[arg(value_name = "PATH|URL")]
    path: Option<PathBuf>,
    /// Branch, tag or commit to deploy instead of the folder's files
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Folder of one of several apps; all of PATH is sent, its tandem.toml is read
    #[arg(long, value_name = "FOLDER")]
    root: Option<String>,
    /// Stay until the traffic has moved, or until the verdict
    #[arg(long, value_name = "WHEN", default_value = "flip")]
    wait: Until,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if let Some(url) = args.path.as_ref().and_then(|path| path.to_str()).filter(|word| is_url(word)) {
        let url = url.to_owned();
        let git = GitSource { url, reference: args.reference, root: args.root };
        return git::run(session, git, args.wait).await;
    }
    let begun = session.clock.monotonic();
    let folder = folder(args.path)?;
    if let Some(reference) = &args.reference {
        let options = commit::Options { root: args.root, wait: args.wait };
        return commit::run(session, &folder, reference, options).await;
    }
    let root = args.root.map(|root| root_of(&folder, &root)).transpose()?;
    may_be_app(&root.as_ref().map_or_else(|| folder.clone(), |root| folder.join(root)))?;
    let place = Place::new(app(session, &folder, root.as_deref())?, session.global.environment());
    session.output.note(format!("deploying {place} from {}", folder.display()));
    let sending = async {
        let sent = source::send(session, &folder, root.as_deref()).await?;
        Ok((place, sent))
    };
    send_and_start(session, sending, (begun, args.wait)).await
}

/// Sends a source, which Ctrl-C may still stop, and asks for a rollout.
async fn send_and_start(
    session: &Session,
    sending: impl Future<Output = Result<(Place, source::Sent), Failure>>,
    (begun, until): (Moment, Until),
) -> Result<Exit, Failure> {
    let (place, sent) = tokio::select! {
        sent = sending => sent?,
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|e| Failure::chain("listen for Ctrl-C", &e))?;
            return Err(Failure::new("stopped before anything was deployed"));
        }
    };
    summarize(session, begun, &sent);
    let action = RolloutAction::Deploy { tree: sent.tree, source: sent.info };
    let request = StartRollout { action, message: session.global.reason(), no_wait: session.global.no_wait };
    super::rollout::start(session, Start { place, request, begun, until }).await
}

fn summarize(session: &Session, begun: Moment, sent: &source::Sent) {
    let took = session.clock.monotonic().elapsed_since(begun).as_millis();
    session.output.note(format!(
        "  {:<20}{:>9}  {}",
        "send",
        milliseconds(u64::try_from(took).unwrap_or(u64::MAX)),
        session.output.style().dim(&sent.summary()),
    ));
}

fn folder(path: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let folder = match path {
        Some(path) => path,
        None => place::app_folder(&place::current_folder()?),
    };
    let shown = folder.display();
    let another = "name the folder of the app: `tandem deploy PATH`";
    let absolute = folder.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("there is no folder {shown}")).hint(another),
        _ => unreadable(Failure::chain(&format!("open the folder {shown}"), &error), &error),
    })?;
    if !absolute.is_dir() {
        return Err(Failure::new(format!("{shown} is not a folder")).hint(another));
    }
    std::fs::read_dir(&absolute)
        .map_err(|error| unreadable(Failure::chain(&format!("read the folder {shown}"), &error), &error))?;
    Ok(absolute)
}

/// The server would say the same, but only after a whole home folder was sent to it.
fn may_be_app(folder: &Path) -> Result<(), Failure> {
    if place::may_be_app(folder) { Ok(()) } else { Err(not_an_app(folder)) }
}

fn not_an_app(folder: &Path) -> Failure {
    let shown = folder.display();
    if place::is_bare_repository(folder) {
        return Failure::new(format!("{shown} is a bare repository, which has no files of its own"))
            .hint(format!("name what of it to deploy: `tandem deploy {shown} --ref main`"));
    }
    let problem = tandem_build::Error::NoRecipe { apps: place::apps_below(folder) }.to_problem();
    Problem { title: format!("nothing in {shown} says how to run it"), ..problem }.into()
}

/// The folder of the app below the one that is sent: `./api/` → `api`; none where both are the same.
fn root_of(folder: &Path, root: &str) -> Result<String, Failure> {
    let below: PathBuf = Path::new(root).components().filter(|part| *part != Component::CurDir).collect();
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && folder.join(&below).is_dir() {
        return Ok(below.to_string_lossy().into_owned());
    }
    Err(Failure::new(format!("there is no folder {root} in {}", folder.display()))
        .hint("--root is a folder below the one that is sent: `tandem deploy --root api` or `tandem deploy PATH --root api`"))
}

fn unreadable(failure: Failure, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failure.hint("deploy as a user who may read it"),
        _ => failure,
    }
}

fn app(session: &Session, folder: &Path, root: Option<&str>) -> Result<AppName, Failure> {
    if let Some(app) = &session.global.app {
        return Ok(app.clone());
    }
    // The folder above is another app's, or nobody's.
    let named = match root {
        Some(root) => (place::declared_in(&folder.join(root))?, place::name_in(&folder.join(root))),
        None => (place::declared(folder)?, place::name_of(folder)),
    };
    if let Some(app) = named.0 {
        return Ok(app);
    }
    named.1.ok_or_else(|| {
        Failure::new(format!("no app name can be made of {}", folder.display()))
            .hint("add `app = \"NAME\"` to tandem.toml, or type `tandem deploy --app NAME`")
    })
}
