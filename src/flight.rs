//! `Flight<T>`: one unit of work in progress, and any number of callers that wait for it.
//!
//! The work is a task of its own and holds the [`FlightGuard`]. Callers only subscribe, so
//! a caller that leaves cancels nothing. A task that ends without a result, because it
//! panicked, was cancelled or was lost with its runtime, wakes its waiters too.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::clock::{self, Instant};

/// A subscription to a result. Clones wait for the same work.
#[derive(Clone, Debug)]
pub(crate) struct Flight<T>(watch::Receiver<Option<T>>);

/// The task's end of a flight. Dropping it ends the flight without a result.
#[derive(Debug)]
pub(crate) struct FlightGuard<T>(watch::Sender<Option<T>>);

impl<T: Clone> Flight<T> {
    pub(crate) fn new() -> (Self, FlightGuard<T>) {
        let (guard, flight) = watch::channel(None);
        (Self(flight), FlightGuard(guard))
    }

    /// Whether the work is still in progress.
    pub(crate) fn is_running(&self) -> bool {
        self.0.has_changed().is_ok_and(|complete| !complete)
    }

    /// The result, or `None` when the task ended without one.
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing for the work and the other callers.
    pub(crate) async fn wait(mut self) -> Option<T> {
        let complete = self.0.wait_for(Option::is_some).await;
        complete.ok().and_then(|result| result.clone())
    }

    /// The result, or `None` when there is none by the deadline.
    pub(crate) async fn wait_until(self, deadline: Instant) -> Option<T> {
        clock::until(deadline, self.wait()).await.flatten()
    }
}

impl<T> FlightGuard<T> {
    /// Hands the result to every waiter, present and future.
    pub(crate) fn complete(self, result: T) {
        self.0.send_replace(Some(result)); // without a waiter it is for later ones
    }
}

// ===== SingleFlight =====

/// Room for one flight at a time.
///
/// A flight past its deadline counts as over, whatever became of its task: the next caller
/// begins another. So work that was lost on a runtime that nothing drives holds up nothing.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<Option<Deadlined<T>>>);

/// A flight, and when it counts as over.
#[derive(Clone, Debug)]
pub(crate) struct Deadlined<T> {
    pub(crate) flight: Flight<T>,
    pub(crate) deadline: Instant,
}

impl<T: Clone> Deadlined<T> {
    pub(crate) fn is_running(&self, now: Instant) -> bool {
        now < self.deadline && self.flight.is_running()
    }

    /// The result, or `None` when there is none by the deadline.
    pub(crate) async fn wait(self) -> Option<T> {
        self.flight.wait_until(self.deadline).await
    }
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Joins the flight in progress, or begins one that ends by `deadline`: then the caller
    /// gets its guard, and starts the work.
    pub(crate) fn join(
        &self,
        now: Instant,
        deadline: Instant,
    ) -> (Deadlined<T>, Option<FlightGuard<T>>) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = current.as_ref().filter(|current| current.is_running(now)) {
            return (running.clone(), None);
        }
        let (flight, guard) = Flight::new();
        let started = Deadlined { flight, deadline };
        *current = Some(started.clone());
        (started, Some(guard))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn every_waiter_gets_the_result_late_ones_included() {
        let (flight, guard) = Flight::new();
        let mut early = std::pin::pin!(flight.clone().wait());
        assert!(early.as_mut().now_or_never().is_none());
        assert!(flight.is_running());
        guard.complete(7);
        assert!(!flight.is_running());
        assert_eq!(early.await, Some(7));
        assert_eq!(flight.wait().await, Some(7));
    }

    #[tokio::test]
    async fn a_lost_flight_wakes_its_waiters() {
        let (flight, guard) = Flight::<u8>::new();
        let mut waiter = std::pin::pin!(flight.clone().wait());
        assert!(waiter.as_mut().now_or_never().is_none());
        drop(guard);
        assert!(!flight.is_running());
        assert_eq!(waiter.await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flight_past_its_deadline_is_over() {
        let single = SingleFlight::<u8>::default();
        let begin = |single: &SingleFlight<u8>| {
            let now = clock::now();
            single.join(now, now + Duration::from_secs(1))
        };
        let (first, guard) = begin(&single);
        assert!(guard.is_some());
        assert!(begin(&single).1.is_none(), "the second caller joins");
        assert_eq!(first.wait().await, None);
        let (second, another) = begin(&single);
        another.expect("the first is over").complete(2);
        guard.expect("was started").complete(1); // late
        assert_eq!(second.wait().await, Some(2));
    }
}
