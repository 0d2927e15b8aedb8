//! What people write into a `tandem.toml`, right and wrong.

use super::{Bytes, Error, parse};

fn complaint(text: &str) -> (usize, usize, String, String) {
    match parse(text).expect_err("the file is wrong") {
        Error::Malformed { line, column, message, hint, .. } => (line, column, message, hint),
        other => panic!("{other}"),
    }
}

#[test]
fn everything_is_optional() {
    assert_eq!(parse("").expect("empty file"), super::AppFile::default());
}

#[test]
fn a_full_file_is_understood() {
    let file = parse(
        r#"
app = "guestbook"
domains = ["guestbook.localhost"]

[processes.web]
command = "gunicorn guestbook.wsgi --bind 127.0.0.1:$PORT"
health = "/healthz"
instances = 2
memory = "512MiB"

[processes.worker]
command = "celery -A guestbook worker"
stop_timeout = "120s"

[release]
command = "python manage.py migrate --noinput"
timeout = "15m"

[static]
"/static/" = "staticfiles"

[volumes]
data = "/data"

[source]
include = ["dist/"]
"#,
    )
    .expect("the file of the design");
    let web = &file.processes[&"web".parse().expect("a process type")];
    assert_eq!(web.memory, Some(Bytes(512 << 20)));
    assert_eq!(web.instances, Some(2));
    assert_eq!(file.source.include, ["dist/"]);
}

#[test]
fn malformed_toml_is_told_with_line_and_column() {
    let (line, column, message, _) = complaint("app = \"shop\"\ndomains = [\"a.example\"\n\n[release]\n");
    assert!(line >= 2 && column >= 1, "{line}:{column} {message}");
    assert!(!message.contains('\n'), "{message:?}");
}

#[test]
fn an_unknown_key_names_the_one_that_was_meant() {
    let (line, column, message, hint) = complaint("app = \"shop\"\n\n[processes.web]\nhelth = \"/up\"\n");
    assert_eq!((line, column), (4, 1));
    assert_eq!(message, "unknown key `helth`");
    assert_eq!(hint, "did you mean `health`?");
}

#[test]
fn an_unknown_key_that_resembles_nothing_lists_the_known_ones() {
    let (_, _, _, hint) = complaint("[release]\nxyzzy = 1\n");
    assert_eq!(hint, "known here: command, timeout");
}

#[test]
fn cron_is_refused_with_the_way_to_do_it() {
    let (line, _, message, hint) = complaint("[cron.clear]\nschedule = \"0 3 * * *\"\n");
    assert_eq!((line, message.as_str()), (1, "[cron] is not available in this version"));
    assert!(hint.contains("processes.clock"), "{hint}");
}

#[test]
fn wrong_values_point_at_themselves() {
    for (text, place, part) in [
        ("app = \"My Shop\"\n", (1, 7), "app name"),
        ("domains = [\"https://a.example\"]\n", (1, 12), "is not a host name"),
        ("[processes.web]\nmemory = \"512\"\n", (2, 10), "is not a size"),
        ("[processes.web]\nhealth = \"up\"\n", (2, 10), "is not a path"),
        ("[processes.web]\nstop_timeout = \"30\"\n", (2, 16), "is not a length of time"),
        ("[static]\n\"static\" = \"staticfiles\"\n", (2, 1), "slash"),
        ("[static]\n\"/static/\" = \"../out\"\n", (2, 14), "plain path"),
        ("[volumes]\ndata = \"data\"\n", (2, 8), "not an absolute path"),
        ("[volumes]\ndata = \"/usr/data\"\n", (2, 8), "Tandem mounts its own"),
        ("[processes.clock]\ninstances = 2\n", (1, 2), "singleton"),
    ] {
        let (line, column, message, _) = complaint(text);
        assert!(message.contains(part), "{text:?}: {message}");
        assert_eq!((line, column), place, "{text:?}: {message}");
    }
}

#[test]
fn people_see_the_line_with_a_mark_under_the_place() {
    let problem =
        parse("app = \"shop\"\n[processes.web]\nhelth = \"/up\"\n").expect_err("a typo").to_problem();
    assert_eq!(problem.detail, "  |\n3 | helth = \"/up\"\n  | ^");
    assert_eq!(problem.title, "tandem.toml, line 3, column 1: unknown key `helth`");
}
