//! Parts that hang and do not die, by SIGSTOP: who asks them is told so, who can do without them does, and once they go on
//! they act by what is then and not by what was.

use nix::sys::signal::Signal;
use tandem_testkit::program::Outcome;
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::apart::Role;
use crate::cut_off::Scene;
use crate::run;

/// What a verb says whose server is stopped: which process, and how to let it go on.
fn expect_told(outcome: &Outcome, pid: nix::unistd::Pid) {
    assert!(outcome.stderr.contains(&format!("`tandem server` (process {pid}) is stopped")), "{outcome}");
    assert!(outcome.stderr.contains(&format!("`kill -CONT {pid}` lets it go on")), "{outcome}");
}

#[test]
fn a_server_that_hangs_is_named_and_missed_by_nobody_else_and_catches_up() {
    let mut scene = Scene::new();
    let pid = scene.apart.signal(Role::Server, Signal::SIGSTOP);
    let path = scene.folder.path().to_str().expect("a plain path").to_owned();
    let verbs = [vec!["status"], vec!["deploy", &path]];
    let programs = verbs.iter().map(|words| scene.apart.installation.program(words));
    let asked: Vec<_> = programs.map(|program| std::thread::spawn(move || program.run())).collect();
    scene.crash_and_wait(0, false);
    scene.crash_and_wait(1, true);
    scene.crash_worker();
    for verb in asked {
        expect_told(&verb.join().expect("it ends").expect_code(1), pid);
    }
    let _ = scene.apart.signal(Role::Server, Signal::SIGCONT);
    scene.catches_up();
}

/// Of a command that waits for its host nothing is left for later once nobody waits for it.
#[test]
fn a_command_whose_runner_hangs_says_so_and_never_begins_once_its_client_has_given_up() {
    let mut scene = Scene::new();
    let _ = scene.apart.signal(Role::Runner, Signal::SIGSTOP);
    let installation = &scene.apart.installation;
    let log = installation.data().root().join("../run.log");
    let words = ["--app", "plain", "run", "--", "touch", "/data/late"];
    let mut client = run::program(installation, &words).output(&log).start();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it says what it waits for", || {
        let words = "j2 waits for its host; `tandem status` says whether one is there (Ctrl-C gives up)";
        said().contains(words).then_some(())
    });
    client.signal(Signal::SIGINT);
    assert_eq!(client.wait(PATIENCE).code(), Some(130), "{}", said());
    let words = "nothing was heard of j2; it was asked to end, and does not begin any more";
    assert!(said().contains(words), "{}", said());
    let _ = scene.apart.signal(Role::Runner, Signal::SIGCONT);
    let installation = &scene.apart.installation;
    let sessions = || installation.tandem(["sessions", "--app", "plain"]).expect_success().stdout;
    eventually("it is over", || sessions().contains("not started").then_some(()));
    let is_not_there = ["--app", "plain", "run", "--", "test", "!", "-e", "/data/late"];
    let _ = run::program(installation, &is_not_there).run().expect_success();
    scene.catches_up();
}

mod long {
    use nix::sys::signal::kill;
    use tandem_testkit::app_folder::AppFolder;
    use tandem_testkit::load::Mix;
    use tandem_testkit::wait::pass;

    use super::*;
    use crate::screen::{PLAIN, ask, ids, instances, release_phases, say, with_plain};

    /// Longer than the lease, the budget of the gate and all after which somebody counts as silent.
    const LONG: std::time::Duration = std::time::Duration::from_secs(100);

    /// The process whose words begin like this, behind the program's path.
    fn process(installation: &tandem_testkit::installation::Installation, verb: &str) -> nix::unistd::Pid {
        let word = format!("tandem {verb} ");
        eventually(&format!("`{word}` is there"), || {
            let processes = installation.traces().processes();
            processes.iter().find(|process| process.words.contains(&word)).map(|process| process.id)
        })
    }

    /// Server and runner are one process here. It is stopped amid the release phase, and amid the start of instances.
    #[test]
    fn a_tandem_that_hangs_amid_a_deploy_brings_it_to_its_end_and_runs_its_release_phase_once() {
        let (installation, folder) = with_plain();
        folder.edit("server.py", "    timeout = 2\n", "    timeout = 2\n    wbufsize = -1\n");
        folder.edit("tandem.toml", "released >> /data/releases\"", "released >> /data/releases; sleep 2\"");
        installation.deploy(folder.path());
        let load = ask(installation.ready().http, Mix::gets());
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let up = process(&installation, "up");
        let phases = || release_phases(&installation);
        for (old, new, ran) in [("one", "two", 3), ("two", "three", 4)] {
            say(&folder, old, new);
            let log = installation.data().root().join("../client.log");
            let mut client = installation.program(["deploy", &path]).output(&log).start();
            eventually("the release phase has begun", || (phases() == ran).then_some(()));
            if ran == 4 {
                eventually("new instances start", || {
                    (!instances(&installation, "plain", "starting").is_empty()).then_some(())
                });
            }
            kill(up, Signal::SIGSTOP).expect("it runs");
            let ended = eventually("the client gives up", || client.ended());
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!ended.success() && said.contains(&format!("`kill -CONT {up}` lets it go on")), "{said}");
            pass(LONG);
            kill(up, Signal::SIGCONT).expect("it is there");
            let site = installation.site(PLAIN);
            eventually("the deploy comes to its end", || {
                (site.text("/") == format!("{new}\n")).then_some(())
            });
            assert_eq!(phases(), ran);
        }
        load.stop().expect_nothing_lost();
        assert_eq!(ids(&installation, "plain", "serving").len(), 2);
        installation.finish();
    }

    #[test]
    fn a_deploy_to_a_runner_that_hangs_fails_with_words_and_all_is_well_once_it_goes_on() {
        let mut scene = Scene::new();
        let _ = scene.apart.signal(Role::Runner, Signal::SIGSTOP);
        say(&scene.folder, "one", "two");
        let path = scene.folder.path().to_str().expect("a plain path").to_owned();
        let failed = scene.apart.installation.tandem(["deploy", &path]).expect_code(1);
        assert!(failed.stderr.contains("does not report"), "{failed}");
        let status = scene.apart.installation.tandem(["status"]).expect_success();
        assert!(status.stdout.contains("the runner of ") && status.stdout.contains("silent"), "{status}");
        let _ = scene.apart.signal(Role::Runner, Signal::SIGCONT);
        say(&scene.folder, "two", "one");
        eventually("the host reports again", || {
            let status = scene.apart.installation.tandem(["status"]).expect_success();
            (!status.stdout.contains("does not report")).then_some(())
        });
        scene.catches_up();
    }

    #[test]
    fn a_balancer_that_hangs_is_replaced_and_serves_what_it_served() {
        let installation = tandem_testkit::installation::Installation::start(crate::TANDEM);
        installation.deploy(AppFolder::fixture("plain").path());
        let before = process(&installation, "balancer");
        kill(before, Signal::SIGSTOP).expect("it runs");
        eventually("another one runs", || {
            let now = process(&installation, "balancer");
            (now != before).then_some(())
        });
        let site = installation.site(PLAIN);
        eventually("it serves at the same address", || {
            site.ask(tandem_testkit::connection::Question::get("/"))
                .ok()
                .filter(|answer| answer.status == 200)
        });
        assert!(installation.log().contains("lives and answers nobody"), "{}", installation.log());
        installation.finish();
    }
}
