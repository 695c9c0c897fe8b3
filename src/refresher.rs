//! `Refresher`: the loop that keeps the lists fresh, and the handle that ends it.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

use crate::{cache::Cache, clock, tasks::Tasks};

/// Owns the background work of a cache: the refreshing and every fetch.
///
/// Dropping it ends that work at once, as [`cancel`](Self::cancel) does. The layer
/// goes on answering from what is there.
#[must_use = "dropping the refresher ends the refreshing; use `detach` to let it run"]
#[derive(Debug)]
pub struct Refresher {
    guard: DropGuard,
    tasks: Tasks,
}

impl Refresher {
    pub(crate) fn spawn(cache: &Arc<Cache>) -> Self {
        let tasks = cache.tasks().clone();
        let stop = tasks.stop().clone();
        // With caching off every list is always due, and requests alone ask.
        if !cache.policy().renewal.is_per_request() {
            let keep = keep_fresh(Arc::downgrade(cache), Arc::clone(cache.wake()));
            tasks.spawn_until(stop.clone(), keep);
        }
        Self {
            guard: stop.drop_guard(),
            tasks,
        }
    }

    /// Ends the refreshing and every fetch in the air, without waiting for them.
    pub fn cancel(&self) {
        self.tasks.stop().cancel();
    }

    /// Ends the refreshing and every fetch in the air, and comes back when no task
    /// of the cache is left. No timer, and no provider, is waited for.
    ///
    /// # Cancel safety
    ///
    /// The work is ended in any case, also when this future is dropped unpolled.
    pub async fn shutdown(self) {
        let Self { guard, tasks } = self;
        drop(guard);
        tasks.finished().await;
    }

    /// Lets the work run on without a handle. It then ends with the cancellation
    /// token that the layer was built with, or with the last layer.
    pub fn detach(self) {
        self.guard.disarm();
    }
}

/// Does what is due, sleeps until something is again or the table changes, and
/// ends with its cache. Cancellation comes from outside: the task is dropped.
async fn keep_fresh(cache: Weak<Cache>, wake: Arc<Notify>) {
    while let Some(cache) = cache.upgrade() {
        let next = cache.tend();
        drop(cache); // not held over the wait: the last layer may go meanwhile
        let told = wake.notified();
        match next {
            Some(next) => _ = clock::until(next, told).await,
            None => told.await,
        }
    }
}
