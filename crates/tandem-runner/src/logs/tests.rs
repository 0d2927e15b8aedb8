//! Queries and what fits them.

use tandem_types::{InstanceId, JobId, ReleaseNumber};

use super::query::{Query, Selection};
use super::source::Source;

fn source(instance: Option<u64>, process: &str, release: u64) -> Source {
    Source {
        instance: instance.map(InstanceId),
        job: if instance.is_none() { Some(JobId(9)) } else { None },
        release: ReleaseNumber(release),
        process: process.parse().expect("it is a name"),
        index: 1,
    }
}

#[test]
fn a_query_selects_by_what_it_names() {
    let (web, worker, job) =
        (source(Some(1), "web", 1), source(Some(2), "worker", 2), source(None, "release", 2));
    for (parameters, expected) in [
        ("", [true, true, false]),
        ("&process=web", [true, false, false]),
        ("&process=release", [false, false, true]),
        ("&instance=i2", [false, true, false]),
        ("&release=r2", [false, true, false]),
        ("&release=2&process=release", [false, false, true]),
        ("&process=&instance=", [true, true, false]),
    ] {
        let query = Query::of_place(&format!("app=guestbook&env=production{parameters}"));
        let selection = query.expect("it is well formed").selection;
        assert_eq!([&web, &worker, &job].map(|source| selection.wants(source)), expected, "{parameters}");
    }
}

#[test]
fn a_query_that_cannot_be_read_is_refused_with_its_reason() {
    for (query, reason) in [
        ("env=production", "app is missing"),
        ("app=guestbook", "env is missing"),
        ("app=guestbook&env=production&lines=many", "lines: invalid digit found in string"),
        ("app=guestbook&env=production&since=1h", "there is no parameter \"since\""),
    ] {
        let problem = Query::of_place(query).expect_err(query);
        assert_eq!((problem.status, problem.title.as_str()), (400, reason));
    }
}

#[test]
fn a_job_is_asked_for_by_its_number_alone() {
    let query = Query::of_job(JobId(9), "follow=true&lines=5").expect("it is well formed");
    assert_eq!(query, Query { selection: Selection::Job(JobId(9)), lines: 5, follow: true });
    assert!(query.selection.wants(&source(None, "smoke", 1)));
    assert!(!query.selection.wants(&source(Some(9), "web", 1)));
}
