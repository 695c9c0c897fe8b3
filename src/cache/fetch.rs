//! The fetch of one provider: a task from the call of the source to the published list.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::{
    Cache, CacheConfig, Outcome,
    completion::CompletionGuard,
    permits::Permits,
    schedule::SlotKey,
    slot::Fetched,
    table::{FollowUp, Table},
};
use crate::{
    clock::{self, Instant},
    entry::Entry,
    error::{ListError, ListErrorKind, ProviderError},
    flight::Flight,
    provider::{DynSource, ListModels, Provider, SourceResponse},
    tasks::compute,
};

/// How long a fetch may stay in flight after its timeout, to validate and filter the list.
const PROCESSING: Duration = Duration::from_secs(10);

/// A lower bound of the bytes per model, to decide where to validate.
const BYTES_PER_MODEL: usize = 256;

impl Cache {
    /// Starts a fetch for a slot that has none in flight. Does nothing after shutdown or
    /// outside a runtime.
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
        let guard = CompletionGuard::new(guard, self);
        let task = async move {
            let fetched = fetch.await;
            if let Some(cache) = guard.cache() {
                cache.complete_fetch(number, fetched, guard).await;
            }
        };
        follow_up.fetches.push((stop, Box::pin(task)));
    }

    /// Records the result of a fetch and publishes it, unless the result is late.
    async fn complete_fetch(
        self: &Arc<Self>,
        number: u64,
        fetched: Result<Fetched, ListError>,
        guard: CompletionGuard<Outcome>,
    ) {
        let now = clock::now();
        let outcome = self.update(now, |table, follow_up| {
            table.settle(number, fetched, &self.config, now, follow_up)
        });
        let Some(outcome) = outcome else { return };
        self.published().await;
        // Only now: waiters then find the list in the snapshot, and requests that arrived
        // in the meantime wait too. The refresher is woken after this.
        guard.complete(outcome);
        self.update(clock::now(), |table, follow_up| {
            table.finish(number, follow_up);
            follow_up.wake = true;
        });
    }
}

/// The time limits of one fetch.
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

/// Calls a source and validates its response. Whatever the source does, this completes with
/// a result by the deadline of the flight.
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
        let response = clock::within(limits.timeout, listed).await;
        drop(permit);
        let (list, validator) = match response.ok_or(ListErrorKind::Timeout)?? {
            SourceResponse::List(list, validator) => (list, validator),
            // Only a source that was given a validator may respond this.
            SourceResponse::Unchanged => return known.ok_or(ListErrorKind::Other.into()),
        };
        let entry = compute(list.models().len() * BYTES_PER_MODEL, move || {
            let now = clock::unix_seconds();
            Entry::new(list, &bounds, now, |model| provider.keeps(model))
        });
        let entry = Arc::new(entry.await?);
        // A list that is only ever revalidated would never learn the dates that other
        // replicas know.
        let validator = validator.filter(|_| !entry.is_young());
        Ok(Fetched { entry, validator })
    };
    // Around all user code: the source, its futures, their drops, and the filter.
    AssertUnwindSafe(fetched)
        .catch_unwind()
        .map(|caught| caught.unwrap_or_else(|_| Err(ListErrorKind::Panic.into())))
}

/// The error for waiters of a fetch that ended without an outcome.
pub(crate) fn cancelled(provider: Arc<str>) -> ProviderError {
    ProviderError::new(provider, ListErrorKind::Cancelled.into())
}
