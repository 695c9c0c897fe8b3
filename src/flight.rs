//! `Flight<T>`: one unit of work in progress, and any number of callers that wait for it.
//!
//! The work runs in its own task, which holds the [`FlightGuard`]. Callers only subscribe,
//! so a caller that is dropped cancels nothing. If the task panics, is cancelled, or is
//! lost with its runtime, its waiters are woken without a result.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::clock::{self, Instant};

/// A subscription to a result. Clones wait for the same work.
#[derive(Clone, Debug)]
pub(crate) struct Flight<T>(watch::Receiver<Option<T>>);

/// The task's side of a flight. Dropping it ends the flight without a result.
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

    /// Returns the result, or `None` if the task ended without one.
    ///
    /// # Cancel safety
    ///
    /// Dropping this future has no effect on the work and on other callers.
    pub(crate) async fn wait(mut self) -> Option<T> {
        let complete = self.0.wait_for(Option::is_some).await;
        complete.ok().and_then(|result| result.clone())
    }

    /// Returns the result, or `None` if there is none by the deadline.
    pub(crate) async fn wait_until(self, deadline: Instant) -> Option<T> {
        clock::until(deadline, self.wait()).await.flatten()
    }
}

impl<T> FlightGuard<T> {
    /// Sends the result to all waiters, including those that subscribed but do not wait
    /// yet.
    pub(crate) fn complete(self, result: T) {
        self.0.send_replace(Some(result)); // kept in the channel even if nothing waits yet
    }
}

// ===== SingleFlight =====

/// Holds at most one flight at a time.
///
/// A flight past its deadline counts as ended, whatever its task does, and the next caller
/// starts another one. So a task that is stuck, or lost with its runtime, never blocks
/// later work.
#[derive(Debug)]
pub(crate) struct SingleFlight<T>(Mutex<Option<Deadlined<T>>>);

/// A flight and its deadline.
#[derive(Clone, Debug)]
pub(crate) struct Deadlined<T> {
    pub(crate) flight: Flight<T>,
    pub(crate) deadline: Instant,
}

impl<T: Clone> Deadlined<T> {
    pub(crate) fn is_running(&self, now: Instant) -> bool {
        now < self.deadline && self.flight.is_running()
    }

    /// Returns the result, or `None` if there is none by the deadline.
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
    /// Joins the flight in progress, or starts one with this deadline. In the second case
    /// the caller gets the guard and has to start the work.
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
    async fn early_and_late_waiters_get_the_result() {
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
    async fn waiters_wake_if_guard_is_dropped() {
        let (flight, guard) = Flight::<u8>::new();
        let mut waiter = std::pin::pin!(flight.clone().wait());
        assert!(waiter.as_mut().now_or_never().is_none());
        drop(guard);
        assert!(!flight.is_running());
        assert_eq!(waiter.await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn flight_ends_at_its_deadline() {
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
