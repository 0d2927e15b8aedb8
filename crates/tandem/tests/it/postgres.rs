//! The guestbook on a real PostgreSQL: config, release phase, two releases on one database, data that outlives both.

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::load::{Load, Mix, Target};
use tandem_testkit::postgres::{PASSWORD, Postgres};
use tandem_testkit::wait::eventually;

use crate::TANDEM;

const HOST: &str = "guestbook.localhost";

#[test]
fn the_guestbook_keeps_its_entries_in_postgresql_over_deploys_and_rollbacks() {
    let database = Postgres::start();
    database.create("guestbook");
    let installation = Installation::start(TANDEM);
    let _ = installation.tandem(["app", "create", "guestbook"]).expect_success();
    let url = format!("DATABASE_URL={}", database.url("guestbook"));
    let _ = installation.tandem(["config", "set", &url, "--app", "guestbook"]).expect_success();
    let folder = AppFolder::guestbook();
    installation.deploy(folder.path());
    let site = installation.site(HOST);
    let token = site.form_token();
    assert_eq!(site.sign(&token, "Ada", "First+in+the+book").status, 302);
    assert_eq!(database.ask("guestbook", "select name, message from entries_entry"), "Ada|First in the book");

    let target = Target { address: installation.ready().http, host: HOST.to_owned() };
    let load = Load::start(target, Mix::default());
    eventually("requests are answered", || (load.ended() >= 20).then_some(()));
    folder.greet("On PostgreSQL");
    installation.deploy(folder.path());
    assert!(site.text("/").contains("On PostgreSQL"));
    let _ = installation.tandem(["rollback"]).expect_success();
    assert!(site.text("/").contains("Say hello, leave a line."));
    load.stop().expect_no_failures();

    assert_eq!(
        database.ask("guestbook", "select message from entries_entry where name = 'Ada'"),
        "First in the book"
    );
    let written: u32 =
        database.ask("guestbook", "select count(*) from entries_entry").parse().expect("a number");
    assert!(written > 1, "the load has written to the database too");
    let log = installation.log();
    assert!(!log.contains(PASSWORD), "the log shows the password");
    eventually("the worker sends every mail", || {
        let waiting =
            database.ask("guestbook", "select count(*) from entries_notification where sent is null");
        (waiting == "0").then_some(())
    });
    installation.finish();
    database.stop();
}
