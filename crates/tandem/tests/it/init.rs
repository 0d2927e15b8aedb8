//! `tandem init`: what is written for a folder deploys, and what is there is left alone.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;

use crate::TANDEM;
use crate::screen::PLAIN;

#[test]
fn a_folder_gets_an_app_file_that_deploys() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::fixture("plain");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let there = installation.tandem(["init", &path]).expect_code(1).stderr;
    assert!(there.contains("tandem.toml is there already") && there.contains("--force"), "{there}");
    folder.write("Procfile", "web: python3 server.py\n");
    let written = installation.tandem(["init", &path, "--force", "--app", "plain"]).expect_success();
    assert!(written.stderr.contains("web: python3 server.py"), "{written}");
    assert!(written.stdout.contains(&format!("next: tandem deploy {path}")), "{written}");
    installation.deploy(folder.path());
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    let empty = AppFolder::empty("nothing");
    empty.write("notes.txt", "no app here\n");
    let none =
        installation.tandem(["init", empty.path().to_str().expect("a plain path")]).expect_code(1).stderr;
    assert!(none.contains("is no app yet") && none.contains("Procfile"), "{none}");
    installation.finish();
}
