//! Which lines somebody wants: the query of a request, and what fits it.

use std::str::FromStr;

use tandem_types::problem::Problem;
use tandem_types::{InstanceId, JobId, ProcessType, ReleaseNumber};

use super::source::Source;
use crate::intent::Place;

/// Lines told where the request does not say how many.
const LINES: usize = 100;
/// Most lines told before those that are new.
const MOST_LINES: usize = 100_000;

/// A request for lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// Whose.
    pub(crate) selection: Selection,
    /// How many of those that are there, the latest.
    pub(crate) lines: usize,
    /// Whether to go on with those that come.
    pub(crate) follow: bool,
}

/// Whose lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Instances of an environment; jobs only where they are asked for by `process`.
    Place {
        /// The environment.
        place: Place,
        /// `web`, `worker`, …; `release` and `smoke` for jobs.
        process: Option<ProcessType>,
        /// One instance.
        instance: Option<InstanceId>,
        /// One release.
        release: Option<ReleaseNumber>,
    },
    /// One job.
    Job(JobId),
}

impl Selection {
    /// Whether a log is wanted; that it is of the right environment is known from its folder.
    pub(crate) fn wants(&self, source: &Source) -> bool {
        match self {
            Self::Job(id) => source.job == Some(*id),
            Self::Place { process, instance, release, .. } => {
                let right_process = match process {
                    Some(process) => source.process == *process,
                    None => source.job.is_none(),
                };
                right_process
                    && instance.is_none_or(|id| source.instance == Some(id))
                    && release.is_none_or(|release| source.release == release)
            }
        }
    }
}

impl Query {
    /// Reads `app=A&env=E&process=P&instance=I&release=R&lines=K&follow=true`.
    pub(crate) fn of_place(query: &str) -> Result<Self, Problem> {
        let parameters =
            parameters(query, &["app", "env", "process", "instance", "release", "lines", "follow"])?;
        let place = Place { app: required(&parameters, "app")?, environment: required(&parameters, "env")? };
        let selection = Selection::Place {
            place,
            process: optional(&parameters, "process")?,
            instance: optional(&parameters, "instance")?,
            release: optional(&parameters, "release")?,
        };
        Self::with(selection, &parameters)
    }

    /// Reads `lines=K&follow=true` for a job.
    pub(crate) fn of_job(id: JobId, query: &str) -> Result<Self, Problem> {
        Self::with(Selection::Job(id), &parameters(query, &["lines", "follow"])?)
    }

    fn with(selection: Selection, parameters: &[(String, String)]) -> Result<Self, Problem> {
        let lines = optional(parameters, "lines")?.unwrap_or(LINES).min(MOST_LINES);
        let follow = optional(parameters, "follow")?.unwrap_or(false);
        Ok(Self { selection, lines, follow })
    }
}

/// Every value is a name, a number or a truth value, so nothing in them is ever escaped.
pub(crate) fn parameters(query: &str, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameters: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match parameters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(refused(format!("there is no parameter {name:?}"))),
        None => Ok(parameters),
    }
}

fn optional<T>(parameters: &[(String, String)], name: &str) -> Result<Option<T>, Problem>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let value = parameters.iter().find(|(given, value)| given == name && !value.is_empty());
    value.map(|(_, value)| value.parse().map_err(|error| refused(format!("{name}: {error}")))).transpose()
}

pub(crate) fn required<T>(parameters: &[(String, String)], name: &str) -> Result<T, Problem>
where
    T: FromStr<Err: std::fmt::Display>,
{
    optional(parameters, name)?.ok_or_else(|| refused(format!("{name} is missing")))
}

fn refused(title: String) -> Problem {
    Problem::new(400, "bad_query", title)
}
