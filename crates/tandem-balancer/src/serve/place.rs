//! For which app a client's connection counts, where an app limits those.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::table::{Account, Counted, Permit};

/// A connection's place among those of the app that it asked last.
#[derive(Debug)]
pub(super) enum Place {
    /// Its own.
    Own(Option<Permit>),
    /// That of the connection of which it is one of many streams.
    Common(Rc<RefCell<Option<Permit>>>),
}

impl Place {
    /// Whether the connection is one of so many of an app, or becomes one; then it is none of another any more. None: it may have any
    /// number, and counts none.
    pub(super) fn belongs_to(&mut self, account: &Arc<Account>, most: Option<u32>) -> bool {
        match self {
            Self::Own(place) => take(place, account, most),
            Self::Common(place) => take(&mut place.borrow_mut(), account, most),
        }
    }

    /// For one of the streams of a connection that had this place so far.
    pub(super) fn into_common(self) -> Rc<RefCell<Option<Permit>>> {
        match self {
            Self::Own(place) => Rc::new(RefCell::new(place)),
            Self::Common(place) => place,
        }
    }
}

fn take(place: &mut Option<Permit>, account: &Arc<Account>, most: Option<u32>) -> bool {
    let Some(most) = most else {
        *place = None;
        return true;
    };
    if place.as_ref().is_some_and(|place| place.is_of(account)) {
        return true;
    }
    let taken = account.enter(Counted::Connections, most);
    let is_taken = taken.is_some();
    if is_taken {
        *place = taken;
    }
    is_taken
}
