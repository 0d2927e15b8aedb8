//! Logs: of every process, by release, past and as they come.

use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, say, with_plain};

#[test]
fn lines_are_found_by_process_and_by_release() {
    let (installation, folder) = with_plain();
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let logs = |arguments: &[&str]| {
        let arguments = ["logs"].iter().chain(arguments);
        installation.tandem(arguments).expect_success().stdout
    };
    eventually("the first lines of all processes", || {
        let all = logs(&[]);
        let texts = ["listening, text one", "listening, text two", "worker of r2 started"];
        texts.iter().all(|text| all.contains(text)).then_some(())
    });
    let second = logs(&["--release", "r2", "--process", "web"]);
    assert!(second.contains("listening, text two") && !second.contains("text one"), "{second}");
    let gone = logs(&["--release", "r1", "--process", "worker"]);
    assert!(gone.contains("worker stopped"), "logs of a stopped instance stay: {gone}");
    installation.finish();
}

#[test]
fn new_lines_come_as_they_are_written() {
    let (installation, _folder) = with_plain();
    let file = installation.data().root().join("../followed");
    let following = installation.program(["logs", "-f", "--process", "web"]).output(&file).start();
    let site = installation.site(PLAIN);
    eventually("a request in the followed logs", || {
        let _ = site.get("/headers");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("request /headers").then_some(())
    });
    drop(following);
    installation.finish();
}
