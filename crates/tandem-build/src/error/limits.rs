//! Which limit a build met, in the words people get, and what to change.

use tandem_kit::env;
use tandem_types::problem::Problem;

use super::{Error, refused, tail};
use crate::bounds;

impl Error {
    /// Of a limit that was met.
    pub(super) fn to_problem_of_limit(&self) -> Problem {
        match self {
            Self::OutOfMemory { what, limit, lines } => out_of_memory(what, *limit).detail(tail(lines)),
            Self::MachineOutOfMemory { what, lines } => machine_out_of_memory(what).detail(tail(lines)),
            Self::TooManyProcesses { what, limit, lines } => {
                too_many_processes(what, *limit).detail(tail(lines))
            }
            Self::TooMuchOutput { what, limit, lines } => {
                let title = format!("{what} was ended: it printed more than {} MiB", limit >> 20);
                refused("build_output_too_long", title)
                    .detail(tail(lines))
                    .hint("the lines above are its last ones: let it say less, then deploy again")
            }
            Self::TooMuch { what, reason } => {
                refused("build_too_large", format!("{what} left more than a build can hold: {reason}"))
                    .hint("keep large data in a volume or elsewhere, not in the app; then deploy again")
            }
            Self::Busy { limit } => {
                let title =
                    format!("the build did not begin: another one of this app did not end within {limit}");
                Problem::new(503, "build_busy", title).hint(
                    "where `tandem status` tells of no other build of this app, the disk of Tandem's data folder hangs: look at \
                     the server's log (`dmesg`), and start Tandem again once it answers. Then deploy again",
                )
            }
            Self::NoRoom { left } => {
                let left = bounds::describe(left);
                let title = format!("the build did not begin: the server's disk has only {left} left");
                Problem::new(507, "disk_full", title).hint(
                    "make room on the disk of Tandem's data folder; `tandem status` says what takes it. Then deploy again",
                )
            }
            Self::DiskFull { what, left } => {
                let left = bounds::describe(left);
                let title = format!("{what} was ended: the server's disk had only {left} left");
                Problem::new(507, "disk_full", title).hint(
                    "what the build wrote is removed again: make room on the disk of Tandem's data folder, or let the \
                     build write less, then deploy again",
                )
            }
            _ => unreachable!("only limits come here"),
        }
    }
}

fn out_of_memory(what: &str, limit: u64) -> Problem {
    let title = format!("{what} needs more than the {} MiB of memory that a build may use", limit >> 20);
    refused("build_out_of_memory", title).hint(format!(
        "pin versions that have wheels for this Python, so that nothing large is compiled on the server, or let the build \
         do less at a time; what a package prints while it is built is kept in memory, too. Where the machine has more to \
         give, start `tandem up` with {}={}MiB. Then deploy again",
        env::TANDEM_BUILD_MEMORY,
        limit >> 19
    ))
}

/// The build may have used little: it is what the kernel takes first.
fn machine_out_of_memory(what: &str) -> Problem {
    let title = format!("{what} was ended: the server's machine ran out of memory");
    refused("build_out_of_memory", title).hint(
        "the build was within what it may use, and is what the kernel ends first: `ps aux --sort -rss` on the server says \
         what has the memory. Run less there, or give the machine or Tandem's service more; then deploy again",
    )
}

fn too_many_processes(what: &str, limit: u32) -> Problem {
    let title = format!(
        "{what} needs more than the {limit} processes and threads that a build may have, or the service that Tandem runs \
         in has no more"
    );
    refused("build_too_many_processes", title).hint(
        "let it start fewer at a time: something starts one for each file, or itself; then deploy again",
    )
}

#[cfg(test)]
mod tests {
    use tandem_types::disk::Space;

    use super::*;

    #[test]
    fn a_machine_without_memory_is_not_said_to_be_the_build_s_limit() {
        let (what, lines) = ("the installation of the dependencies", Vec::new());
        let own = Error::OutOfMemory { what, limit: 512 << 20, lines: lines.clone() }.to_problem();
        assert!(own.title.contains("more than the 512 MiB"), "{own:?}");
        assert!(own.hint.contains("TANDEM_BUILD_MEMORY=1024MiB"), "{own:?}");
        let machine = Error::MachineOutOfMemory { what, lines }.to_problem();
        assert_eq!(machine.code, "build_out_of_memory");
        assert!(machine.title.contains("machine ran out of memory"), "{machine:?}");
        assert!(!machine.hint.contains("TANDEM_BUILD_MEMORY"), "more of it would not help: {machine:?}");
    }

    #[test]
    fn a_build_that_never_began_is_not_said_to_have_been_ended() {
        let left = Space { free_bytes: 9 << 20, total_bytes: 1 << 30, free_inodes: 9, total_inodes: 65_536 };
        let problem = Error::NoRoom { left }.to_problem();
        assert_eq!(problem.code, "disk_full");
        assert_eq!(problem.title, "the build did not begin: the server's disk has only 9 MiB left");
        assert!(!problem.hint.contains("removed"), "{problem:?}");
    }
}
