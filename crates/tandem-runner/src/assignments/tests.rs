//! Listings, fences and refusals.

use tandem_types::Fence;
use tandem_types::assignment::Assignment;
use tandem_types::document::Change;

use super::{Assignments, Fences};
use crate::testing::{assignment, delete, document, live, live_in, put, web};

fn with_fence(fence: u64) -> Assignment {
    Assignment { fence: Fence(fence), host_header: format!("fence-{fence}.localhost"), ..assignment() }
}

fn hosts(assignments: &Assignments) -> Vec<&str> {
    assignments.obeyed().map(|assignment| assignment.host_header.as_str()).collect()
}

fn listed(documents: &[Assignment]) -> Assignments {
    let mut assignments = Assignments::new(Fences::default());
    assignments.apply(Change::Reset);
    for document in documents {
        assert!(!assignments.apply(put(document)), "a listing counted before its end");
    }
    assert!(assignments.apply(live()));
    assignments
}

#[test]
fn a_listing_counts_only_when_it_is_whole() {
    let mut assignments = Assignments::new(Fences::default());
    assert!(!assignments.apply(Change::Reset));
    assert!(!assignments.apply(put(&with_fence(1))));
    assert!(!assignments.is_complete());
    assert_eq!(hosts(&assignments), Vec::<&str>::new());
    assert!(assignments.apply(live()));
    assert!(assignments.is_complete());
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);
}

#[test]
fn a_cut_listing_stops_nothing() {
    let mut assignments = listed(&[with_fence(1)]);
    assert!(!assignments.apply(Change::Reset));
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);
    assert!(!assignments.apply(Change::Reset), "the connection was cut and the listing began again");
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);
}

#[test]
fn an_empty_listing_means_that_nothing_should_be() {
    let mut assignments = listed(&[with_fence(1)]);
    assignments.apply(Change::Reset);
    assert!(assignments.apply(live()));
    assert_eq!(hosts(&assignments), Vec::<&str>::new());
    assert!(assignments.is_complete());
}

#[test]
fn news_is_obeyed_at_once_and_signs_of_life_change_nothing() {
    let mut assignments = listed(&[]);
    assert!(assignments.apply(put(&with_fence(1))));
    assert!(!assignments.apply(live()));
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);
    assert!(assignments.apply(delete(&assignment())));
    assert!(!assignments.apply(delete(&assignment())));
    assert_eq!(hosts(&assignments), Vec::<&str>::new());
}

#[test]
fn a_document_with_a_smaller_fence_is_ignored() {
    let mut assignments = listed(&[with_fence(5)]);
    assert!(!assignments.apply(put(&with_fence(4))));
    assert_eq!(hosts(&assignments), ["fence-5.localhost"]);
    assert!(assignments.apply(put(&with_fence(5))), "the same holder writes more than once");
    assert_eq!(assignments.highest_fence(), Fence(5));
}

#[test]
fn fences_are_compared_per_document() {
    let other = Assignment { app: "wiki".parse().expect("it is a name"), ..with_fence(2) };
    let assignments = listed(&[with_fence(9), other]);
    assert_eq!(hosts(&assignments), ["fence-9.localhost", "fence-2.localhost"]);
    assert_eq!(assignments.highest_fence(), Fence(9));
}

#[test]
fn a_fence_of_an_earlier_process_still_refuses_and_what_runs_is_untouchable() {
    let mut assignments = Assignments::new(listed(&[with_fence(5)]).fences().clone());
    assignments.apply(Change::Reset);
    assignments.apply(put(&with_fence(4)));
    assignments.apply(live());
    assert_eq!(hosts(&assignments), Vec::<&str>::new());
    assert_eq!(assignments.refused().collect::<Vec<_>>(), ["guestbook.production"]);
    assert!(assignments.apply(put(&with_fence(6))));
    assert_eq!(assignments.refused().count(), 0);
}

#[test]
fn a_restored_store_counts_its_fences_anew() {
    let mut assignments = listed(&[with_fence(5)]);
    assignments.apply(Change::Reset);
    assignments.apply(put(&with_fence(1)));
    assignments.apply(live_in("restored"));
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);
    assert_eq!(assignments.fences().incarnation.as_deref(), Some("restored"));
}

#[test]
fn a_document_of_a_newer_format_changes_nothing() {
    let mut assignments = listed(&[with_fence(1)]);
    let mut newer = document(&with_fence(2));
    newer.kind = "assignment/99".to_owned();
    assert!(!assignments.apply(Change::Put { document: newer.clone() }));
    assert_eq!(hosts(&assignments), ["fence-1.localhost"]);

    let mut fresh = listed(&[]);
    assert!(fresh.apply(Change::Put { document: newer }));
    assert_eq!(fresh.refused().collect::<Vec<_>>(), ["guestbook.production"]);
}

#[test]
fn a_damaged_document_is_refused() {
    let mut damaged = document(&Assignment { instances: vec![web(1, "true")], ..with_fence(1) });
    damaged.body["instances"][0]["id"] = "not an id".into();
    let mut assignments = listed(&[]);
    assignments.apply(Change::Put { document: damaged });
    assert_eq!(hosts(&assignments), Vec::<&str>::new());
    assert_eq!(assignments.refused().count(), 1);
}
