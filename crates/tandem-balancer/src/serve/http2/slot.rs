//! The memory in which the requests of a connection are answered.
//!
//! Each request needs some kilobytes for as long as it takes. Those of one that has just ended are still in the processor's caches, so
//! the next one gets them; from an allocator it would get what has been out of use for longest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Memory for a future.
type Slot<F> = Pin<Box<Option<F>>>;

/// Most that is kept: where one request takes hours, the others' memory is not to wait for its end.
const MOST_KEPT: usize = 16;

/// Memory that is out of use, the last that was given back first.
#[derive(Debug)]
pub(super) struct Slots<F>(Vec<Slot<F>>);

impl<F> Default for Slots<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Future<Output = ()>> Slots<F> {
    /// Runs a future in some of it.
    pub(super) fn run(&mut self, future: F) -> Running<F> {
        let mut slot = self.0.pop().unwrap_or_else(|| Box::pin(None));
        slot.set(Some(future));
        Running(Some(slot))
    }

    /// Keeps that of a future that has ended.
    pub(super) fn give_back(&mut self, slot: Slot<F>) {
        if self.0.len() < MOST_KEPT {
            self.0.push(slot);
        }
    }

    /// Keeps none.
    pub(super) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// A future that gives its memory back at its end.
#[derive(Debug)]
pub(super) struct Running<F>(Option<Slot<F>>);

impl<F: Future<Output = ()>> Future for Running<F> {
    type Output = Slot<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot<F>> {
        if let Some(future) = self.0.as_mut().and_then(|slot| slot.as_mut().as_pin_mut()) {
            ready!(future.poll(context));
        }
        let mut slot = self.0.take().expect("a future is not polled after its end");
        slot.set(None);
        Poll::Ready(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_a_future_held_is_gone_at_its_end_and_its_memory_is_used_again() {
        let (mut slots, held) = (Slots::default(), Rc::new(Cell::new(0)));
        let mut context = Context::from_waker(Waker::noop());
        let mut places = Vec::new();
        for round in 1..=3 {
            let held = Rc::clone(&held);
            let mut running = slots.run(async move { held.set(held.get() + 1) });
            let Poll::Ready(slot) = Pin::new(&mut running).poll(&mut context) else {
                panic!("it does not wait")
            };
            places.push(std::ptr::from_ref(&*slot).addr());
            slots.give_back(slot);
            assert_eq!((held_by_all(&slots), round), (0, round));
        }
        assert_eq!((held.get(), Rc::strong_count(&held)), (3, 1));
        assert!(places.iter().all(|place| *place == places[0]));
        (0..100).for_each(|_| slots.give_back(Box::pin(None)));
        assert_eq!(slots.0.len(), MOST_KEPT);
        slots.clear();
        assert!(slots.0.is_empty());
    }

    fn held_by_all<F>(slots: &Slots<F>) -> usize {
        slots.0.iter().filter(|slot| slot.is_some()).count()
    }
}
