//! Two apps on one machine, and what each reaches over the loopback that they share.

use std::net::TcpListener;

use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::site::Site;

use crate::TANDEM;
use crate::needs::{Need, are_met};

const REACH: &str = r#"def reach(_, port):
    import socket

    try:
        socket.create_connection(("127.0.0.1", int(port)), 5).close()
    except OSError as error:
        return 200, type(error).__name__
    return 200, "reached"


PAGES = {
    "/reach": reach,"#;

fn app(name: &str) -> AppFolder {
    let folder = AppFolder::fixture("plain");
    folder.edit("server.py", "PAGES = {", REACH);
    folder.edit("tandem.toml", "app = \"plain\"", &format!("app = \"{name}\""));
    folder
}

fn port(site: &Site) -> String {
    site.text("/environment?PORT").trim().to_owned()
}

#[test]
fn an_app_reaches_services_of_its_machine_but_neither_another_app_nor_the_api() {
    if !are_met(&[Need::Root, Need::Nft]) {
        return;
    }
    let installation = Installation::start(TANDEM);
    let (one, other) = (app("one"), app("other"));
    installation.deploy(one.path());
    installation.deploy(other.path());
    let (one, other) = (installation.site("one.localhost"), installation.site("other.localhost"));
    let database = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let database_port = database.local_addr().expect("it listens").port();
    let reach = |port: &str| one.text(&format!("/reach?{port}")).trim().to_owned();
    assert_eq!(reach(&port(&other)), "ConnectionRefusedError");
    assert_eq!(reach(&installation.ready().api.port().to_string()), "ConnectionRefusedError");
    assert_eq!(reach(&port(&one)), "reached");
    assert_eq!(reach(&installation.ready().http.port().to_string()), "reached");
    assert_eq!(reach(&database_port.to_string()), "reached");
    let problems = installation.tandem(["status", "--json"]).expect_success().json()["problems"].clone();
    assert_eq!(problems, serde_json::json!([]));
    installation.finish();
}
