//! Volumes by name over the runner's socket: listed, carried out and in.
//!
//! | method and path | answer |
//! |---|---|
//! | `GET /v1/volumes` | list of [`VolumeFound`](tandem_types::volume::VolumeFound) |
//! | `POST /v1/volumes/export?app=A&env=E&name=N&uid=U` | a tar; its [`Contents`](crate::volumes::pack::Contents) in the header `tandem-volume` |
//! | `POST /v1/volumes/import?app=A&env=E&name=N&uid=U` | takes a tar → [`VolumeStaged`]; with `&undeclared=true` only for a volume that is known here |
//! | `POST /v1/volumes/swap?app=A&env=E&name=N&uid=U&staged=S` | → [`VolumeImported`] |
//!
//! An import has two steps, so that what takes long has no effect: the archive is unpacked beside the volume while the app
//! runs; then its processes are ended, the folders exchanged, and the processes started again. One at a time for each volume.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tandem_kit::error::chain;
use tandem_kit::http::{self as bodies, Body, BoxError};
use tandem_kit::tasks;
use tandem_sandbox::tool::{Streaming, Tool};
use tandem_types::ProcessType;
use tandem_types::assignment::AssignedJob;
use tandem_types::instance::{InstanceState, JobState};
use tandem_types::problem::Problem;
use tandem_types::volume::{VolumeImported, VolumeStaged};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::ChildStdout;

use crate::context::Context;
use crate::intent::Place;
use crate::logs::{parameters, required};
use crate::volumes::{Error, Wanted, remove_copy};

mod refusals;

use refusals::{broken, failed, in_use, missing, refused};

/// Where the contents of an archive are told.
const CONTENTS: &str = "tandem-volume";
/// Bytes that are sent in one piece.
const PIECE: usize = 128 * 1024;
/// Longest line of a worker.
const LONGEST_LINE: u64 = 256 * 1024;
/// Longest time in which nothing comes of an archive.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time until nothing of an environment begins any more: the reconciler's next turn.
const HEED_LIMIT: Duration = Duration::from_secs(10);
/// Longest time for processes to end.
const END_LIMIT: Duration = Duration::from_secs(600);

/// Which volume a request is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    place: Place,
    name: String,
    uid: u32,
}

impl Named {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { place: &self.place, name: &self.name, uid: self.uid }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}/{}", self.name, self.place.app, self.place.environment)
    }
}

/// An archive that is unpacked.
#[derive(Debug, Clone)]
struct Staged {
    number: u64,
    files: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Work {
    /// Volumes that are being carried.
    busy: BTreeSet<Named>,
    staged: BTreeMap<Named, Staged>,
    last: u64,
}

/// Handle on what carries volumes, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Carriage {
    context: Arc<Context>,
    work: Arc<Mutex<Work>>,
}

/// Keeps a volume from being carried twice at once.
struct Busy {
    carriage: Carriage,
    named: Named,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.carriage.work(|work| work.busy.remove(&self.named));
    }
}

impl Carriage {
    /// That of a runner.
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, work: Arc::default() }
    }

    /// Answers requests about volumes.
    ///
    /// # Errors
    /// What is wrong with the request, the volume or the archive.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        match (request.method().clone(), path.strip_prefix("/v1/volumes").unwrap_or_default()) {
            (Method::GET, "") => Ok(json(&self.list().await)),
            (Method::POST, "/export") => self.export(&named(&query)?).await,
            (Method::POST, "/import") => {
                let named = named(&query)?;
                self.ensure_known(&named, &query)?;
                self.import(&named, request.into_body()).await.map(|done| json(&done))
            }
            (Method::POST, "/swap") => {
                let parameters = parameters(&query, &["app", "env", "name", "uid", "staged"])?;
                let staged = required(&parameters, "staged")?;
                self.swap(&named(&query)?, staged).await.map(|done| json(&done))
            }
            _ => Err(Problem::new(404, "not_found", format!("a runner has no {path}"))),
        }
    }

    async fn list(&self) -> Vec<tandem_types::volume::VolumeFound> {
        let volumes = self.context.folders.volumes.clone();
        tasks::blocking("volume-list", move || volumes.found()).await
    }

    async fn export(&self, named: &Named) -> Result<Response<Body>, Problem> {
        let busy = self.take(named)?;
        let folder = self.context.folders.volumes.existing(named.wanted()).ok_or_else(|| missing(named))?;
        let mut worker = self.worker("pack", &folder, named)?;
        drop(worker.take_input());
        let mut output = BufReader::with_capacity(PIECE, output_of(&mut worker));
        let line = first_line(&mut output).await;
        if !line.ends_with('\n') {
            return Err(failed("export_failed", named, worker).await);
        }
        let sent = Sent { output, worker: Some(worker), named: named.clone(), folder, _busy: busy };
        let mut response = Response::new(bodies::stream(stream::unfold(sent, Sent::next)));
        let head = response.headers_mut();
        head.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-tar"));
        if let Ok(contents) = http::HeaderValue::from_str(&ascii(line.trim_end())) {
            head.insert(CONTENTS, contents);
        }
        Ok(response)
    }

    /// A volume that no release declares is imported where it is there, or was; else its name is most likely a slip.
    fn ensure_known(&self, named: &Named, query: &str) -> Result<(), Problem> {
        let undeclared = query.split('&').any(|pair| pair == "undeclared=true");
        let is_known = !undeclared || self.context.folders.volumes.is_known(named.wanted());
        if is_known { Ok(()) } else { Err(missing(named)) }
    }

    async fn import(&self, named: &Named, body: Incoming) -> Result<VolumeStaged, Problem> {
        let _busy = self.take(named)?;
        self.work(|work| work.staged.remove(named));
        let folder = self.volumes(named, |volumes, named| volumes.begin_import(named.wanted())).await?;
        let unpacked = self.unpack(named, &folder, body).await;
        match unpacked {
            Ok(unpacked) => {
                let staged = self.work(|work| {
                    work.last += 1;
                    let staged = Staged { number: work.last, files: unpacked.files, bytes: unpacked.bytes };
                    work.staged.insert(named.clone(), staged.clone());
                    staged
                });
                Ok(VolumeStaged { staged: staged.number, files: staged.files, bytes: staged.bytes })
            }
            Err(problem) => {
                let (volumes, named) = (self.context.folders.volumes.clone(), named.clone());
                tasks::blocking("volume-import", move || volumes.give_up_import(named.wanted())).await;
                Err(problem)
            }
        }
    }

    async fn unpack(
        &self,
        named: &Named,
        folder: &std::path::Path,
        mut body: Incoming,
    ) -> Result<crate::volumes::Unpacked, Problem> {
        let mut worker = self.worker("unpack", folder, named)?;
        let mut input = worker.take_input();
        while let Some(to) = input.as_mut() {
            let frame =
                tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| broken("nothing came"))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| broken(&chain(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            // A worker that takes no more has refused, and says why at its end.
            if to.write_all(&data).await.is_err() {
                input = None;
            }
        }
        drop(input);
        let mut output = BufReader::new(output_of(&mut worker));
        let line = first_line(&mut output).await;
        drop(output);
        match serde_json::from_str(&line) {
            Ok(unpacked) => match worker.finish().await {
                Ok(()) => Ok(unpacked),
                Err(error) => Err(refused("archive_refused", named, &error.to_string())),
            },
            Err(_) => Err(failed("archive_refused", named, worker).await),
        }
    }

    async fn swap(&self, named: &Named, number: u64) -> Result<VolumeImported, Problem> {
        let _busy = self.take(named)?;
        let staged =
            self.work(|work| work.staged.get(named).filter(|staged| staged.number == number).cloned());
        let staged = staged.ok_or_else(|| {
            Problem::new(409, "archive_gone", format!("the archive for the volume {named} is no longer here"))
                .hint("the runner was started again, or another import came between: import it again")
        })?;
        // First, while the app runs: what has begun is nobody's to end.
        let hold = self.context.holds.hold(&named.place);
        self.ensure_no_job(named, &hold).await?;
        self.volumes(named, |volumes, named| volumes.settle_import(named.wanted())).await?;
        let restarted = self.still(named, &hold).await?;
        self.work(|work| work.staged.remove(named));
        let now = self.context.clock.now();
        let before =
            self.volumes(named, move |volumes, named| volumes.finish_import(named.wanted(), now)).await?;
        drop(hold);
        let (volumes, cleared) = (self.context.folders.volumes.clone(), named.clone());
        tasks::blocking("volume-import", move || volumes.clear_import(cleared.wanted())).await;
        let before = before.map(|path| path.display().to_string());
        Ok(VolumeImported { files: staged.files, bytes: staged.bytes, before, restarted })
    }

    /// Refuses where a job of the environment has begun; none begins afterwards.
    async fn ensure_no_job(&self, named: &Named, hold: &crate::holds::Hold) -> Result<(), Problem> {
        let Ok(jobs) = tokio::time::timeout(HEED_LIMIT, hold.heeded()).await else {
            let title = format!("the runner is too busy to exchange the volume {named}");
            return Err(
                Problem::new(409, "volume_in_use", title).hint("nothing was changed: import it again")
            );
        };
        let open = self.context.board.look(|sheet| {
            let is_open = |job: &AssignedJob| sheet.jobs.get(&job.id).is_none_or(|line| is_open(&line.state));
            jobs.into_values().filter(is_open).collect::<Vec<_>>()
        });
        if open.is_empty() { Ok(()) } else { Err(in_use(named, &open)) }
    }

    /// Ends what runs of the environment and waits for it; returns how many instances that were.
    async fn still(&self, named: &Named, hold: &crate::holds::Hold) -> Result<u32, Problem> {
        let Place { app, environment } = &named.place;
        let mut board = self.context.board.watch();
        let runs = |line: &&tandem_types::instance::InstanceObservation| {
            (&line.app, &line.environment) == (app, environment) && line.state != InstanceState::Stopped
        };
        let number = board.borrow_and_update().instances.values().filter(runs).count();
        hold.end();
        let ended = board.wait_for(|sheet| !sheet.instances.values().any(|line| runs(&line)));
        match tokio::time::timeout(END_LIMIT, ended).await {
            Ok(Ok(_)) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
            _ => Err(Problem::new(
                409,
                "volume_in_use",
                format!("something of {app}/{environment} still uses the volume {}", named.name),
            )
            .hint(format!(
                "`tandem ps --app {app} --env {environment}` shows what runs; nothing was changed"
            ))),
        }
    }

    async fn volumes<T: Send + 'static>(
        &self,
        named: &Named,
        work: impl FnOnce(&crate::volumes::Volumes, &Named) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let (volumes, named) = (self.context.folders.volumes.clone(), named.clone());
        let done = tasks::blocking("volume", move || work(&volumes, &named)).await;
        done.map_err(|error| Problem::new(409, "volume_refused", format!("failed to {}", chain(&error))))
    }

    fn worker(&self, work: &str, folder: &std::path::Path, named: &Named) -> Result<Streaming, Problem> {
        let tool = Tool::new(&self.context.binary).args(["volume-worker", work]);
        let started = tool.arg(folder).arg(named.uid.to_string()).stream();
        started.map_err(|error| Problem::new(500, "internal", format!("failed to {}", chain(&error))))
    }

    fn take(&self, named: &Named) -> Result<Busy, Problem> {
        if self.work(|work| work.busy.insert(named.clone())) {
            return Ok(Busy { carriage: self.clone(), named: named.clone() });
        }
        let title = format!("the volume {named} is being exported or imported just now");
        Err(Problem::new(409, "volume_busy", title).hint("try again when that is done"))
    }

    fn work<T>(&self, change: impl FnOnce(&mut Work) -> T) -> T {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An archive on its way out.
struct Sent {
    output: BufReader<ChildStdout>,
    worker: Option<Streaming>,
    named: Named,
    folder: PathBuf,
    _busy: Busy,
}

impl Drop for Sent {
    /// Whoever took it may be gone in the middle, and then the worker is ended in the middle of a copy.
    fn drop(&mut self) {
        remove_copy(&self.folder);
    }
}

impl Sent {
    /// The next piece. An archive that could not be finished is cut off, so that nobody takes it for whole.
    async fn next(mut self) -> Option<(Result<Bytes, BoxError>, Self)> {
        let mut piece = vec![0; PIECE];
        let read = match self.output.read(&mut piece).await {
            Ok(read) => read,
            Err(error) => return Some((Err(error.into()), self)),
        };
        if read > 0 {
            piece.truncate(read);
            return Some((Ok(piece.into()), self));
        }
        let error = self.worker.take()?.finish().await.err()?;
        tracing::warn!("the export of the volume {} broke off: {error}", self.named);
        Some((Err(error.into()), self))
    }
}

fn named(query: &str) -> Result<Named, Problem> {
    let parameters = parameters(query, &["app", "env", "name", "uid", "staged", "undeclared"])?;
    let place = Place { app: required(&parameters, "app")?, environment: required(&parameters, "env")? };
    // Volumes are called as process types are, so that no name leads anywhere.
    let name: ProcessType = required(&parameters, "name")?;
    Ok(Named { place, name: name.to_string(), uid: required(&parameters, "uid")? })
}

fn is_open(state: &JobState) -> bool {
    matches!(state, JobState::Waiting | JobState::Running)
}

fn output_of(worker: &mut Streaming) -> ChildStdout {
    worker.take_output().expect("a worker's output is taken once")
}

/// What a worker says first; without an end where it failed.
async fn first_line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = Vec::new();
    // What is not read of it shows in the line.
    let _ = output.take(LONGEST_LINE).read_until(b'\n', &mut line).await;
    String::from_utf8_lossy(&line).into_owned()
}

/// JSON as a header takes it: names of files may have any letters.
fn ascii(json: &str) -> String {
    let mut text = String::new();
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\u{unit:04x}")),
        }
    }
    text
}

fn json<T: serde::Serialize>(value: &T) -> Response<Body> {
    let mut response = Response::new(bodies::json(value));
    *response.status_mut() = StatusCode::OK;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
