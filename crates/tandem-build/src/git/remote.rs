//! What a URL of a repository, and a reference in it, may be. Text only: nothing is asked or resolved.
//!
//! The rules are stricter than git's, since whoever holds a token may send one: HTTPS and SSH only, no password, no
//! query, nothing that a program could take for an option or a command.

use tandem_types::git::GitSource;
use tandem_types::problem::Problem;

/// Longest URL.
const LONGEST_URL: usize = 2048;
/// Longest name of a reference.
const LONGEST_REFERENCE: usize = 250;
/// Who asks by SSH where the URL does not say: ssh would take the user that runs builds, whom no host knows.
const USER: &str = "git";

/// Why a URL or reference is not fetched. Says nothing of what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL of a repository.
    #[error("read the URL: {0}")]
    Malformed(&'static str),
    /// A scheme, or a helper, that is not fetched from.
    #[error("fetch by `{0}`")]
    Scheme(String),
    /// A name or password in it.
    #[error("fetch from a URL with a password or token in it")]
    Password,
    /// A reference that git would not take, or take for an option.
    #[error("fetch {0:?}: no branch, tag or commit has such a name")]
    Reference(String),
}

impl Refused {
    /// The refusal as people get it.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        let refused = |code: &str, title: String| Problem::new(422, code, title);
        match self {
            Self::Malformed(why) => refused("git_url_invalid", format!("this is no URL of a repository: {why}"))
                .hint("write https://HOST/PATH or git@HOST:PATH"),
            Self::Scheme(scheme) => {
                let hint = match scheme.as_str() {
                    "http" => "write https:// instead: over http:// anybody on the way could change what is deployed",
                    "git" => "write https:// instead: over git:// anybody on the way could change what is deployed",
                    "file" => "a folder of this machine is deployed by its path: `tandem deploy PATH --ref REF`",
                    _ => "write https://HOST/PATH or git@HOST:PATH",
                };
                refused("git_url_refused", format!("sources are not fetched by `{scheme}`")).hint(hint)
            }
            Self::Password => refused("git_url_password", "there is a name, password or token in the URL".to_owned())
                .hint(
                    "it would be kept in every release: leave it out. A private repository is fetched with a deploy \
                     key: `tandem key create --app APP`, then `tandem deploy git@HOST:PATH`",
                ),
            Self::Reference(name) => {
                let shown: String = name.chars().take(60).collect();
                refused("git_ref_invalid", format!("{shown:?} is no name of a branch, tag or commit"))
                    .hint("tandem deploy URL --ref main")
            }
        }
    }
}

/// How a repository is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// Without the slash in front where the URL is `HOST:PATH`.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Https,
    Ssh,
    /// `USER@HOST:PATH`, whose path is below the user's home folder.
    Scp,
}

/// Whether a word is meant as a URL and not as a folder: it has a scheme or a helper, or is `USER@HOST:PATH`.
#[must_use]
pub fn is_url(word: &str) -> bool {
    let before = |separator: &str| word.split_once(separator).map(|(before, _)| before);
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-_".contains(&b))
    };
    before("://").is_some_and(is_name)
        || before("::").is_some_and(is_name)
        || before(":").is_some_and(|host| host.contains('@') && !host.contains('/'))
}

/// Checks a source before anything is asked of anybody.
///
/// # Errors
/// See [`Refused`].
pub fn check(source: &GitSource) -> Result<Remote, Refused> {
    if let Some(reference) = &source.reference {
        check_reference(reference)?;
    }
    Remote::parse(&source.url)
}

/// The rules of `git check-ref-format`, and that nothing is taken for an option or a way to say `the one before`.
fn check_reference(name: &str) -> Result<(), Refused> {
    let refused = || Err(Refused::Reference(name.to_owned()));
    let strange = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
    let parts_fit =
        name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"));
    if name.len() > LONGEST_REFERENCE || name.starts_with('-') || name.contains(strange) || !parts_fit {
        return refused();
    }
    if name.contains("..") || name.contains("@{") || name.ends_with('.') || name == "@" {
        return refused();
    }
    Ok(())
}

impl Remote {
    /// Reads a URL.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn parse(url: &str) -> Result<Self, Refused> {
        if url.is_empty() || url.len() > LONGEST_URL {
            return Err(Refused::Malformed("it is empty or very long"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic())
            || url.contains(['\'', '"', '`', '$', '\\', '<', '>'])
        {
            return Err(Refused::Malformed("it has characters that no such URL has"));
        }
        if let Some((helper, _)) =
            url.split_once("::").filter(|(helper, _)| !helper.contains(['/', '[', '@']))
        {
            return Err(Refused::Scheme(format!("{helper}::")));
        }
        match url.split_once("://") {
            Some(("https", rest)) => Self::of_authority(Scheme::Https, rest),
            Some(("ssh", rest)) => Self::of_authority(Scheme::Ssh, rest),
            Some((scheme, _)) => Err(Refused::Scheme(scheme.to_owned())),
            None => Self::of_scp(url),
        }
    }

    fn of_authority(scheme: Scheme, rest: &str) -> Result<Self, Refused> {
        let (authority, path) = rest.split_once('/').ok_or(Refused::Malformed("it names no repository"))?;
        let (user, host) = match authority.rsplit_once('@') {
            // A name alone is a token at some hosts.
            Some((user, _)) if scheme == Scheme::Https || user.contains(':') => {
                return Err(Refused::Password);
            }
            Some((user, host)) => (Some(user.to_owned()), host),
            None => ((scheme == Scheme::Ssh).then(|| USER.to_owned()), authority),
        };
        let (host, port) = split_port(host)?;
        Self { scheme, user, host, port, path: format!("/{path}") }.checked()
    }

    fn of_scp(url: &str) -> Result<Self, Refused> {
        let parts = url.split_once(':').filter(|(host, _)| !host.contains('/'));
        let (host, path) = parts.ok_or(Refused::Malformed("it has neither a scheme nor a host"))?;
        let (user, host) = match host.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (Some(USER.to_owned()), host),
        };
        Self { scheme: Scheme::Scp, user, host: host.to_owned(), port: None, path: path.to_owned() }.checked()
    }

    fn checked(mut self) -> Result<Self, Refused> {
        self.host.make_ascii_lowercase(); // It has no case (RFC 4343), and its keys one spelling.
        let plain = |text: &str| {
            !text.starts_with(['-', '.'])
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        let is_six = |host: &str| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
        };
        if self.host.is_empty() || !(plain(&self.host) || is_six(&self.host)) {
            return Err(Refused::Malformed("its host is no name"));
        }
        if self.user.as_deref().is_some_and(|user| user.is_empty() || !plain(user)) {
            return Err(Refused::Malformed("its user is no name"));
        }
        if self.path.trim_matches('/').is_empty() {
            return Err(Refused::Malformed("it names no repository"));
        }
        if self.path.starts_with('-') || self.path.contains(['?', '#', '@']) {
            return Err(Refused::Malformed("its path has characters that paths of repositories do not have"));
        }
        Ok(self)
    }

    /// The URL, which holds no secret.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { scheme, user, host, port, path } = self;
        let user = user.as_ref().map_or(String::new(), |user| format!("{user}@"));
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        match scheme {
            Scheme::Https => format!("https://{user}{host}{port}{path}"),
            Scheme::Ssh => format!("ssh://{user}{host}{port}{path}"),
            Scheme::Scp => format!("{user}{host}:{path}"),
        }
    }

    /// Whether it is reached over SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        self.scheme != Scheme::Https
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same repository over SSH, as most hosts have it; for hints.
    #[must_use]
    pub fn over_ssh(&self) -> String {
        format!("git@{}:{}", self.host, self.path.trim_start_matches('/'))
    }

    /// The host as a `known_hosts` file names it.
    #[must_use]
    pub fn known_as(&self) -> String {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        match self.port.filter(|port| *port != 22) {
            Some(port) => format!("[{bare}]:{port}"),
            None => bare.to_owned(),
        }
    }

    /// The last part of its path without `.git`: what people call the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = self.path.trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or(path);
        last.strip_suffix(".git").unwrap_or(last)
    }

    /// The repository that a submodule's URL names; one that begins with `./` or `../` is relative to this one.
    ///
    /// # Errors
    /// See [`Refused`]; also where it climbs out of the host.
    pub fn join(&self, url: &str) -> Result<Self, Refused> {
        if !(url.starts_with("./") || url.starts_with("../")) {
            return Self::parse(url);
        }
        let is_absolute = self.path.starts_with('/');
        let mut parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        for part in url.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop().ok_or(Refused::Malformed("it climbs out of its host"))?),
                part => parts.push(part),
            }
        }
        let path = format!("{}{}", if is_absolute { "/" } else { "" }, parts.join("/"));
        Self::parse(&Self { path, ..self.clone() }.url())
    }
}

fn split_port(host: &str) -> Result<(String, Option<u16>), Refused> {
    let bare_six = host.starts_with('[') && host.ends_with(']');
    match host.rsplit_once(':').filter(|_| !bare_six) {
        None => Ok((host.to_owned(), None)),
        Some((host, port)) => {
            let port = port.parse().map_err(|_| Refused::Malformed("its port is no number"))?;
            Ok((host.to_owned(), Some(port)))
        }
    }
}

#[cfg(test)]
mod tests;
