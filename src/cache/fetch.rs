//! The flight of one provider: from the source's answer into the table.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::Semaphore;

use super::{Cache, Fetched, Outcome, Policy, Slot};
use crate::{
    clock::{self, Instant},
    entry::Entry,
    error::{ListError, ListErrorKind, ProviderError},
    flight::{Flight, Landing},
    provider::{Answer, Erased, ListModels, Provider},
    tasks::compute,
};

/// How long a fetch may hold its place among those at once. A hung provider gives
/// it back then, and so delays nobody else's turn for longer.
const PLACE: Duration = Duration::from_millis(250);

/// What a model costs at least while it is taken in, in bytes: for the choice
/// where that is done.
const MODEL: usize = 256;

impl Cache {
    /// Starts a fetch; the slot must have none. After the end there are no more.
    pub(super) fn launch(
        self: &Arc<Self>,
        slot: &mut Slot,
        policy: &Policy,
        now: Instant,
    ) -> Option<Flight<Outcome>> {
        if self.tasks.stopped() {
            return None;
        }
        let (flight, landing) = Flight::take_off();
        let stop = slot.begin(flight.clone(), policy, now);
        let generation = slot.generation;
        let fetch = fetch(
            slot.provider.clone(),
            Arc::clone(&slot.source),
            slot.known(),
            Arc::clone(&self.places),
            policy,
        );
        let aboard = Aboard {
            landing: Some(landing),
            cache: Arc::downgrade(self),
        };
        self.tasks.spawn_until(stop, async move {
            let fetched = fetch.await;
            if let Some(cache) = aboard.cache.upgrade() {
                cache.land(generation, fetched, aboard).await;
            }
        });
        Some(flight)
    }

    /// Commits what a flight brought, unless its slot was replaced in the meantime.
    async fn land(
        self: &Arc<Self>,
        generation: u64,
        fetched: Result<Fetched, ListError>,
        aboard: Aboard,
    ) {
        let now = clock::now();
        let (outcome, changed) = {
            let mut table = self.table();
            let table = &mut *table;
            let is_ours = |slot: &&mut Slot| slot.generation == generation;
            let (outcome, changed) = if let Some(slot) = table.slots.iter_mut().find(is_ours) {
                let settled = slot.settle(fetched, &self.policy, &mut table.jitter, now);
                tell(slot, &settled.0, now);
                settled
            } else if let Some(slot) = table.catalog.as_mut().filter(|slot| is_ours(slot)) {
                let before = slot.entry();
                let policy = self.policy.for_catalog();
                let (outcome, _) = slot.settle(fetched, &policy, &mut table.jitter, now);
                tell(slot, &outcome, now);
                // How it stands is no news to anybody: only what it says.
                let same = |before, after: &Arc<Entry>| Arc::ptr_eq(before, after);
                let after = slot.entry();
                let changed = !(before.as_ref().zip(after.as_ref()))
                    .map_or(after.is_none(), |(before, after)| same(before, after));
                (outcome, changed)
            } else {
                return;
            };
            table.changes += u64::from(changed);
            (outcome, changed)
        };
        if changed {
            self.publish().await;
        }
        // Only now: those who wait find it in the snapshot, and whoever comes in
        // between waits too. The schedule goes on from the landing.
        aboard.land(outcome);
        self.watch_out(&self.table(), clock::now());
        self.wake.notify_one();
    }
}

/// A flight's end, whichever it is: it lands, or is lost with its task.
struct Aboard {
    landing: Option<Landing<Outcome>>,
    cache: Weak<Cache>,
}

impl Aboard {
    fn land(mut self, outcome: Outcome) {
        if let Some(landing) = self.landing.take() {
            landing.land(outcome);
        }
    }
}

impl Drop for Aboard {
    /// Nobody settles a flight that is lost, so the next request has to look: a
    /// cache outlives the runtime that it was asked in.
    fn drop(&mut self) {
        if let Some(landing) = self.landing.take() {
            drop(landing);
            if let Some(cache) = self.cache.upgrade() {
                cache.attention.store(0, Ordering::Release);
            }
        }
    }
}

/// The kind of failure and nothing of its cause, which may quote the provider.
fn tell(slot: &Slot, outcome: &Outcome, now: Instant) {
    let provider = slot.provider.name();
    match outcome {
        Ok(()) => {
            let good = slot.last_good();
            tracing::debug!(
                provider,
                models = good.map_or(0, |(tally, _)| tally.models),
                flaws = ?good.map_or(&[][..], |(tally, _)| tally.flaws.counts()),
                "list of models confirmed"
            );
        }
        Err(error) => {
            let pause = slot.due().map(|next| next.duration_since(now));
            tracing::warn!(
                provider,
                kind = ?error.kind(),
                failures = slot.failures(),
                retry_in = ?pause.unwrap_or_default(),
                "no list of models from provider"
            );
        }
    }
}

/// Asks a source, and checks what it answers. Whatever happens, this ends by the
/// deadline, and with a result.
fn fetch(
    provider: Provider,
    source: Arc<dyn Erased>,
    known: Option<Fetched>,
    places: Arc<Semaphore>,
    policy: &Policy,
) -> impl Future<Output = Result<Fetched, ListError>> + Send + 'static {
    let own = provider.options.timeout;
    let timeout = own.unwrap_or(policy.fetch_timeout);
    let request = ListModels {
        bounds: policy.bounds,
        timeout,
        headers_timeout: own.unwrap_or(policy.headers_timeout.min(timeout)),
        validator: known.as_ref().and_then(|known| known.validator.clone()),
    };
    let bounds = policy.bounds;
    let asked = async move { source.list(request).await };
    let fetched = async move {
        let answer = in_a_place(&places, clock::within(timeout, asked))
            .await
            .ok_or(ListErrorKind::Timeout)??;
        let (list, validator) = match answer {
            Answer::List(list, validator) => (list, validator),
            // Only a source that was given a validator says so.
            Answer::Unchanged => return known.ok_or(ListErrorKind::Other.into()),
        };
        let entry = compute(list.models().len() * MODEL, move || {
            let now = clock::unix_seconds();
            Entry::new(list, &bounds, now, |model| provider.keeps(model))
        });
        let entry = Arc::new(entry.await?);
        // One that is confirmed for ever would never learn the dates that another replica
        // knows.
        let validator = validator.filter(|_| !entry.is_young());
        Ok(Fetched { entry, validator })
    };
    // Around all that runs code of others: the source, its futures, their end, and
    // the filter.
    AssertUnwindSafe(fetched)
        .catch_unwind()
        .map(|caught| caught.unwrap_or_else(|_| Err(ListErrorKind::Panic.into())))
}

/// Waits for a place, then does `work`, in that place for as long as it may.
async fn in_a_place<F: Future>(places: &Semaphore, work: F) -> F::Output {
    let place = places.acquire().await;
    let mut work = std::pin::pin!(work);
    if let Some(done) = clock::within(PLACE, work.as_mut()).await {
        return done;
    }
    drop(place);
    work.await
}

/// What those get who wait for a flight that did not land.
pub(crate) fn lost(provider: Arc<str>) -> ProviderError {
    ProviderError::new(provider, ListErrorKind::Cancelled.into())
}
