//! The figures that a balancer shows, as Prometheus' own library reads them, and how they are asked for.

use std::net::{SocketAddr, TcpListener};

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Program;
use tandem_testkit::site::Site;
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::alone::{Place, ends_well, route};
use crate::screen::{PLAIN, with_plain};

/// The version that was there when this was written.
const LIBRARY: &str = "prometheus_client==0.26.0";

/// Reads a page in both forms and prints what each was understood as: names of families with their kinds, and samples.
const READ: &str = r#"
import json, sys
from urllib.request import ProxyHandler, Request, build_opener
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

def read(parse, accept):
    request = Request(sys.argv[1], headers={"Accept": accept})
    with build_opener(ProxyHandler({})).open(request) as answer:
        families = list(parse(answer.read().decode()))
    return {
        "kinds": {family.name: family.type for family in families},
        "samples": [[s.name, s.labels, s.value] for family in families for s in family.samples],
    }

print(json.dumps([
    read(parser.text_string_to_metric_families, "text/plain"),
    read(openmetrics.text_string_to_metric_families, "application/openmetrics-text; version=1.0.0"),
]))
"#;

/// The value of a sample with these labels among others.
fn value(form: &Value, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let is_it = |sample: &&Value| {
        sample[0] == name && labels.iter().all(|(label, value)| sample[1][*label] == *value)
    };
    form["samples"].as_array()?.iter().find(is_it)?[2].as_f64()
}

#[test]
fn prometheus_own_library_reads_both_forms_alike() {
    let mut place = Place::new();
    place.write("read.py", READ);
    let run = |program: &str, arguments: &[&str]| {
        Program::new(program).folder(place.folder.path()).arguments(arguments).run().expect_success()
    };
    run("/usr/bin/python3", &["-m", "venv", "venv"]);
    run("venv/bin/pip", &["install", "--quiet", "--disable-pip-version-check", LIBRARY]);
    let app = place.app_on_a_port("app");
    place.write("routes.toml", &route("shop.example", &[&app]));
    let (balancer, address) = place.balancer_with(&["--metrics", "127.0.0.1:0"]);
    let ready: Value =
        serde_json::from_str(&std::fs::read_to_string(place.path("ready.json")).expect("it is there"))
            .expect("it is JSON");
    let url = format!("http://{}/metrics", ready["metrics"].as_str().expect("it names the address"));
    let site = Site::new(address, "shop.example");
    (0..5).for_each(|_| assert_eq!(site.get("/").status, 200));
    let shop = [("app", "shop-example"), ("status_class", "2xx")];
    let forms = eventually("the figures are there", || {
        let forms = Program::new("venv/bin/python").folder(place.folder.path());
        let forms = forms.arguments(["read.py", &url]).run().expect_success().json();
        (value(&forms[0], "tandem_requests_total", &shop) == Some(5.0)).then_some(forms)
    });
    for form in forms.as_array().expect("two") {
        assert_eq!(value(form, "tandem_requests_total", &shop), Some(5.0), "{form:#}");
        assert_eq!(form["kinds"]["tandem_requests"], "counter", "{form:#}");
        assert_eq!(form["kinds"]["tandem_request_duration_seconds"], "histogram");
        let bucket = |le| {
            let labels = [&shop[..], &[("le", le)]].concat();
            value(form, "tandem_request_duration_seconds_bucket", &labels)
        };
        assert_eq!((bucket("60.0"), bucket("+Inf")), (Some(5.0), Some(5.0)), "{form:#}");
        let ready = [("app", "shop-example"), ("state", "ready")];
        assert_eq!(value(form, "tandem_instances", &ready), Some(1.0), "{form:#}");
    }
    ends_well(balancer);
}

#[test]
fn an_address_for_metrics_that_is_not_to_be_had_is_told_with_what_to_type() {
    let place = Place::new();
    place.write("routes.toml", &route("shop.example", &["http://127.0.0.1:1"]));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("it is bound");
    for (address, code, told, hint) in [
        (&*taken.1, 1, "serve metrics: listen on 127.0.0.1:", "--metrics 127.0.0.1:9180"),
        ("192.0.2.1:9180", 1, "serve metrics: listen on 192.0.2.1:9180", "--metrics 127.0.0.1:9180"),
        ("9180", 2, "expected an IP address and a port", "write 127.0.0.1:9180"),
    ] {
        let program = Program::new(TANDEM).folder(place.folder.path());
        let words = ["balancer", "--routes", "routes.toml", "--http", "127.0.0.1:0", "--metrics", address];
        let refused = program.arguments(words).run().expect_code(code).stderr;
        assert!(refused.contains(told) && refused.contains(hint), "{refused}");
    }
    let (words, data) = (["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"], place.path("data"));
    let program = Program::new(TANDEM).arguments(words).arguments(["--proxy-metrics", &taken.1]);
    let refused = program.arguments(["--data".as_ref(), data.as_os_str()]).run().expect_code(1).stderr;
    assert!(refused.contains(&taken.1) && refused.contains("`--proxy-metrics 127.0.0.1:"), "{refused}");
}

#[test]
fn tandem_up_has_its_balancer_show_figures_and_the_next_one_shows_them_at_the_same_address() {
    let (mut installation, _folder) = with_plain();
    assert_eq!(installation.ready().metrics, None, "nobody asked");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a port is free");
    let words = ["--proxy-metrics".to_owned(), address.to_string()];
    for more in [&[][..], &["--proxy-from", "192.0.2.0/24"]] {
        installation.end(Signal::SIGTERM);
        installation.set_arguments(words.iter().map(String::as_str).chain(more.iter().copied()));
        installation.start_again();
        assert_eq!(installation.ready().metrics, Some(address));
        until_counted(&installation, address);
    }
    installation.end(Signal::SIGTERM);
    installation.set_arguments([""; 0]);
    installation.start_again();
    eventually("nobody listens there", || TcpListener::bind(address).ok());
    installation.finish();
}

fn until_counted(installation: &Installation, address: SocketAddr) {
    assert_eq!(installation.site(PLAIN).get("/").status, 200);
    let site = Site::new(address, "localhost");
    eventually("a request is counted", || {
        let page = site.ask(Question::get("/metrics")).ok()?;
        let counted = "tandem_requests_total{app=\"plain\",environment=\"production\",release=\"r1\",status_class=\"2xx\"} ";
        page.text().contains(counted).then_some(())
    });
}
