//! Pausing an environment: its routes stay as they are, and say that its requests are answered with a page.
//!
//! A table of the next epoch is served at once, without being prepared: nothing is in it that balancers do not have. A table
//! that is being prepared just then gets the epoch after that, since epochs only rise.

use tandem_types::pause::Pause;
use tandem_types::routing::{RoutingDocument, Table};
use tandem_types::{AppName, EnvironmentName, Epoch};

use crate::table::{belongs, next_epoch};

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The routing document.
    pub routing: RoutingDocument,
    /// The epoch that was being prepared, and the one it has now: whoever waits for it has to know.
    pub moved: Option<(Epoch, Epoch)>,
}

/// Pauses an environment, or has it go on. None: no table has it.
#[must_use]
pub fn plan(
    routing: &RoutingDocument,
    of: (&AppName, &EnvironmentName),
    pause: Option<&Pause>,
) -> Option<Change> {
    is_routed(routing, of).then(|| {
        let mut changed = routing.clone();
        changed.serving = set(&routing.serving, of, pause, next_epoch(routing));
        changed.last = changed.serving.epoch;
        let mut moved = None;
        if let Some(prepared) = &routing.prepared {
            changed.last = changed.serving.epoch.next();
            moved = Some((prepared.epoch, changed.last));
            changed.prepared = Some(set(prepared, of, pause, changed.last));
        }
        Change { routing: changed, moved }
    })
}

fn is_routed(routing: &RoutingDocument, (app, environment): (&AppName, &EnvironmentName)) -> bool {
    routing.serving.routes.iter().any(|route| belongs(route, app, environment))
}

/// Whether an environment is paused by a table.
#[must_use]
pub fn paused<'t>(table: &'t Table, (app, environment): (&AppName, &EnvironmentName)) -> Option<&'t Pause> {
    table.routes.iter().find(|route| belongs(route, app, environment))?.pool.paused.as_ref()
}

fn set(
    table: &Table,
    (app, environment): (&AppName, &EnvironmentName),
    pause: Option<&Pause>,
    epoch: Epoch,
) -> Table {
    let mut table = Table { epoch, ..table.clone() };
    let own = table.routes.iter_mut().filter(|route| belongs(route, app, environment));
    own.for_each(|route| route.pool.paused = pause.cloned());
    table
}

#[cfg(test)]
mod tests {
    use tandem_types::routing::{Pool, Route};
    use tandem_types::{Health, Limits, Timestamp};

    use super::*;
    use crate::table::{leads_alike, replace};

    fn route(app: &str) -> Route {
        Route {
            domain: format!("{app}.example"),
            prefix: "/".to_owned(),
            pool: Pool {
                app: app.parse().unwrap(),
                environment: "production".parse().unwrap(),
                release: "r1".parse().unwrap(),
                members: Vec::new(),
                health: Health::default(),
                limits: Limits::default(),
                paused: None,
                canary: None,
            },
            static_folders: Vec::new(),
            https: None,
        }
    }

    fn routing(prepared: Option<u64>) -> RoutingDocument {
        let table = |epoch| Table { epoch: Epoch(epoch), routes: vec![route("blog"), route("shop")] };
        RoutingDocument {
            serving: table(4),
            prepared: prepared.map(table),
            last: Epoch(prepared.unwrap_or(4)),
            ..RoutingDocument::default()
        }
    }

    fn pause() -> Pause {
        Pause { since: Timestamp::UNIX_EPOCH, allow: Vec::new() }
    }

    #[test]
    fn only_the_environment_is_paused_and_what_is_prepared_stays_ahead() {
        let (shop, blog) = ("shop".parse().unwrap(), "blog".parse().unwrap());
        let production = "production".parse().unwrap();
        for (before, serving, moved) in [(None, 5, None), (Some(7), 8, Some((Epoch(7), Epoch(9))))] {
            let change = plan(&routing(before), (&shop, &production), Some(&pause())).unwrap();
            assert_eq!((change.routing.serving.epoch, change.moved), (Epoch(serving), moved));
            let tables = std::iter::once(&change.routing.serving).chain(&change.routing.prepared);
            for table in tables {
                assert_eq!(paused(table, (&shop, &production)), Some(&pause()));
                assert_eq!(paused(table, (&blog, &production)), None);
                assert!(table.epoch <= change.routing.last);
            }
            let back = plan(&change.routing, (&shop, &production), None).unwrap();
            assert_eq!(paused(&back.routing.serving, (&shop, &production)), None);
            assert!(back.routing.serving.epoch > change.routing.last);
        }
        assert_eq!(plan(&routing(None), (&"cart".parse().unwrap(), &production), None), None);
    }

    #[test]
    fn a_release_that_takes_over_stays_paused() {
        let (shop, production) = ("shop".parse().unwrap(), "production".parse().unwrap());
        let of = (&shop, &production);
        let paused_now = plan(&routing(None), of, Some(&pause())).unwrap().routing.serving;
        assert!(leads_alike(&paused_now, &shop, &production, &[route("shop")]), "that is no other way");
        let mut next = route("shop");
        next.pool.release = "r2".parse().unwrap();
        let table = replace(&paused_now, of, vec![next], Epoch(6));
        assert_eq!(paused(&table, of), Some(&pause()));
    }
}
