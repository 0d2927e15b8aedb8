//! What deploys leave behind: nothing but what is listed, for hundreds of them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::disk::Disk;
use tandem_testkit::installation::Installation;
use tandem_testkit::leftovers::Process;
use tandem_testkit::wait::{eventually, pass, within};
use tandem_types::defaults;

use super::with_plain_on;
use crate::screen::{PLAIN, say};

/// The longest that anything stays which is only garbage: blobs, trees, and then the blobs of these.
const QUIET: Duration = Duration::from_secs(130);

/// Deploys one-line changes from the second to the last, and looks at the disk at each multiple of `every`.
struct Deploys<'a> {
    installation: &'a Installation,
    folder: &'a AppFolder,
    disk: &'a Disk,
    text: String,
}

impl Deploys<'_> {
    fn up_to(&mut self, (first, last, every): (u32, u32, u32)) -> Vec<Look> {
        let mut looks = Vec::new();
        for number in first..=last {
            let next = format!("deploy {number}");
            say(self.folder, &self.text, &next);
            self.installation.deploy(self.folder.path());
            self.text = next;
            if number % every == 0 {
                let look = Look::at(self.installation, self.disk);
                tell(&format!("after {number} deploys: {look:?}"));
                looks.push(look);
            }
        }
        assert_eq!(self.installation.site(PLAIN).text("/"), format!("deploy {last}\n"));
        looks
    }

    /// What is left when everything has gone that nobody needs.
    fn settled(&self) -> Look {
        let clock = Clock::system();
        let (mut least, mut since) = (u64::MAX, clock.monotonic());
        let look = within(Duration::from_secs(900), || {
            pass(Duration::from_secs(1));
            let look = Look::at(self.installation, self.disk);
            if look.inodes < least {
                (least, since) = (look.inodes, clock.monotonic());
            }
            (clock.monotonic().elapsed_since(since) > QUIET).then_some(look)
        });
        let look = look.expect("at some time nothing goes any more");
        tell(&format!("and when nothing goes any more: {look:?}"));
        look
    }
}

/// What deploys may leave behind.
#[derive(Debug, Clone)]
struct Look {
    used_kib: u64,
    inodes: u64,
    processes: usize,
    /// Tandem's own processes by what they are; of shims the largest.
    own: BTreeMap<&'static str, Own>,
}

/// What a process of Tandem's takes.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    number: usize,
    resident_kib: u64,
    descriptors: usize,
}

impl Look {
    fn at(installation: &Installation, disk: &Disk) -> Self {
        let space = disk.space();
        let processes = installation.traces().processes();
        let mut own: BTreeMap<_, Own> = BTreeMap::new();
        for (role, process) in processes.iter().filter_map(|process| Some((role(process)?, process))) {
            // One that ends just now has neither.
            let (resident_kib, descriptors) = size(process).unwrap_or_default();
            let all = own.entry(role).or_default();
            *all = Own {
                number: all.number + 1,
                resident_kib: all.resident_kib.max(resident_kib),
                descriptors: all.descriptors.max(descriptors),
            };
        }
        Self {
            used_kib: (space.total_bytes - space.free_bytes) >> 10,
            inodes: space.total_inodes - space.free_inodes,
            processes: processes.len(),
            own,
        }
    }
}

fn role(process: &Process) -> Option<&'static str> {
    let is = |word: &str| process.words.split(' ').nth(1) == Some(word);
    ["up", "balancer", "shim"].into_iter().find(|role| is(role))
}

fn size(process: &Process) -> Option<(u64, usize)> {
    let folder = format!("/proc/{}", process.id);
    let status = fs::read_to_string(format!("{folder}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = resident.trim().trim_end_matches(" kB").parse().ok()?;
    Some((resident, fs::read_dir(format!("{folder}/fd")).ok()?.count()))
}

#[expect(clippy::print_stderr, reason = "what was measured is kept with the test's output")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// The oldest release that is kept works, and the one before is refused with a hint.
fn go_back(installation: &Installation, last: u32) {
    let refused = installation.tandem(["rollback", &format!("r{}", last - 6)]).expect_code(1);
    assert!(refused.stderr.contains("no longer kept") && refused.stderr.contains("hint: "), "{refused}");
    let _ = installation.tandem(["rollback", &format!("r{}", last - 5)]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), format!("deploy {}\n", last - 5));
}

#[test]
fn twenty_deploys_leave_no_process_behind_and_five_releases_to_go_back_to() {
    let disk = Disk::ext4(256);
    let (installation, folder) = with_plain_on(&disk);
    let mut deploys =
        Deploys { installation: &installation, folder: &folder, disk: &disk, text: "one".to_owned() };
    let looks = deploys.up_to((2, 20, 10));
    let [first, last] = &looks[..] else { panic!("two looks: {looks:?}") };
    // Old releases stay warm for a while; those before them leave, on a busy machine some seconds behind the last deploy.
    eventually("what is no longer warm leaves", || {
        let left = Look::at(&installation, &disk).processes;
        (left <= first.processes + 4).then_some(())
    });
    assert!(last.used_kib < first.used_kib + 10 * 200, "{looks:?}");
    go_back(&installation, 20);
    installation.finish();
    disk.finish();
}

mod long {
    use super::*;

    /// Releases and rollouts of which each is listed with its documents and its story; later ones push earlier ones out.
    const LISTED: u64 = defaults::LISTED_RELEASES as u64;
    /// Of one that is listed: some 4 kB of documents, and a story that takes whole blocks.
    const LISTED_KIB: u64 = 9;
    /// Of every deploy: entries of the journal, of which those of starts and ends stay for 400 days.
    const JOURNAL_KIB: u64 = 2;
    /// Folders of blobs that digests have not hit yet, the store's log, a snapshot of the store by the hour.
    const SLACK_KIB: u64 = 2560;
    /// Of the same folders: most of the 256 each of the server's and the host's blobs are there by the hundredth deploy.
    const SLACK_INODES: u64 = 300;

    #[test]
    fn five_hundred_deploys_leave_the_disk_flat_and_the_fifth_release_before_works() {
        let disk = Disk::ext4(256);
        let (installation, folder) = with_plain_on(&disk);
        let mut deploys =
            Deploys { installation: &installation, folder: &folder, disk: &disk, text: "one".to_owned() };
        let _ = deploys.up_to((2, 100, 50));
        let first = deploys.settled();
        let mut busy = deploys.up_to((101, 500, 50));
        let last = deploys.settled();

        let listed = LISTED - 100;
        let most_kib = first.used_kib + listed * LISTED_KIB + 400 * JOURNAL_KIB + SLACK_KIB;
        assert!(last.used_kib < most_kib, "{} and no more than {most_kib}", last.used_kib);
        assert!(last.inodes < first.inodes + listed + SLACK_INODES, "{} after {}", last.inodes, first.inodes);
        assert!(last.processes <= first.processes + 2, "{} after {}", last.processes, first.processes);
        for (role, first) in &first.own {
            let last = last.own[role];
            assert!(last.number <= first.number + 1, "{role}: {last:?} after {first:?}");
            assert!(last.descriptors <= first.descriptors + 10, "{role}: {last:?} after {first:?}");
            // 100 more rollouts are in memory; the rest is what an allocator keeps.
            assert!(last.resident_kib < first.resident_kib + (16 << 10), "{role}: {last:?} after {first:?}");
        }
        // A sweep takes some for a moment, and that too must not grow with what went before.
        let early = busy.drain(..2).map(|look| look.own["up"].resident_kib).max().unwrap_or_default();
        let late = busy.iter().map(|look| look.own["up"].resident_kib).max().unwrap_or_default();
        assert!(
            late < early.max(128 << 10) + (64 << 10),
            "{late} kB while deploys ran, and {early} at first"
        );
        let stories = installation.data().root().join("rollouts/plain.production");
        let stories = fs::read_dir(stories).expect("it has stories").count();
        assert!(stories <= defaults::LISTED_ROLLOUTS + 1, "{stories} stories");
        go_back(&installation, 500);
        installation.finish();
        disk.finish();
    }
}
