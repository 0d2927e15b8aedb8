//! What people do while something is killed.

use std::time::Duration;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::program::Running;

use crate::ground::{GUESTBOOK, Site};

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Deploy,
    Rollback,
    Config,
    Scale,
    Restart,
}

impl Operation {
    pub(crate) const ALL: [Self; 5] =
        [Self::Deploy, Self::Rollback, Self::Config, Self::Scale, Self::Restart];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Config => "config",
            Self::Scale => "scale",
            Self::Restart => "restart",
        }
    }

    /// Types it; what the page says where it succeeds and is a deploy. `number` makes it differ from all before.
    pub(crate) fn begin(self, site: &Site, (app, number): (&str, usize)) -> Running {
        let folder = if app == GUESTBOOK { &site.guestbook } else { &site.plain };
        let path = folder.path().to_str().expect("the benchmark's folder has a plain path").to_owned();
        let (value, web) = (format!("BENCH={number}"), format!("web={}", 2 + number % 2));
        let words: Vec<&str> = match self {
            Self::Deploy => {
                change(folder, app, &text(number));
                vec!["deploy", &path]
            }
            Self::Rollback => vec!["rollback"],
            Self::Config => vec!["config", "set", &value],
            Self::Scale => vec!["scale", &web],
            Self::Restart => vec!["restart"],
        };
        let words = words.into_iter().chain(["--app", app]);
        let log = site.installation().data().root().join("../client.log");
        site.installation().program(words).output(&log).start()
    }
}

/// What the page says after the deploy of this number.
pub(crate) fn text(number: usize) -> String {
    format!("Moment {number}")
}

fn change(folder: &AppFolder, app: &str, text: &str) {
    if app == GUESTBOOK {
        folder.greet(text);
        return;
    }
    let server = std::fs::read_to_string(folder.path().join("server.py")).expect("the app has a server");
    let line = server.lines().find(|line| line.starts_with("TEXT = ")).expect("it has a text").to_owned();
    folder.edit("server.py", &line, &format!("TEXT = \"<h1>{text}</h1>\""));
}

/// A part of a length, drawn evenly.
pub(crate) fn part_of(length: Duration) -> Duration {
    length.mul_f64(f64::from(random()) / f64::from(u32::MAX))
}

/// One of some values, drawn evenly.
pub(crate) fn one_of<T: Copy>(values: &[T]) -> T {
    values[usize::try_from(random()).expect("32 bits fit") % values.len()]
}

fn random() -> u32 {
    // The seeds of the standard library's maps are drawn from the system.
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of it will do")]
    let bits = RandomState::new().build_hasher().finish() as u32;
    bits
}
