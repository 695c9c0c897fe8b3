//! `Cache`: the snapshot that requests read, and the table behind it.
//!
//! Requests load the snapshot, which takes no lock. Fetches and the schedule change the
//! table ([`table`]), and what has changed is published as a new snapshot ([`publish`]).
//!
//! Invariants:
//!
//! - Lists enter the table in `settle` and `replace` alone, and the snapshot in
//!   `run_publication` alone.
//! - `next_check` is computed under the table's lock after every change of the table, so a
//!   request that finds it in the future has nothing to do.
//! - Tasks hold a `Weak<Cache>`, but for publications, which are short: the cache goes with
//!   its last owner, and `_guard` then ends the tasks.

mod config;
mod describe;
mod encode;
mod fetch;
mod log;
mod permits;
mod prepare;
mod publish;
mod reconfigure;
mod schedule;
mod slot;
mod table;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

pub(crate) use self::{
    config::{CacheConfig, RefreshMode},
    fetch::cancelled,
    schedule::{Fetch, Wait},
    slot::{Attempt, Outcome, Slot},
};
use self::{describe::describe, permits::Permits, publish::Mode, table::Table};
use crate::{
    clock::{self, Instant},
    error::BuildError,
    flight::SingleFlight,
    provider::Provider,
    snapshot::{ModelsSnapshot, Snapshot},
    tasks::Tasks,
};

pub(crate) struct Cache {
    snapshot: ArcSwap<Snapshot>,
    /// A request that arrives from this moment on, in nanoseconds after `epoch`, has to
    /// look at the table before it is answered.
    next_check: AtomicU64,
    epoch: Instant,
    table: Mutex<Table>,
    /// Every publication's number and snapshot.
    updates: watch::Sender<(u64, ModelsSnapshot)>,
    /// Whether every first attempt was over once.
    attempted: AtomicBool,
    /// Whether there was a refresher that has ended.
    refresher_ended: AtomicBool,
    /// The variants of a list that are being made.
    encoding: SingleFlight<()>,
    /// Changes when the schedule does.
    wake: watch::Sender<()>,
    permits: Arc<Permits>,
    render_permits: Arc<Permits>,
    config: CacheConfig,
    tasks: Tasks,
    _guard: DropGuard,
}

impl Cache {
    pub(crate) fn new(
        providers: Vec<Provider>,
        catalog: Option<Provider>,
        config: CacheConfig,
        tasks: Tasks,
        seed: Option<u64>,
    ) -> Result<Arc<Self>, BuildError> {
        let now = clock::now();
        let mut table = Table::new(seed, now);
        table.slots = config.slots(providers, now)?;
        if let Some(provider) = catalog {
            let source = provider.build_as("catalog")?;
            table.catalog = Some(Slot::new(provider, source, None, now));
        }
        let listings = describe(table.listings(), None, &config.enrichment, None, Mode::Full);
        let snapshot = Snapshot::assemble(listings, None, &config.listing, true, true);
        let snapshot = Arc::new(snapshot);
        let cache = Self {
            next_check: AtomicU64::new(0),
            epoch: now,
            table: Mutex::new(table),
            updates: watch::Sender::new((0, ModelsSnapshot(Arc::clone(&snapshot)))),
            attempted: AtomicBool::new(snapshot.availability.settled),
            refresher_ended: AtomicBool::new(false),
            snapshot: ArcSwap::new(snapshot),
            encoding: SingleFlight::default(),
            wake: watch::Sender::new(()),
            permits: Arc::new(Permits::new(config.fetches_at_once)),
            render_permits: Arc::new(Permits::new(prepare::MAX_CONCURRENT)),
            _guard: tasks.stop().clone().drop_guard(),
            config,
            tasks,
        };
        Ok(Arc::new(cache))
    }

    /// The snapshot of this moment, to be read and dropped in one expression.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn snapshot(&self) -> ModelsSnapshot {
        ModelsSnapshot(self.snapshot.load_full())
    }

    /// Every snapshot from now on, with its number. The latest replaces those not yet seen.
    pub(crate) fn updates(&self) -> watch::Receiver<(u64, ModelsSnapshot)> {
        self.updates.subscribe()
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Changes whenever the schedule does.
    pub(crate) fn schedule_changes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Whether every first attempt was over once.
    pub(crate) fn was_attempted(&self) -> bool {
        self.attempted.load(Ordering::Acquire)
    }

    /// Whether there was a refresher that has ended: nothing is fetched any more.
    pub(crate) fn has_refresher_ended(&self) -> bool {
        self.refresher_ended.load(Ordering::Acquire)
    }

    /// Reports that the refresher has ended while the cache is in use, and has the headers
    /// of its lists say so.
    pub(crate) fn refresher_ended(self: &Arc<Self>) {
        if !self.tasks.stopped() {
            tracing::warn!(
                "the runtime of the refresher is gone: model lists are no longer refreshed"
            );
        } else if self.tasks.is_abandoned() {
            tracing::warn!(
                "the refresher was dropped: model lists are no longer refreshed. Keep it, \
                 `detach` it, or use `build` instead of `spawn`"
            );
        } else {
            tracing::info!("the refresher was shut down: model lists are no longer refreshed");
        }
        self.tasks.stop().cancel();
        self.refresher_ended.store(true, Ordering::Release);
        self.update(clock::now(), |table, _| table.changes += 1);
    }

    /// Looks at the catalogue, if there is one.
    pub(crate) fn inspect_catalog<T>(&self, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.table().catalog.as_ref().map(look)
    }

    /// Looks at every provider, in order.
    pub(crate) fn inspect<T>(&self, look: impl FnMut(&Slot) -> T) -> Vec<T> {
        self.table().slots.iter().map(look).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole between any two statements that can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
