//! The fetch of one provider: a task of its own, from the source's answer into the table.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    Cache, CacheConfig, Outcome,
    permits::Permits,
    schedule::SlotKey,
    slot::Fetched,
    table::{FollowUp, Table},
};
use crate::{
    clock::{self, Instant},
    entry::Entry,
    error::{ListError, ListErrorKind, ProviderError},
    flight::{Flight, FlightGuard},
    provider::{DynSource, ListModels, Provider, SourceResponse},
    tasks::compute,
};

/// How much longer than its answer may take a fetch is in flight at most: its list is
/// checked and filtered in that time.
const PROCESSING: Duration = Duration::from_secs(10);

/// What a model costs at least while it is checked, in bytes: for the choice where that is
/// done.
const BYTES_PER_MODEL: usize = 256;

impl Cache {
    /// Begins a fetch of a slot that has none in flight. Once the cache is shut down, and
    /// outside a runtime, there is none.
    pub(super) fn launch(
        self: &Arc<Self>,
        table: &mut Table,
        key: SlotKey,
        now: Instant,
        follow_up: &mut FollowUp,
    ) {
        if self.tasks.stopped() || !follow_up.can_spawn {
            return;
        }
        let number = table.next_number();
        let queue = self.permits.max_wait(table.in_flight());
        let catalog_config;
        let config = match key {
            SlotKey::Provider(_) => &self.config,
            SlotKey::Catalog => {
                catalog_config = self.config.for_catalog();
                &catalog_config
            }
        };
        let Some(slot) = key.of(table) else { return };
        let (flight, guard) = Flight::new();
        let request = ListModelsLimits::of(&slot.provider, config);
        let deadline = now + queue + request.timeout + PROCESSING;
        let stop = self.tasks.stop().child_token();
        let before = slot.begin(
            flight,
            number,
            deadline,
            stop.clone().drop_guard(),
            config,
            now,
        );
        let fetch = fetch(
            slot.provider.clone(),
            Arc::clone(slot.source()),
            slot.known(),
            Arc::clone(&self.permits),
            request,
            config,
        );
        follow_up.drop_later(before);
        let guard = FetchGuard {
            guard: Some(guard),
            cache: Arc::downgrade(self),
        };
        let task = async move {
            let fetched = fetch.await;
            if let Some(cache) = guard.cache.upgrade() {
                cache.complete_fetch(number, fetched, guard).await;
            }
        };
        follow_up.fetches.push((stop, Box::pin(task)));
    }

    /// Takes in what a fetch brought, unless it is no longer awaited, and publishes it.
    async fn complete_fetch(
        self: &Arc<Self>,
        number: u64,
        fetched: Result<Fetched, ListError>,
        guard: FetchGuard,
    ) {
        let now = clock::now();
        let outcome = self.update(now, |table, follow_up| {
            table.settle(number, fetched, &self.config, now, follow_up)
        });
        let Some(outcome) = outcome else { return };
        self.published().await;
        // Only now: those that wait find it in the snapshot, and those that come in between
        // wait too. The schedule goes on from here.
        guard.complete(outcome);
        self.update(clock::now(), |table, follow_up| {
            table.finish(number, follow_up);
            follow_up.wake = true;
        });
    }
}

/// The end of a fetch: with an outcome, or lost with its task.
struct FetchGuard {
    guard: Option<FlightGuard<Outcome>>,
    cache: Weak<Cache>,
}

impl FetchGuard {
    fn complete(mut self, outcome: Outcome) {
        if let Some(guard) = self.guard.take() {
            guard.complete(outcome);
        }
    }
}

impl Drop for FetchGuard {
    /// Nothing settles a fetch that is lost, so the next request has to look: a cache
    /// outlives the runtime of a request. Nothing is started from here, for that runtime
    /// may be shutting down. A fetch is never dropped under the table's lock.
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

/// How long the answer to a fetch may take.
#[derive(Clone, Copy)]
struct ListModelsLimits {
    timeout: Duration,
    headers_timeout: Duration,
}

impl ListModelsLimits {
    fn of(provider: &Provider, config: &CacheConfig) -> Self {
        let own = provider.options.timeout;
        let timeout = own.unwrap_or(config.fetch_timeout);
        Self {
            timeout,
            headers_timeout: own.unwrap_or(config.headers_timeout.min(timeout)),
        }
    }
}

/// Calls a source, and checks what it answers. Whatever happens, this ends by the
/// deadline, and with a result.
fn fetch(
    provider: Provider,
    source: Arc<dyn DynSource>,
    known: Option<Fetched>,
    permits: Arc<Permits>,
    limits: ListModelsLimits,
    config: &CacheConfig,
) -> impl Future<Output = Result<Fetched, ListError>> + Send + use<> {
    let request = ListModels {
        bounds: config.bounds,
        timeout: limits.timeout,
        headers_timeout: limits.headers_timeout,
        validator: known.as_ref().and_then(|known| known.validator.clone()),
    };
    let bounds = config.bounds;
    let listed = async move { source.list(request).await };
    let fetched = async move {
        let permit = permits.acquire().await;
        let answer = clock::within(limits.timeout, listed).await;
        drop(permit);
        let (list, validator) = match answer.ok_or(ListErrorKind::Timeout)?? {
            SourceResponse::List(list, validator) => (list, validator),
            // Only a source that was given a validator says so.
            SourceResponse::Unchanged => return known.ok_or(ListErrorKind::Other.into()),
        };
        let entry = compute(list.models().len() * BYTES_PER_MODEL, move || {
            let now = clock::unix_seconds();
            Entry::new(list, &bounds, now, |model| provider.keeps(model))
        });
        let entry = Arc::new(entry.await?);
        // One that is confirmed for ever would never learn the dates that another replica
        // knows.
        let validator = validator.filter(|_| !entry.is_young());
        Ok(Fetched { entry, validator })
    };
    // Around all code of others: the source, its futures, their drops, and the filter.
    AssertUnwindSafe(fetched)
        .catch_unwind()
        .map(|caught| caught.unwrap_or_else(|_| Err(ListErrorKind::Panic.into())))
}

/// What those get that wait for a fetch that has ended without an outcome.
pub(crate) fn cancelled(provider: Arc<str>) -> ProviderError {
    ProviderError::new(provider, ListErrorKind::Cancelled.into())
}
