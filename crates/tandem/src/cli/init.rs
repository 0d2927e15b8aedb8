//! `tandem init`: writes a `tandem.toml` that says what a build would find by itself, every line commented out but the
//! app's name. Nothing is asked, and no server is needed.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tandem_app_file::APP_FILE;
use tandem_build::{Detected, detect};
use tandem_kit::{files, tasks};
use tandem_types::AppName;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::visible;
use crate::place;
use crate::session::Session;

mod found;
mod text;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the folder as a build does (Procfile, manage.py, requirements, package.json) and writes
down what it finds. A file that is there already is left alone, but for --force.

Examples:
  tandem init                  the app in this folder
  tandem init ~/src/shop --app shop
  tandem init --force          write over the file that is there")]
pub(crate) struct Args {
    /// Folder of the app [default: this one]
    path: Option<PathBuf>,
    /// Write over a tandem.toml that is there
    #[arg(long)]
    force: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Written<'a> {
    path: String,
    app: &'a AppName,
    found: &'a [String],
    warnings: &'a [String],
}

pub(super) async fn run(args: &Args, session: &Session) -> Result<Exit, Failure> {
    let folder = match &args.path {
        Some(path) => path.clone(),
        None => place::current_folder()?,
    };
    let folder = folder.canonicalize().map_err(|e| {
        Failure::chain(&format!("open the folder {}", folder.display()), &e).hint("tandem init PATH")
    })?;
    let file = folder.join(APP_FILE);
    if file.symlink_metadata().is_ok() && !args.force {
        return Err(Failure::new(format!("{} is there already", file.display()))
            .hint("`tandem deploy` deploys it; `tandem init --force` writes a new one over it"));
    }
    let app = app(session, &folder)?;
    let detected = find(session, &folder).await?;
    let text = text::of(&app, &detected);
    files::write_atomic(&file, text.as_bytes(), 0o644)
        .map_err(|e| Failure::chain(&format!("write {}", file.display()), &e))?;
    let found = found::lines(&detected);
    for line in &found {
        session.output.note(format!("  {}", visible(line)));
    }
    for warning in &detected.warnings {
        session.output.note(format!("{} {}", session.output.style().yellow("warning:"), visible(warning)));
    }
    let next = next(&folder);
    let shown = file.display().to_string();
    let written = Written { path: shown, app: &app, found: &found, warnings: &detected.warnings };
    session.output.show(&written, |written| format!("wrote {}; next: {next}\n", written.path))?;
    Ok(Exit::Done)
}

async fn find(session: &Session, folder: &Path) -> Result<Detected, Failure> {
    let scratch = tempfile::tempdir().map_err(|e| Failure::chain("make a folder to work in", &e))?;
    let (folder, clock) = (folder.to_owned(), session.clock.clone());
    let shown = folder.display().to_string();
    let found = tasks::blocking("look at source", move || detect(&folder, scratch.path(), &clock)).await;
    found.map_err(|error| {
        let problem = error.to_problem();
        let title = match problem.code.as_str() {
            "no_recipe" => format!("{shown} is no app yet: nothing in it says how to run it"),
            _ => problem.title.clone(),
        };
        tandem_types::problem::Problem { title, ..problem }.into()
    })
}

fn app(session: &Session, folder: &Path) -> Result<AppName, Failure> {
    let called = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let named = session.global.app.clone().or_else(|| place::name_from(&called));
    named.ok_or_else(|| {
        Failure::new(format!("no app name can be made of {}", folder.display()))
            .hint("type `tandem init --app NAME`")
    })
}

/// What to type behind this.
fn next(folder: &Path) -> String {
    let is_here = place::current_folder().is_ok_and(|here| here == folder);
    if is_here { "tandem deploy".to_owned() } else { format!("tandem deploy {}", folder.display()) }
}

#[cfg(test)]
mod tests;
