//! `Refresher`: the task that keeps the lists fresh, and the handle that ends it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_util::sync::DropGuard;

use crate::{cache::Cache, clock, tasks::Tasks};

/// Owns the background work of a cache: the schedule and every fetch.
///
/// Dropping it ends that work at once, as [`cancel`](Self::cancel) does. The layer goes on
/// serving the lists that it has, and fetches no more: the status says so
/// ([`Refreshing::Ended`](crate::Refreshing::Ended)), as does `detail=stopped` in the
/// `Cache-Status` of every response, and, where the refresher was dropped and not
/// cancelled, a warning in the log. Bind it to a name: `let (layer, _) = ..` drops it.
#[must_use = "dropping the refresher ends the refreshing; use `detach` to let it run"]
#[derive(Debug)]
pub struct Refresher {
    /// `None` once the work is detached.
    guard: Option<DropGuard>,
    tasks: Tasks,
}

/// The refresher looks at the schedule at least this often: the system may have been
/// suspended, which timers do not notice.
const HEARTBEAT: Duration = Duration::from_secs(60);

impl Refresher {
    pub(crate) fn spawn(cache: &Arc<Cache>) -> Self {
        let tasks = cache.tasks().clone();
        let stop = tasks.stop().clone();
        let end = RefresherEnd(Arc::downgrade(cache));
        // With caching off every list is always due, and requests alone fetch.
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

    /// Ends the refreshing and every fetch in flight, without waiting for them.
    pub fn cancel(&self) {
        self.tasks.stop().cancel();
    }

    /// Ends the refreshing and every fetch in flight, and completes when no task of the
    /// cache is left. No timer, and no provider, is waited for.
    ///
    /// # Cancel safety
    ///
    /// The work is ended in any case, also when this future is dropped unpolled.
    pub async fn shutdown(mut self) {
        self.cancel();
        drop(self.guard.take());
        self.tasks.finished().await;
    }

    /// Lets the work run on without a handle. It then ends with the cancellation
    /// token that the layer was built with, or with the last layer.
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

/// Reports the end of the refresher, whatever ends it: its token, its handle, its runtime.
struct RefresherEnd(Weak<Cache>);

impl Drop for RefresherEnd {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            cache.refresher_ended();
        }
    }
}

/// Starts what is due, sleeps until something is due again or the schedule changes, and
/// ends with its cache. Cancellation comes from outside: the task is dropped.
async fn keep_fresh(end: RefresherEnd) {
    let Some(mut changes) = end.0.upgrade().map(|cache| cache.schedule_changes()) else {
        return;
    };
    while let Some(cache) = end.0.upgrade() {
        changes.mark_unchanged();
        let next = cache.run_schedule();
        drop(cache); // not held over the wait: the last layer may go meanwhile
        let heartbeat = clock::now() + HEARTBEAT;
        let next = next.map_or(heartbeat, |next| next.min(heartbeat));
        if let Some(Err(_)) = clock::until(next, changes.changed()).await {
            return; // the cache is gone
        }
    }
}
