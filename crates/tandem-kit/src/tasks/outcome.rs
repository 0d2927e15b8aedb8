//! How a task ended: well, with an error, or by a panic.

use std::any::Any;

use crate::error::chain;

/// What a task may return.
pub trait Outcome {
    /// The failure as one line with its causes, if it is one.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: std::error::Error> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| chain(&error))
    }
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub task: &'static str,
    /// The error with its causes, or what it said when it panicked.
    pub message: String,
}

pub(super) fn failure_of<T: Outcome>(
    task: &'static str,
    ended: Result<T, Box<dyn Any + Send>>,
) -> Option<Failure> {
    let message = match ended {
        Ok(outcome) => outcome.failure(),
        Err(panic) => Some(format!("panicked: {}", panic_message(&*panic))),
    };
    message.map(|message| Failure { task, message })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
