//! `Flight<T>`: at most one piece of work in the air, and any number who wait for it.
//!
//! The work is a task of its own that holds the [`Landing`]; whoever waits only
//! subscribes, so leaving cancels nothing. A task that ends without landing,
//! because it panicked or was cancelled, wakes its waiters too.

use tokio::sync::watch;

/// A place among those who wait. Clones wait for the same work.
#[derive(Clone, Debug)]
pub(crate) struct Flight<T>(watch::Receiver<Option<T>>);

/// The task's end of a flight.
#[derive(Debug)]
pub(crate) struct Landing<T>(watch::Sender<Option<T>>);

impl<T: Clone> Flight<T> {
    pub(crate) fn take_off() -> (Self, Landing<T>) {
        let (landing, flight) = watch::channel(None);
        (Self(flight), Landing(landing))
    }

    /// Whether the work is still under way.
    pub(crate) fn is_in_the_air(&self) -> bool {
        self.0.has_changed().is_ok_and(|landed| !landed)
    }

    /// What came of it, or `None` when the task ended without landing.
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing for the work and the other callers.
    pub(crate) async fn landed(mut self) -> Option<T> {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|landed| landed.clone())
    }
}

impl<T> Landing<T> {
    /// Hands the outcome to everyone who waits.
    pub(crate) fn land(self, outcome: T) {
        // Nobody waiting is nothing lost: the outcome was committed before.
        self.0.send_replace(Some(outcome));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn everyone_gets_the_outcome_late_comers_included() {
        let (flight, landing) = Flight::take_off();
        let mut early = std::pin::pin!(flight.clone().landed());
        assert!(early.as_mut().now_or_never().is_none());
        assert!(flight.is_in_the_air());
        landing.land(7);
        assert!(!flight.is_in_the_air());
        assert_eq!(early.await, Some(7));
        assert_eq!(flight.landed().await, Some(7));
    }

    #[tokio::test]
    async fn a_flight_that_is_lost_wakes_its_waiters() {
        let (flight, landing) = Flight::<u8>::take_off();
        let mut waiter = std::pin::pin!(flight.clone().landed());
        assert!(waiter.as_mut().now_or_never().is_none());
        drop(landing);
        assert!(!flight.is_in_the_air());
        assert_eq!(waiter.await, None);
    }
}
