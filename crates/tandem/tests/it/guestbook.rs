//! The guestbook from source to browser: Django, static files, forms, a worker, SQLite on a volume.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::instances;

const HOST: &str = "guestbook.localhost";

/// Where the style sheet is, as the page says.
fn style_sheet(page: &str) -> String {
    let rest = page.split_once("rel=\"stylesheet\" href=\"").expect("the page has a style sheet").1;
    rest.split_once('"').expect("the attribute ends").0.to_owned()
}

#[test]
fn the_guestbook_is_deployed_signed_changed_and_rolled_back() {
    let installation = Installation::start(TANDEM);
    let folder = AppFolder::guestbook();
    let result = installation.deploy(folder.path());
    assert_eq!(result["verdict"], "pass");
    let site = installation.site(HOST);
    let page = site.text("/");
    assert!(page.contains("Say hello, leave a line."), "{page}");

    let token = site.form_token();
    assert_eq!(site.sign(&token, "Ada", "First+in+the+book").status, 302);
    assert!(site.text("/").contains("First in the book"));

    folder.greet("A new greeting");
    folder.write("static/guestbook/style.css", "body { color: teal }\n");
    installation.deploy(folder.path());
    let changed = site.text("/");
    assert!(changed.contains("A new greeting") && changed.contains("First in the book"), "{changed}");

    let _ = installation.tandem(["rollback", "--json"]).expect_success();
    let back = site.text("/");
    assert!(back.contains("Say hello, leave a line.") && back.contains("First in the book"), "{back}");
    let (old, new) = (style_sheet(&page), style_sheet(&changed));
    assert_ne!(old, new, "static files bear a hash of their content");
    assert!(site.text(&new).contains("teal"), "pages of the release that was left still get their files");
    assert_eq!(site.get(&old).header("content-type").split(';').next(), Some("text/css"));
    installation.finish();
}

#[test]
fn the_worker_sends_what_the_web_instances_queue() {
    let installation = Installation::start(TANDEM);
    installation.deploy(AppFolder::guestbook().path());
    let site = installation.site(HOST);
    let token = site.form_token();
    assert_eq!(site.sign(&token, "Grace", "A+moth").status, 302);
    eventually("the worker sends a mail", || {
        let logs = installation.tandem(["logs", "--process", "worker"]).expect_success().stdout;
        logs.contains("Subject: Grace signed your guestbook").then_some(())
    });
    installation.finish();
}

#[test]
fn errors_of_the_app_are_the_apps_and_show_in_its_logs() {
    let installation = Installation::start(TANDEM);
    installation.deploy(AppFolder::guestbook().path());
    let site = installation.site(HOST);
    let answer = site.get("/boom");
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("It is not your fault"), "the app's own page, not the balancer's");
    eventually("the traceback in the logs", || {
        let logs = installation.tandem(["logs", "--process", "web"]).expect_success().stdout;
        logs.contains("RuntimeError: boom").then_some(())
    });
    assert_eq!(instances(&installation, "guestbook", "serving").len(), 2, "an error is no reason to stop");
    installation.finish();
}
