//! Which clients get which release, where several serve at once.
//!
//! A client has a place among a thousand, which it keeps. Shares take these places from the front, in their order; what is
//! left gets the pool's own release. So a share that grows takes clients from the rest and gives none away, and one that
//! shrinks gives those back whom it took last.

use tandem_types::canary::{Canary, Share};
use tandem_types::routing::Table;
use tandem_types::{AppName, EnvironmentName, Epoch};

use crate::table::belongs;

/// Places that clients have.
pub const PLACES: u16 = 1000;

/// The share that has a place; none: the pool's own release.
#[must_use]
pub fn share_of(shares: &[Share], place: u16) -> Option<usize> {
    let mut end = 0_u32;
    shares.iter().position(|share| {
        end += u32::from(share.per_mille);
        u32::from(place) < end
    })
}

/// The table of the next epoch in which an environment's clients are shared as said, or not at all.
#[must_use]
pub fn shared(
    table: &Table,
    (app, environment): (&AppName, &EnvironmentName),
    canary: Option<&Canary>,
    epoch: Epoch,
) -> Table {
    let mut table = Table { epoch, ..table.clone() };
    let own = table.routes.iter_mut().filter(|route| belongs(route, app, environment));
    own.for_each(|route| route.pool.canary = canary.cloned());
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tandem_types::canary::ShareKey;
    use tandem_types::routing::{Member, Pool, Route};
    use tandem_types::{Digest, Health, InstanceId, Limits, ReleaseNumber};

    use super::*;
    use crate::table::{leads_alike, replace};

    fn share(release: u64, per_mille: u16) -> Share {
        let member = Member { host: "box".parse().unwrap(), instance: InstanceId(release) };
        Share { release: ReleaseNumber(release), members: vec![member], per_mille }
    }

    fn count(shares: &[Share], which: Option<usize>) -> usize {
        (0..PLACES).filter(|place| share_of(shares, *place) == which).count()
    }

    #[test]
    fn shares_have_as_many_places_as_they_say_and_the_pool_the_rest() {
        let shares = [share(2, 100), share(3, 0), share(4, 250)];
        let counts = [Some(0), Some(1), Some(2), None].map(|which| count(&shares, which));
        assert_eq!(counts, [100, 0, 250, 650]);
        assert_eq!((count(&[], None), count(&[share(2, 1000)], Some(0))), (1000, 1000));
    }

    #[test]
    fn an_environment_is_shared_until_another_release_takes_all_of_it() {
        let route = Route {
            domain: "shop.example".to_owned(),
            prefix: "/".to_owned(),
            pool: Pool {
                app: "shop".parse().unwrap(),
                environment: "production".parse().unwrap(),
                release: ReleaseNumber(1),
                members: Vec::new(),
                health: Health::default(),
                limits: Limits::default(),
                paused: None,
                canary: None,
            },
            static_folders: Vec::new(),
            https: None,
        };
        let (shop, production) = ("shop".parse().unwrap(), "production".parse().unwrap());
        let before = Table { epoch: Epoch(1), routes: vec![route.clone()] };
        let canary = Canary { key: ShareKey(Digest([7; 32])), shares: vec![share(2, 100)] };
        let table = shared(&before, (&shop, &production), Some(&canary), Epoch(2));
        assert_eq!(table.routes[0].pool.canary, Some(canary));
        assert_eq!(table.routes[0].pool.all_members().count(), 1);
        assert!(!leads_alike(&table, &shop, &production, std::slice::from_ref(&route)));
        assert_eq!(shared(&table, (&shop, &production), None, Epoch(1)), before);
        let after = replace(&table, (&shop, &production), vec![route], Epoch(3));
        assert_eq!(after.routes[0].pool.canary, None);
    }

    proptest! {
        #[test]
        fn a_share_that_grows_keeps_its_clients(place in 0..PLACES, small in 0_u16..1000, more in 0_u16..1000) {
            let (before, after) = ([share(2, small)], [share(2, small.saturating_add(more))]);
            prop_assert!(share_of(&before, place).is_none() || share_of(&after, place).is_some());
        }
    }
}
