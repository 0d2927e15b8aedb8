//! Every default in one place, each with its reason where the number is not plain.

use crate::Span;

/// Path probed when `health` is not set; any status below 500 is healthy.
pub const HEALTH_PATH: &str = "/";
/// Time between two probes of an instance that is not ready yet.
pub const READINESS_INTERVAL: Span = Span::millis(100);
/// Good answers in a row that make an instance ready.
pub const READINESS_SUCCESSES: u32 = 2;
/// Time an instance has from its start to being ready.
pub const READINESS_BUDGET: Span = Span::seconds(60);
/// Time between two probes of a ready instance.
pub const PROBE_INTERVAL: Span = Span::seconds(1);
/// A probe that takes longer has failed.
pub const PROBE_TIMEOUT: Span = Span::seconds(2);
/// Failures in a row that take an instance out of the pool.
pub const PROBE_FAILURES_OUT: u32 = 3;
/// Good answers in a row that bring it back.
pub const PROBE_SUCCESSES_BACK: u32 = 2;
/// Time budget of the release phase.
pub const RELEASE_TIMEOUT: Span = Span::minutes(15);
/// Time budget of a smoke check: one start of the interpreter and the app.
pub const SMOKE_TIMEOUT: Span = Span::seconds(60);
/// Time budget of a build.
pub const BUILD_TIMEOUT: Span = Span::minutes(30);
/// Time that requests in flight get to finish on an un-routed instance.
pub const DRAIN_TIMEOUT: Span = Span::seconds(30);
/// Time a request waits while no instance of its app can be reached: a small app is started again in less, and a browser's
/// user has not left by then.
pub const HOLD: Span = Span::seconds(5);
/// Time that a client may send nothing of a body or take nothing of its answer.
pub const CLIENT_TIMEOUT: Span = Span::seconds(60);
/// Time that an instance may take to begin its answer.
pub const ANSWER_TIMEOUT: Span = Span::seconds(60);
/// Requests of an environment that wait so at one balancer; further ones are told at once.
pub const MOST_HELD: usize = 1_000;
/// Bytes that these may take together: heads, what was read behind them, and by HTTP/2 what may come of a body meanwhile.
pub const MOST_HELD_BYTES: usize = 8 * 1024 * 1024;
/// Time after which an environment that nobody could reach is down rather than about to be back: nobody waits for it any more.
pub const HOLD_GIVEN_UP: Span = Span::seconds(60);
/// Time a web instance gets between the stop signal and the end.
pub const WEB_STOP_TIMEOUT: Span = Span::seconds(30);
/// Time a worker gets between the stop signal and the end.
pub const WORKER_STOP_TIMEOUT: Span = Span::seconds(120);
/// Time a previous release stays warm.
pub const WARM_FOR: Span = Span::minutes(30);
/// Releases kept so that they still roll back.
pub const KEEP_RELEASES: usize = 5;
/// Releases of an environment that stay listed, besides those that anything needs: some months of a busy team. Older ones,
/// and builds that no release names any more, are forgotten; the journal tells of them still.
pub const LISTED_RELEASES: usize = 200;
/// Rollouts of an environment that are kept with their stories: some weeks of a busy team.
pub const LISTED_ROLLOUTS: usize = 200;
/// Time for which one-off commands that ended stay listed.
pub const SESSIONS_KEPT: Span = Span::minutes(7 * 24 * 60);
/// One-off commands of an environment that stay listed: the latest.
pub const LISTED_SESSIONS: usize = 200;
/// Time in which a one-off command begins. One whose host is silent for so long does not begin any more: whoever wanted it
/// has long done something else.
pub const SESSION_BEGINS_WITHIN: Span = Span::minutes(5);
/// Most one-off commands of an environment that run at a time: each may use what a web process may.
pub const MOST_SESSIONS: usize = 20;
/// Length of a lease.
pub const LEASE: Span = Span::seconds(30);
/// Memory limit of an instance when none is declared.
pub const MEMORY_BYTES: u64 = 512 * 1024 * 1024;
/// Most instances of one process type: more on the machines that Tandem is for is a slip of the finger.
pub const MOST_INSTANCES: u32 = 100;
/// Limit of processes and threads of an instance.
pub const PIDS: u32 = 512;
/// First wait before a crashed instance is started again; doubles up to [`RESTART_MOST`].
pub const RESTART_FIRST: Span = Span::millis(500);
/// Longest wait between two starts of a crashing instance. It never stops trying.
pub const RESTART_MOST: Span = Span::seconds(60);
/// An instance that ran this long starts its back-off anew.
pub const RESTART_FORGIVEN: Span = Span::minutes(5);
/// Size of one log chunk of an instance.
pub const LOG_CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// Chunks kept per instance, the one being written included.
pub const LOG_CHUNKS: usize = 4;
/// Bytes of logs kept over all instances of a host.
pub const LOG_TOTAL_BYTES: u64 = 1024 * 1024 * 1024;
/// Longest line kept; the rest of a longer one is cut and counted.
pub const LOG_LINE_BYTES: usize = 16 * 1024;
/// First port given to instances; below the kernel's range of ephemeral ports, which starts at 32768.
pub const FIRST_PORT: u16 = 20_000;
/// Last port given to instances.
pub const LAST_PORT: u16 = 29_999;
/// First user id given to an app's environment: outside of login, systemd (61184–65519) and subuid (100000–) ranges.
pub const FIRST_UID: u32 = 70_000;
/// Last user id given; an id is never used again.
pub const LAST_UID: u32 = 99_999;
/// First user id of builds: above what containers (up to 0x6fff_ffff) and directories (up to 2,000,200,000) get.
pub const FIRST_BUILD_UID: u32 = 0x7800_0000;
/// Last user id of builds: from 0x7ffe_0000 on they belong to systemd.
pub const LAST_BUILD_UID: u32 = 0x7ffd_ffff;
/// A balancer that has not reported for this long is not live; it reports every 5 s.
pub const BALANCER_LIVE: Span = Span::seconds(15);
/// A runner that has not reported for this long is not live; it reports every 10 s.
pub const HOST_LIVE: Span = Span::seconds(30);
/// A balancer that has not acknowledged an epoch after this time shows as unconfirmed.
pub const CONFIRM_WITHIN: Span = Span::seconds(10);
/// Time hosts have to check a build out.
pub const STAGE_TIMEOUT: Span = Span::minutes(10);
/// Static files of a release stay served this long after it lost the traffic: pages that are open ask for them.
pub const STATIC_KEPT: Span = Span::minutes(24 * 60);
/// Bytes of a file system that builds must leave free: a deploy is refused below it, builds end below a half, logs are
/// dropped below a quarter, and the rest is for the store.
pub const DISK_RESERVE_BYTES: u64 = 1024 * 1024 * 1024;
/// On small file systems the reserve is this part of the whole.
pub const DISK_RESERVE_PART: u64 = 20;
/// Inodes that builds must leave free: some environments' worth of libraries.
pub const DISK_RESERVE_INODES: u64 = 50_000;
