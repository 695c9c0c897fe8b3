//! `CompletionGuard`: the end of a task that the table waits for.

use std::sync::{Arc, Weak};

use super::Cache;
use crate::{clock, flight::FlightGuard};

/// Ends the flight of a fetch or a publication: with a result, or without one if its task
/// is lost.
pub(super) struct CompletionGuard<T> {
    guard: Option<FlightGuard<T>>,
    cache: Weak<Cache>,
}

impl<T> CompletionGuard<T> {
    pub(super) fn new(guard: FlightGuard<T>, cache: &Arc<Cache>) -> Self {
        Self {
            guard: Some(guard),
            cache: Arc::downgrade(cache),
        }
    }

    /// The cache, unless its last owner has gone.
    pub(super) fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.upgrade()
    }

    pub(super) fn complete(mut self, result: T) {
        if let Some(guard) = self.guard.take() {
            guard.complete(result);
        }
    }
}

impl<T> Drop for CompletionGuard<T> {
    /// A lost task leaves no result, so the next request has to check the table: a cache may
    /// outlive the runtime of the request that started the task. Nothing is spawned here,
    /// because that runtime may be shutting down. Locking is safe: a task is never dropped
    /// under the table's lock.
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        drop(guard);
        if let Some(cache) = self.cache.upgrade() {
            cache.rearm(&cache.table(), clock::now());
            cache.wake.send_replace(());
        }
    }
}
