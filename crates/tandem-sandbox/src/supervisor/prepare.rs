//! Everything that a command needs before it is executed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tandem_types::instance::Isolation;

use crate::bubblewrap::{self, Programs};
use crate::cgroup::{self, Group};
use crate::spawn::{Program, Tie};
use crate::{Spec, check, command, mount_points, plain};

/// bubblewrap's own two processes do not count against the app.
const OWN_PROCESSES: u32 = 2;

/// Why a command could not be started. It never ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The specification cannot work.
    #[error("use the specification")]
    Specification(#[from] check::Error),
    /// A program that isolation needs is missing.
    #[error("isolate the command: {hint}")]
    Missing {
        /// What is missing and the line to type.
        hint: String,
    },
    /// The home folder cannot be made or given to the user.
    #[error("make the home folder {}", path.display())]
    Home {
        /// On the host.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The control group cannot be made or entered.
    #[error("make the control group")]
    Group(#[from] cgroup::Error),
    /// Users, hosts, environment or the filter cannot be passed on.
    #[error("describe the sandbox")]
    Sandbox(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system did not make the process.
    #[error("execute {}", program.display())]
    Execute {
        /// On the host.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What the standard streams of a command are.
#[derive(Debug)]
pub(crate) enum Streams {
    /// No input; the outputs are pipes that the supervisor reads.
    Captured,
    /// The same with an input: the end of a pipe that can be read.
    Pipes(File),
    /// A terminal: its end for the command.
    Terminal(File),
}

/// A command made ready but not executed yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub program: Program,
    pub group: Group,
    pub isolation: Isolation,
}

impl Prepared {
    /// Makes everything that the command needs. Nothing has run and no group is left when this fails.
    pub(crate) fn new(spec: &Spec) -> Result<Self, StartError> {
        Self::with_streams(spec, Streams::Captured)
    }

    /// As [`Prepared::new`], for a command that somebody talks with.
    pub(crate) fn with_streams(spec: &Spec, streams: Streams) -> Result<Self, StartError> {
        check::check(spec)?;
        make_home(spec).map_err(|source| StartError::Home { path: spec.home.clone(), source })?;
        if spec.isolation == Isolation::Sandbox {
            mount_points::ensure(spec)?;
        }
        let program = program(spec, streams)?;
        let mut limits = spec.limits.clone();
        if spec.isolation == Isolation::Sandbox {
            limits.pids = limits.pids.map(|pids| pids.saturating_add(OWN_PROCESSES));
        }
        let group = Group::create(&spec.cgroup_parent, &spec.id, &limits)?;
        let mut prepared = Self { program, group, isolation: spec.isolation };
        match prepared.group.doors() {
            Ok(doors) => prepared.program.doors = doors,
            Err(error) => {
                prepared.discard();
                return Err(error.into());
            }
        }
        Ok(prepared)
    }

    /// The same, to be killed first when the machine runs out of memory.
    pub(crate) fn expendable(mut self) -> Self {
        self.program.expendable = true;
        self
    }

    /// It will not be executed after all.
    pub(crate) fn discard(self) {
        // What cannot be removed now is found by its name when orphans are swept.
        let _ = self.group.clear_blocking();
    }
}

fn make_home(spec: &Spec) -> io::Result<()> {
    tandem_kit::files::ensure_dir(&spec.home, 0o700)?;
    if spec.isolation == Isolation::Sandbox {
        std::os::unix::fs::chown(&spec.home, Some(spec.user.uid), Some(spec.user.uid))?;
    }
    Ok(())
}

/// The program to execute, with its descriptors but in no control group yet.
pub(crate) fn program(spec: &Spec, streams: Streams) -> Result<Program, StartError> {
    let mut program = match spec.isolation {
        Isolation::Sandbox => sandboxed(spec, &streams)?,
        Isolation::Plain => plain(spec),
    };
    match streams {
        Streams::Captured => {}
        Streams::Pipes(input) => program.input = Some(input),
        Streams::Terminal(terminal) => {
            // A sandbox makes it its own inside, in the session that it has there.
            program.takes_terminal = spec.isolation == Isolation::Plain;
            program.terminal = Some(terminal);
        }
    }
    Ok(program)
}

fn sandboxed(spec: &Spec, streams: &Streams) -> Result<Program, StartError> {
    let streams = match streams {
        Streams::Captured => bubblewrap::Streams::Captured,
        Streams::Pipes(_) => bubblewrap::Streams::Pipes,
        Streams::Terminal(_) => bubblewrap::Streams::Terminal,
    };
    let programs = Programs::find().map_err(|hint| StartError::Missing { hint })?;
    let sandboxed = bubblewrap::arguments(spec, streams, &programs)
        .map_err(|error| StartError::Sandbox(Box::new(error)))?;
    Ok(Program {
        path: programs.bubblewrap,
        arguments: sandboxed.arguments,
        environment: Vec::new(),
        folder: Path::new("/").to_owned(),
        input: sandboxed.input,
        terminal: None,
        takes_terminal: false,
        inherited: sandboxed.inherited,
        doors: Vec::new(),
        tie: Tie::DiesWithParent,
        scoped: true,
        expendable: false,
    })
}

fn plain(spec: &Spec) -> Program {
    let environment = plain::environment(spec);
    Program {
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), command::shell_text(&spec.command).into_owned().into()],
        environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        folder: plain::folder(spec),
        input: None,
        terminal: None,
        takes_terminal: false,
        inherited: Vec::new(),
        doors: Vec::new(),
        tie: Tie::DiesWithParent,
        scoped: false,
        expendable: false,
    }
}
