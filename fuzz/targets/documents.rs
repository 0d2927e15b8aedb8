//! Documents of every kind, bodies of the API and what lies on the disk as JSON: what is read is written so that it is
//! read as the same. A document that changes by being read and written would be written again and again, and an
//! instance whose intent differs from its record would be started anew.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tandem_types::{
    api, app, assignment, build, destroy, document, environment, event, instance, problem, release,
};
use tandem_types::{rollout, routing, shim, token, tree};

/// Reads the bytes as the type that the number names.
macro_rules! read_as {
    ($number:expr, $json:expr, $($kind:ty),+ $(,)?) => {{
        let readers: &[fn(&[u8])] = &[$(round_trip::<$kind>),+];
        readers[usize::from($number) % readers.len()]($json);
    }};
}

fuzz_target!(|data: &[u8]| {
    let Some((&number, json)) = data.split_first() else { return };
    // The order is part of the corpus: add at the end.
    read_as!(
        number,
        json,
        rollout::Rollout,
        app::App,
        environment::Environment,
        build::Build,
        release::Release,
        assignment::Assignment,
        routing::RoutingDocument,
        routing::BalancerStatus,
        instance::HostObservation,
        token::Token,
        api::Installation,
        api::StartRollout,
        api::ConfigChange,
        api::CreateApp,
        api::CreateToken,
        api::Digests,
        api::Reason,
        api::Status,
        api::RolloutResult,
        api::ReleaseDetail,
        api::ProcessLine,
        api::ConfigListing,
        api::AppSummary,
        api::RolloutStarted,
        api::ConfigChanged,
        api::Ready,
        document::Change,
        document::JournalEntry,
        document::Document,
        document::Lease,
        event::RolloutEvent,
        event::LogLine,
        destroy::Progress,
        problem::Problem,
        shim::Request,
        shim::Answer,
        tree::Tree,
        instance::Address,
        tandem_sandbox::shim::ShimSpec,
        tandem_sandbox::shim::ExitRecord,
    );
});

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_vec(&value).expect("what was JSON can be JSON again");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, value, "{}", String::from_utf8_lossy(&written));
    assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
}
