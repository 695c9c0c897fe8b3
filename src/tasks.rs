//! Spawning: every task of a cache is tracked, and ends when its token does.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::clock::{self, Instant};

/// Where a cache's tasks run, and what ends them.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    /// Cancelled: no task starts any more, and those under way are dropped.
    stop: CancellationToken,
    tracker: TaskTracker,
    /// The caller's tracker, when tasks shall show up there too.
    caller_tracker: Option<TaskTracker>,
    /// Whether the refresher was dropped, and not told to end.
    abandoned: Arc<AtomicBool>,
    /// When a runtime without a timer was last found.
    timerless: Arc<Mutex<Option<Instant>>>,
}

/// For how long a runtime without a timer is not tried again.
const TIMER_RECHECK: Duration = Duration::from_secs(60);

impl Tasks {
    pub(crate) fn new(stop: CancellationToken, caller_tracker: Option<TaskTracker>) -> Self {
        let tracker = TaskTracker::new();
        tracker.close();
        Self {
            stop,
            tracker,
            caller_tracker,
            abandoned: Arc::default(),
            timerless: Arc::default(),
        }
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Says that the refresher was dropped, and not told to end.
    pub(crate) fn set_abandoned(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Why no task of a cache can run here, if so.
    pub(crate) fn check_runtime() -> Result<(), &'static str> {
        if Handle::try_current().is_err() {
            Err("no tokio runtime")
        } else if !clock::has_timer() {
            Err("a tokio runtime without a timer")
        } else {
            Ok(())
        }
    }

    /// Whether a task can run here: inside a tokio runtime that has a timer. A runtime
    /// without one is reported, and not tried again for a while.
    pub(crate) fn can_spawn(&self) -> bool {
        if Handle::try_current().is_err() {
            return false;
        }
        let now = clock::now();
        let timerless = || {
            self.timerless
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let found = *timerless();
        if found.is_some_and(|found| now.duration_since(found) < TIMER_RECHECK) {
            return false;
        }
        let has_timer = clock::has_timer();
        if !has_timer {
            *timerless() = Some(now);
            tracing::error!("no model list is fetched in a tokio runtime without a timer");
        }
        has_timer
    }

    /// Runs `task` until it ends or `stop` is cancelled, whichever is first: its
    /// future is then dropped at its current await point.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn spawn_until<F>(&self, stop: CancellationToken, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Runs `task` to its end, which must be near: `shutdown` waits for it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.tracker.track_future(task);
        match &self.caller_tracker {
            Some(caller_tracker) => tokio::spawn(caller_tracker.track_future(task)),
            None => tokio::spawn(task),
        };
    }

    /// Completes when no task is left.
    pub(crate) async fn finished(&self) {
        self.tracker.wait().await;
    }
}

/// From this many bytes on, work goes to a thread of its own: below, it takes
/// less than a millisecond, and the way there and back is not worth it.
const LARGE: usize = 256 * 1024;

/// What `work` gives, off the async workers when it goes through `bytes` that are many.
///
/// # Panics
///
/// When `work` does.
pub(crate) async fn compute<T, F>(bytes: usize, work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if bytes < LARGE {
        return work();
    }
    compute_apart(work).await
}

/// What `work` gives, off the async workers.
///
/// # Panics
///
/// When `work` does.
pub(crate) async fn compute_apart<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work that has begun is never cancelled, and what has not
            // is only cancelled when the runtime goes: then so do we.
            Err(_) => std::future::pending().await,
        },
    }
}
