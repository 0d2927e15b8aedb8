//! `tandem volume`: what apps keep, listed, taken out as an archive and put back.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use tandem_kit::http::{self as bodies, Body, read_limited};
use tandem_types::ProcessType;
use tandem_types::api::Reason;
use tandem_types::volume::{SwapVolume, VolumeImported, VolumeLine, VolumeStaged};

use super::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Bar, Cell, Style, Table, ago, bytes, count, visible};
use crate::place::Place;
use crate::session::Session;

mod archive;
mod aside;

/// What stands for standard input and output.
const DASH: &str = "-";
/// Longest answer to an import, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Longest list of volumes, in bytes.
const LONGEST_LIST: usize = 16 * 1024 * 1024;
/// Looking through volumes of many files takes its time.
const LIST_LIMIT: Duration = Duration::from_secs(90);
/// Processes have ten minutes to end.
const SWAP_LIMIT: Duration = Duration::from_secs(700);

/// Verbs of `volume`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List volumes: where they are, how large, who uses them
    #[command(after_help = "\
Volumes of apps that were destroyed are listed as well: they are never deleted.

Examples:
  tandem volume list
  tandem volume list --app shop --json")]
    List,
    /// Write a volume into a tar, databases of SQLite as of one moment
    #[command(after_help = "\
The app goes on meanwhile. Databases of SQLite are copied by SQLite itself, each
as it was at one moment with all that had been committed; other files are read
one after the other. Owners are left out. With .zst at the end of the name the
archive is compressed.

Examples:
  tandem volume export data backup.tar.zst
  tandem volume export data - | ssh box tandem volume import data -")]
    Export(ExportArgs),
    /// Replace what is in a volume by a tar; processes restart for it
    #[command(after_help = "\
The archive is unpacked beside the volume first, while the app runs. Then all
processes of the environment are ended, the two are exchanged in one step, and
the processes start again: requests are refused for that long. What was in the
volume is kept on the host until the next import.

Examples:
  tandem volume import data backup.tar.zst
  tandem volume import data backup.tar --env staging")]
    Import(ImportArgs),
}

/// Arguments of `volume export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The volume, as in [volumes] of tandem.toml
    volume: ProcessType,
    /// The archive: NAME.tar, NAME.tar.zst, or - for standard output
    file: PathBuf,
}

/// Arguments of `volume import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The volume, as in [volumes] of tandem.toml
    volume: ProcessType,
    /// The archive: a tar, compressed by zstd or not; - for standard input
    file: PathBuf,
}

/// What an archive has in it, as the runner says in a header.
#[derive(Debug, Default, Deserialize)]
struct Contents {
    files: u64,
    bytes: u64,
    databases: u64,
    #[serde(default)]
    remarks: Vec<String>,
}

/// What `export --json` prints.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    volume: &'a str,
    file: &'a Path,
    files: u64,
    databases: u64,
    /// Of the archive, before it is compressed.
    bytes: u64,
    remarks: &'a [String],
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    match verb {
        Verb::List => list(session).await,
        Verb::Export(args) => export(args, session).await,
        Verb::Import(args) => import(args, session).await,
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?.clone();
    let asked = tokio::time::timeout(LIST_LIMIT, client.get_for_stream("/v1/volumes")).await;
    let answer = asked.map_err(|_| Failure::new("the server does not answer").hint("tandem status"))??;
    let missing = answer.headers().get("tandem-volumes-missing").and_then(|hosts| hosts.to_str().ok());
    if let Some(hosts) = missing {
        session
            .output
            .note(format!("those of {hosts} are missing: its runner cannot be asked from the server"));
    }
    let unread = |error: &dyn std::error::Error| Failure::chain("read the answer", error);
    let text = read_limited(answer.into_body(), LONGEST_LIST).await.map_err(|error| unread(&error))?;
    let mut lines: Vec<VolumeLine> = serde_json::from_slice(&text).map_err(|error| unread(&error))?;
    let Global { app, env, .. } = &session.global;
    lines.retain(|line| app.as_ref().is_none_or(|app| line.app == *app));
    lines.retain(|line| env.as_ref().is_none_or(|env| line.environment == *env));
    let now = session.clock.now();
    session.output.show(&lines, |lines| table(lines, session.output.data_style(), now))?;
    Ok(Exit::Done)
}

fn table(lines: &[VolumeLine], style: Style, now: jiff::Timestamp) -> String {
    let mut table =
        Table::new(&["APP", "ENVIRONMENT", "VOLUME", "PATH", "SIZE", "FILES", "WRITTEN", "USED BY"]);
    for line in lines {
        let size = match line.seen.partial {
            true => format!("over {}", bytes(line.seen.bytes)),
            false => bytes(line.seen.bytes),
        };
        let releases: Vec<String> = line.releases.iter().map(ToString::to_string).collect();
        let used = match releases.is_empty() {
            true => Cell::painted("nobody", |text| style.dim(text)),
            false => releases.join(" ").into(),
        };
        table.row([
            line.app.as_str().into(),
            line.environment.as_str().into(),
            line.name.as_str().into(),
            line.path.as_deref().unwrap_or("").into(),
            size.into(),
            line.seen.files.into(),
            line.seen.written.map_or_else(String::new, |written| ago(written, now)).into(),
            used,
        ]);
    }
    table.render(style, "no app has a volume; [volumes] in tandem.toml declares one")
}

async fn export(args: ExportArgs, session: &Session) -> Result<Exit, Failure> {
    let to_stdout = args.file.as_os_str() == DASH;
    if to_stdout && session.output.json {
        return Err(Failure::usage("--json and an archive cannot both go to standard output"));
    }
    archive::ensure_writable_as(&args.file)?;
    let place = session.place().await?;
    let reason = Reason { reason: session.global.reason() };
    let path = place.path(&format!("volumes/{}/export", args.volume));
    let answer = session.client()?.post_for_stream(&path, &reason).await?;
    let contents = contents(answer.headers());
    for remark in &contents.remarks {
        session.output.note(format!("{}: {}", args.volume, visible(remark)));
    }
    let bar = Bar::new(&session.output, "exporting");
    let sent = if to_stdout {
        receive(answer.into_body(), io::stdout().lock(), (&bar, contents.bytes)).await
    } else {
        into_file(answer.into_body(), &args.file, (&bar, contents.bytes)).await
    };
    bar.clear();
    let sent = sent?;
    if to_stdout {
        return Ok(Exit::Done);
    }
    let exported = Exported {
        volume: args.volume.as_str(),
        file: &args.file,
        files: contents.files,
        databases: contents.databases,
        bytes: sent,
        remarks: &contents.remarks,
    };
    session.output.show(&exported, |exported| told(exported, &place))?;
    Ok(Exit::Done)
}

fn told(exported: &Exported<'_>, place: &Place) -> String {
    let databases = match exported.databases {
        0 => String::new(),
        number => format!(", {} of SQLite as of one moment", count(number, "database", "databases")),
    };
    format!(
        "exported {} of {place} into {}: {}{databases}\n",
        exported.volume,
        exported.file.display(),
        count(exported.files, "file", "files")
    )
}

fn contents(headers: &HeaderMap) -> Contents {
    let text = headers.get("tandem-volume").and_then(|value| value.to_str().ok());
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Written aside, and under its name once it is whole.
async fn into_file(body: Body, path: &Path, progress: (&Bar, u64)) -> Result<u64, Failure> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".partial");
    let aside = PathBuf::from(aside);
    let written = write_aside(body, (&aside, path), progress).await;
    if written.is_err() {
        // It is no archive; that it cannot be removed either changes nothing about that.
        drop(std::fs::remove_file(&aside));
    }
    written
}

async fn write_aside(
    body: Body,
    (aside, path): (&Path, &Path),
    progress: (&Bar, u64),
) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::chain(&format!("write {}", path.display()), &error);
    let file = aside::create(aside).map_err(failed)?;
    let received = if path.extension().is_some_and(|end| end == "zst") {
        let mut encoder = zstd::Encoder::new(&file, 3).map_err(failed)?;
        let received = receive(body, &mut encoder, progress).await?;
        encoder.finish().map_err(failed)?;
        received
    } else {
        receive(body, &file, progress).await?
    };
    file.sync_all().map_err(failed)?;
    std::fs::rename(aside, path).map_err(failed)?;
    Ok(received)
}

async fn receive(mut body: Body, mut out: impl Write, (bar, all): (&Bar, u64)) -> Result<u64, Failure> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(format!("the export broke off: {error}"))
                .hint("the server's log has the reason; nothing was kept of it here")
                .code("export_broken")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        out.write_all(&data).map_err(unwritten)?;
        received += data.len() as u64;
        bar.set(received.min(all), all);
    }
    out.flush().map_err(unwritten)?;
    Ok(received)
}

/// Who reads from a pipe may have what they want.
fn unwritten(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::from_stdout(error),
        _ => Failure::chain("write the archive", &error),
    }
}

async fn import(args: ImportArgs, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let (archive, size) = archive::open(&args.file, &args.volume)?;
    let path = |verb: &str| place.path(&format!("volumes/{}/{verb}", args.volume));
    let bar = Bar::new(&session.output, "importing");
    let read = Arc::new(AtomicU64::new(0));
    let body = bodies::stream(archive::pieces(archive, Arc::clone(&read)));
    let staged = {
        let client = session.client()?;
        let upload = path("import");
        let sent = client.post_stream(&upload, body);
        tokio::pin!(sent);
        loop {
            tokio::select! {
                answer = &mut sent => break answer,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    let done = read.load(Ordering::Relaxed);
                    bar.set(done, size.unwrap_or(done).max(done));
                }
            }
        }
    };
    bar.clear();
    let staged = read_limited(staged?.into_body(), ANSWER_LIMIT).await;
    let staged = staged.map_err(|error| Failure::chain("read the answer", &error))?;
    let staged: VolumeStaged =
        serde_json::from_slice(&staged).map_err(|error| Failure::chain("read the answer", &error))?;
    session.output.note(format!(
        "{} unpacked; ending all processes of {place}, exchanging the volume, starting them again",
        count(staged.files, "file is", "files are")
    ));
    let asked = SwapVolume { staged: staged.staged, message: session.global.reason() };
    let client = session.client()?.clone().waiting(SWAP_LIMIT);
    let done: VolumeImported = client.post(&path("swap"), &asked).await?;
    session.output.show(&done, |done| imported(done, &args.volume, &place))?;
    Ok(Exit::Done)
}

fn imported(done: &VolumeImported, volume: &ProcessType, place: &Place) -> String {
    let mut text = format!(
        "imported {volume} of {place}: {}, {}; {} again\n",
        count(done.files, "file", "files"),
        bytes(done.bytes),
        count(u64::from(done.restarted), "instance starts", "instances start")
    );
    if let Some(before) = &done.before {
        text.push_str(&format!("what was in it is kept until the next import, on the host: {before}\n"));
    }
    text
}
