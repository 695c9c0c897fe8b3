//! `Refresher`: the handle of the task that keeps the lists fresh.

use std::sync::{Arc, Weak};

use tokio_util::sync::DropGuard;

use crate::{
    cache::{Cache, HEARTBEAT},
    clock,
    tasks::Tasks,
};

/// Owns the background work of a cache: the schedule and every fetch.
///
/// Dropping it stops that work at once, as [`cancel`](Self::cancel) does. The layer then keeps
/// serving the lists that it has, and fetches no more. The status reports
/// [`Refreshing::Ended`](crate::status::Refreshing::Ended), the `Cache-Status` of every list has
/// `detail=stopped`, and a warning is logged if the refresher was dropped and not cancelled.
///
/// Bind it to a name: `let (layer, _) = ..` drops it.
#[must_use = "dropping the refresher stops the refresh; use `detach` to let it run"]
#[derive(Debug)]
pub struct Refresher {
    /// `None` once the work is detached.
    guard: Option<DropGuard>,
    tasks: Tasks,
}

impl Refresher {
    pub(crate) fn spawn(cache: &Arc<Cache>) -> Self {
        let tasks = cache.tasks().clone();
        let stop = tasks.stop().clone();
        let end = RefresherEnd(Arc::downgrade(cache));
        // With caching off every list is always due, and only requests fetch.
        if cache.config().refresh_mode.is_per_request() {
            tasks.spawn_until(stop.clone(), async move {
                let _end = end;
                std::future::pending().await
            });
        } else {
            tasks.spawn_until(stop.clone(), keep_fresh(end));
        }
        Self {
            guard: Some(stop.drop_guard()),
            tasks,
        }
    }

    /// Stops the refresh and every fetch in flight, without waiting for them.
    pub fn cancel(&self) {
        self.tasks.stop().cancel();
    }

    /// Stops the refresh and every fetch in flight, and completes when no task of the cache is
    /// left. This waits for no timer and no provider.
    ///
    /// # Cancel safety
    ///
    /// The work is stopped even if the future is dropped unpolled.
    pub async fn shutdown(mut self) {
        self.cancel();
        drop(self.guard.take());
        self.tasks.finished().await;
    }

    /// Lets the work continue without a handle. It then stops when the
    /// [cancellation token](crate::Builder::cancellation_token) of the layer is cancelled, or
    /// when the last layer, service and handle of the cache are dropped.
    pub fn detach(mut self) {
        self.guard.take().map(DropGuard::disarm);
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        if self.guard.is_some() && !self.tasks.stopped() {
            self.tasks.set_abandoned();
        }
    }
}

/// Reports the end of the refresher, whether by its token, its handle or its runtime.
struct RefresherEnd(Weak<Cache>);

impl Drop for RefresherEnd {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            cache.refresher_ended();
        }
    }
}

/// Starts fetches that are due, sleeps until the next one is due or the schedule changes, and
/// ends with its cache. It is cancelled from outside, by dropping the task.
async fn keep_fresh(end: RefresherEnd) {
    let Some(mut changes) = end.0.upgrade().map(|cache| cache.schedule_changes()) else {
        return;
    };
    while let Some(cache) = end.0.upgrade() {
        changes.mark_unchanged();
        let next = cache.run_schedule();
        drop(cache); // not held over the wait, so that the last layer can drop it
        let heartbeat = clock::now() + HEARTBEAT;
        let next = next.map_or(heartbeat, |next| next.min(heartbeat));
        if let Some(Err(_)) = clock::until(next, changes.changed()).await {
            return; // the cache is gone
        }
    }
}
