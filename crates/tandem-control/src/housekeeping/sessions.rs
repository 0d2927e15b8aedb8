//! Forgets one-off commands a week after their end, and before that where there are very many. The journal keeps telling
//! of them.

use tandem_store::Transaction;
use tandem_types::session::Session;
use tandem_types::{Span, Timestamp, defaults, keys};

use super::Housekeeping;
use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::shared::cause;

/// Dropped in one transaction.
const AT_ONCE: usize = 100;

impl Housekeeping {
    /// Drops those that ended long ago.
    pub(crate) async fn forget_sessions(&self) {
        let now = self.shared.now();
        for (place, old) in self.shared.look(|mirror| old_sessions(mirror, now)) {
            let transaction = Transaction::new(cause("system:housekeeping", "run.forget", "", &place));
            let delete = |transaction: Transaction, session: Versioned<Session>| {
                let key = keys::session(&place.app, &place.environment, session.value.id);
                transaction.delete(key, session.unchanged())
            };
            let transaction = old.into_iter().take(AT_ONCE).fold(transaction, delete);
            if let Err(error) = self.shared.commit(transaction).await {
                tracing::warn!("failed to forget old sessions of {place}, trying again later: {error}");
            }
        }
    }
}

fn old_sessions(mirror: &Mirror, now: Timestamp) -> Vec<(Place, Vec<Versioned<Session>>)> {
    let mut old = Vec::new();
    for environment in mirror.environments() {
        let place = Place { app: environment.app.clone(), environment: environment.name.clone() };
        let prefix = keys::sessions(&place.app, &place.environment);
        let newest_first = mirror.list::<Session>(&prefix).rev().map(|(_, session)| session);
        let over = newest_first.filter(|session| session.value.is_over()).enumerate();
        let beyond: Vec<_> = over
            .filter(|(number, session)| *number >= defaults::LISTED_SESSIONS || is_old(&session.value, now))
            .map(|(_, session)| session)
            .collect();
        if !beyond.is_empty() {
            old.push((place, beyond));
        }
    }
    old
}

fn is_old(session: &Session, now: Timestamp) -> bool {
    let since = session.finished.map(|finished| now.duration_since(finished).as_millis());
    let since = since.and_then(|since| u64::try_from(since).ok()).map(Span::millis);
    since.is_some_and(|since| since.as_millis() >= defaults::SESSIONS_KEPT.as_millis())
}
