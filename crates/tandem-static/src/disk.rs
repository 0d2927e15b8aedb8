//! A folder of this machine, served as it is: for a balancer without a server.
//!
//! Every name is resolved by the kernel below the folder and nowhere else (`RESOLVE_BENEATH`): neither `..` nor a link, nor
//! one that is put there at this very moment, leads out of it. Links within it are followed. What is in the kernel's memory
//! is opened and read at once; only what the disk must be asked for goes to a thread that may wait.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tandem_kit::clock::Clock;
use tandem_kit::tasks;

use super::answer::{Form, begin, refuse};
use super::coding::{self, Coding};
use super::hot::{Content, Hot, Short};
use super::{FileBody, path};

/// What stands for a folder.
const INDEX: &str = "index.html";
/// The one name with a dot in front that is meant for the world (RFC 8615).
const WELL_KNOWN: &str = ".well-known";
/// Longest file that is kept in memory for a moment.
const SHORT: u64 = 64 * 1024;
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// A folder under a path prefix.
#[derive(Debug)]
pub struct Disk {
    folder: OwnedFd,
    /// Without a slash at its end; empty for `/`.
    prefix: Box<str>,
    hot: Hot,
}

/// What a name stands for.
enum Found {
    /// A file and the compressed forms beside it.
    File(Opened, Vec<(Coding, Opened)>),
    /// A folder; files in it have a slash in front.
    Folder,
}

/// A file that can be sent.
struct Opened {
    file: File,
    size: u64,
    tag: String,
}

impl Disk {
    /// Opens a folder; it stays this one, whatever is done to its path.
    ///
    /// # Errors
    /// It is none, or cannot be read, or the kernel is older than 5.6.
    pub fn open(folder: &Path, prefix: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())?;
        openat2(&folder, ".", OFlags::RDONLY | flags, Mode::empty(), ResolveFlags::BENEATH)?;
        Ok(Self { folder, prefix: prefix.trim_end_matches('/').into(), hot: Hot::new(Clock::system()) })
    }

    /// Answers a request with a file. None: there is no such file.
    pub async fn answer(self: &Arc<Self>, request: &Parts) -> Option<Response<FileBody>> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(answer);
        }
        let rest = request.uri.path().strip_prefix(&*self.prefix)?;
        let Some(rest) = rest.strip_prefix('/') else { return Some(with_slash(request)) };
        let name = name(rest)?;
        let key = (name, request.headers.contains_key(header::ACCEPT_ENCODING));
        if let Some(short) = self.hot.get(&key) {
            return Some(send_short(&key.0, &short, request));
        }
        match self.find(key.0.clone(), key.1).await {
            Ok(Found::Folder) => Some(with_slash(request)),
            Ok(Found::File(plain, forms)) => Some(match short(&plain, &forms).map(Arc::new) {
                Some(short) => {
                    let answer = send_short(&key.0, &short, request);
                    self.hot.put(key, &short);
                    answer
                }
                None => send(&key.0, (plain, forms), request),
            }),
            Err(
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG | Errno::NXIO,
            ) => None,
            Err(Errno::ACCESS) => Some(refusal(StatusCode::FORBIDDEN)),
            Err(error) => {
                tracing::error!("cannot open the file {}: {error}", key.0);
                Some(refusal(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// `any_form`: compressed forms may be what is asked for.
    async fn find(self: &Arc<Self>, name: String, any_form: bool) -> Result<Found, Errno> {
        match self.look((&name, any_form), ResolveFlags::CACHED) {
            // Not in memory; or a kernel before 5.12, which does not know the question.
            Err(Errno::AGAIN | Errno::INVAL) => {
                let disk = Arc::clone(self);
                tasks::blocking("open a file", move || disk.look((&name, any_form), ResolveFlags::empty()))
                    .await
            }
            found => found,
        }
    }

    fn look(&self, (name, any_form): (&str, bool), how: ResolveFlags) -> Result<Found, Errno> {
        let Some(plain) = self.open_file(name, how)? else { return Ok(Found::Folder) };
        let mut forms = Vec::new();
        for (coding, ending) in Coding::endings().filter(|_| any_form) {
            match self.open_file(&format!("{name}{ending}"), how) {
                Ok(Some(form)) => forms.push((coding, form)),
                Err(error @ (Errno::AGAIN | Errno::INVAL)) => return Err(error),
                // There is the file itself.
                Ok(None) | Err(_) => {}
            }
        }
        Ok(Found::File(plain, forms))
    }

    /// None: it is a folder.
    fn open_file(&self, name: &str, how: ResolveFlags) -> Result<Option<Opened>, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | how;
        let file = openat2(&self.folder, name, FLAGS, Mode::empty(), resolve)?;
        let stat = rustix::fs::fstat(&file)?;
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        if kind.is_dir() {
            return Ok(None);
        }
        if !kind.is_file() {
            return Err(Errno::NXIO);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let tag = format!("\"{:x}-{size:x}-{:x}.{:x}\"", stat.st_ino, stat.st_mtime, stat.st_mtime_nsec);
        Ok(Some(Opened { file: file.into(), size, tag }))
    }
}

/// The name below the folder of what a path asks for. None: nothing can have it, or it is nobody's business.
fn name(rest: &str) -> Option<String> {
    let (folder, wants_index) = match rest.strip_suffix('/') {
        _ if rest.is_empty() => (String::new(), true),
        Some(folder) => (path::file_name(folder)?, true),
        None => (path::file_name(rest)?, false),
    };
    // `.git`, `.env`, `.htpasswd`: what lies there by accident.
    let is_hidden = |part: &str| part.starts_with('.') && part != WELL_KNOWN;
    if folder.split('/').any(is_hidden) {
        return None;
    }
    Some(match wants_index {
        _ if rest.is_empty() => INDEX.to_owned(),
        true => format!("{folder}/{INDEX}"),
        false => folder,
    })
}

fn refusal(status: StatusCode) -> Response<FileBody> {
    let mut answer = Response::new(FileBody::empty());
    refuse(&mut answer, status, false);
    answer
}

/// Sends the client to the same path with a slash, so that relative links on the page lead below it.
fn with_slash(request: &Parts) -> Response<FileBody> {
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let place = format!("{}/{query}", request.uri.path());
    let mut answer = refusal(StatusCode::MOVED_PERMANENTLY);
    if let Ok(place) = HeaderValue::try_from(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    answer
}

/// Answers with a form of a file that is sent from where it lies.
fn send(
    name: &str,
    (plain, mut forms): (Opened, Vec<(Coding, Opened)>),
    request: &Parts,
) -> Response<FileBody> {
    let sizes: Vec<_> = forms.iter().map(|(coding, form)| (*coding, form.size)).collect();
    let (coding, opened) = match coding::choose(&request.headers, plain.size, &sizes) {
        Some(place) => {
            let (coding, form) = forms.swap_remove(place);
            (Some(coding), form)
        }
        None => (None, plain),
    };
    let Opened { file, size, tag } = opened;
    let (mut answer, part) =
        begin(&Form { name, tag: &tag, size, coding, varies: true, is_public: false }, request);
    if let Some((start, length)) = part {
        *answer.body_mut() = FileBody::file(file, start, length);
    }
    answer
}

/// Answers with a form of a short file.
fn send_short(name: &str, short: &Short, request: &Parts) -> Response<FileBody> {
    let Short { plain, forms } = short;
    let size = |content: &Content| content.bytes.len() as u64;
    let sizes: Vec<_> = forms.iter().map(|(coding, form)| (*coding, size(form))).collect();
    let chosen = coding::choose(&request.headers, size(plain), &sizes).map(|place| &forms[place]);
    let (coding, content) = chosen.map_or((None, plain), |(coding, form)| (Some(*coding), form));
    let form = Form {
        name,
        tag: &content.tag,
        size: size(content),
        coding,
        // Other forms are looked for only where they may be asked for.
        varies: true,
        is_public: false,
    };
    let (mut answer, part) = begin(&form, request);
    if let Some((start, length)) = part {
        // Both lie within what is in memory.
        let (start, length) = (start as usize, length as usize);
        *answer.body_mut() = FileBody::bytes(content.bytes.slice(start..start + length));
    }
    answer
}

/// A file and its forms, where all of them are short and in the kernel's memory.
fn short(plain: &Opened, forms: &[(Coding, Opened)]) -> Option<Short> {
    let content = |opened: &Opened| {
        let bytes = from_memory(&opened.file, opened.size)?;
        Some(Content { bytes, tag: opened.tag.clone() })
    };
    let forms = forms.iter().map(|(coding, form)| Some((*coding, content(form)?)));
    Some(Short { plain: content(plain)?, forms: forms.collect::<Option<_>>()? })
}

/// A short file, if all of it is in the kernel's memory.
fn from_memory(file: &File, size: u64) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).ok().filter(|_| size <= SHORT)?];
    if bytes.is_empty() {
        return Some(Bytes::new());
    }
    let whole = bytes.len();
    let read = preadv2(file, &mut [io::IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT);
    (read == Ok(whole)).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_for_files_and_folders_for_their_index() {
        for (rest, expected) in [
            ("", Some("index.html")),
            ("a.css", Some("a.css")),
            ("a/", Some("a/index.html")),
            ("a/b%20c.css", Some("a/b c.css")),
            (".well-known/x", Some(".well-known/x")),
            ("/", None),
            ("a//", None),
            ("../x", None),
            ("%2e%2e/x", None),
            (".git/config", None),
            ("a/.env", None),
            ("a/%2eenv", None),
            (".a/", None),
        ] {
            assert_eq!(name(rest).as_deref(), expected, "{rest:?}");
        }
    }
}
