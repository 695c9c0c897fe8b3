//! Spawning. Every task of a cache is tracked, and ends when its token is cancelled.

use std::{
    cell::Cell,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::clock::{self, Instant};

/// Spawns and tracks the tasks of one cache.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    /// Once cancelled, no task starts any more, and running tasks are dropped.
    stop: CancellationToken,
    tracker: TaskTracker,
    /// The caller's tracker, which also tracks these tasks.
    caller_tracker: Option<TaskTracker>,
    /// Whether the refresher was dropped rather than shut down.
    abandoned: Arc<AtomicBool>,
}

/// How long a runtime without a timer is not checked again.
const TIMER_RECHECK: Duration = Duration::from_secs(60);

thread_local! {
    /// When this thread was last found in a runtime without a timer. Other threads have
    /// other runtimes.
    static TIMERLESS: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken, caller_tracker: Option<TaskTracker>) -> Self {
        let tracker = TaskTracker::new();
        tracker.close();
        Self {
            stop,
            tracker,
            caller_tracker,
            abandoned: Arc::default(),
        }
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Records that the refresher was dropped rather than shut down.
    pub(crate) fn set_abandoned(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Checks whether tasks of a cache can run here, or why not.
    pub(crate) fn check_runtime() -> Result<(), &'static str> {
        if Handle::try_current().is_err() {
            Err("no tokio runtime")
        } else if !clock::has_timer() {
            Err("a tokio runtime without a timer")
        } else {
            Ok(())
        }
    }

    /// Whether a task that needs no timer can run here.
    pub(crate) fn has_runtime() -> bool {
        Handle::try_current().is_ok()
    }

    /// Whether a task can run here: inside a tokio runtime with a timer. A runtime without
    /// one is logged, and not checked again for a while.
    pub(crate) fn can_spawn(&self) -> bool {
        if Handle::try_current().is_err() {
            return false;
        }
        let now = clock::now();
        let found = TIMERLESS.get();
        if found.is_some_and(|found| now.duration_since(found) < TIMER_RECHECK) {
            return false;
        }
        let has_timer = clock::has_timer();
        if !has_timer {
            TIMERLESS.set(Some(now));
            tracing::error!("cannot fetch model lists in a tokio runtime without a timer");
        }
        has_timer
    }

    /// Spawns `task`, and drops it at its current await point when `stop` is cancelled.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
    pub(crate) fn spawn_until<F>(&self, stop: CancellationToken, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Spawns `task`, which must be short: it is never cancelled, and `shutdown` waits for
    /// it.
    ///
    /// # Panics
    ///
    /// If called outside a tokio runtime.
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

    /// Completes when no task is running.
    pub(crate) async fn finished(&self) {
        self.tracker.wait().await;
    }
}

/// Work on at least this many bytes runs on a blocking thread. Less takes below a
/// millisecond, which does not justify the switch.
const LARGE: usize = 256 * 1024;

/// Runs `work`, on a blocking thread if it processes many bytes.
///
/// # Panics
///
/// If `work` panics.
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

/// Runs `work` on a blocking thread.
///
/// # Panics
///
/// If `work` panics.
pub(crate) async fn compute_apart<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is never cancelled after it has started, and before that only
            // when the runtime shuts down. This task is then dropped as well.
            Err(_) => std::future::pending().await,
        },
    }
}
