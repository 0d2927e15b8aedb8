//! A trusted program whose input or output is too long for memory.

use std::process::ExitStatus;

use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::{Error, Group, LINES_SHOWN, Tool};

/// Bytes kept of its error output.
const ERROR_LIMIT: u64 = 64 * 1024;

/// A program that runs. It is killed with what it started when this is dropped before it has ended.
#[derive(Debug)]
pub struct Streaming {
    program: String,
    child: Child,
    group: Group,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Tool {
    /// Starts it and hands its streams on. It may say little on its error output: that is read when it has ended.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn stream(self) -> Result<Streaming, Error> {
        let program = self.name();
        let mut child = self.start().map_err(|source| Error::Run { program: program.clone(), source })?;
        let group = Group(child.id().map(|id| Pid::from_raw(id as i32)));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Streaming { program, child, group, stdin, stdout, stderr })
    }
}

impl Streaming {
    /// Its standard input, once; when that is dropped it sees the end.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Its standard output, once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Waits for its end and wants exit code 0. Streams that were not taken are closed.
    ///
    /// # Errors
    /// It failed; the last lines of its error output are in the message.
    pub async fn finish(mut self) -> Result<(), Error> {
        drop((self.stdin.take(), self.stdout.take()));
        let failed = |source| Error::Run { program: self.program.clone(), source };
        let mut said = Vec::new();
        if let Some(stderr) = self.stderr.take() {
            stderr.take(ERROR_LIMIT).read_to_end(&mut said).await.map_err(failed)?;
        }
        let status: ExitStatus = self.child.wait().await.map_err(failed)?;
        self.group.forget();
        if status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let said = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        Err(Error::Failed { program: self.program, status: status.to_string(), said })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn what_goes_in_comes_out_and_the_end_is_told() {
        let script = "cat; echo said >&2; exit $1";
        for (code, good) in [("0", true), ("3", false)] {
            let tool = Tool::new("/bin/sh").args(["-c", script, "sh", code]);
            let mut running = tool.stream().unwrap();
            let mut input = running.take_input().unwrap();
            let mut output = running.take_output().unwrap();
            input.write_all(b"abc").await.unwrap();
            drop(input);
            let mut text = String::new();
            output.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "abc");
            let ended = running.finish().await;
            assert_eq!(ended.is_ok(), good, "{ended:?}");
            assert!(ended.err().is_none_or(|error| error.to_string().ends_with("exit status: 3: said")));
        }
    }
}
