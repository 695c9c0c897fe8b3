//! `Cache`: the snapshot that requests read, and the table behind it.
//!
//! Requests load the snapshot without a lock. Fetches and the schedule change the table
//! ([`table`]), and each change is published as a new snapshot ([`publish`]).
//!
//! Invariants:
//!
//! - Only `settle`, `replace` and `new` put lists into the table, and only
//!   `run_publication` replaces the snapshot.
//! - `next_check` is computed under the table's lock after every change of the table, so a
//!   request that reads a later time has nothing to do.
//! - Tasks hold a `Weak<Cache>`, except publications and renderings, which are short. The
//!   cache is dropped with its last owner, and `_guard` then cancels the tasks.

mod completion;
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

pub(crate) use self::table::HEARTBEAT;
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
    /// When a request next has to check the table, in nanoseconds after `epoch`: 0 for
    /// every request, `NEVER` for none.
    next_check: AtomicU64,
    epoch: Instant,
    table: Mutex<Table>,
    /// The number and the snapshot of the latest publication.
    updates: watch::Sender<(u64, ModelsSnapshot)>,
    /// Whether all first attempts have ended at least once.
    attempted: AtomicBool,
    /// Whether a refresher existed and has ended.
    refresher_ended: AtomicBool,
    /// The task that compresses lists, at most one at a time.
    encoding: SingleFlight<()>,
    /// Notified when the schedule changes.
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

    /// Loads the current snapshot. Use and drop the guard in one expression.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn snapshot(&self) -> ModelsSnapshot {
        ModelsSnapshot(self.snapshot.load_full())
    }

    /// Subscribes to snapshots. A receiver sees the latest one, and may skip earlier ones.
    pub(crate) fn updates(&self) -> watch::Receiver<(u64, ModelsSnapshot)> {
        self.updates.subscribe()
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Subscribes to changes of the schedule.
    pub(crate) fn schedule_changes(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Whether all first attempts have ended at least once.
    pub(crate) fn was_attempted(&self) -> bool {
        self.attempted.load(Ordering::Acquire)
    }

    /// Whether a refresher existed and has ended, so that nothing is fetched any more.
    pub(crate) fn has_refresher_ended(&self) -> bool {
        self.refresher_ended.load(Ordering::Acquire)
    }

    /// Logs that the refresher has ended while the cache is still in use, and republishes
    /// the lists with headers that report it.
    pub(crate) fn refresher_ended(self: &Arc<Self>) {
        if !self.tasks.stopped() {
            tracing::warn!(
                "the refresher's runtime was shut down: model lists are no longer refreshed"
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

    /// Inspects the slot of the catalogue, if there is one.
    pub(crate) fn inspect_catalog<T>(&self, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.table().catalog.as_ref().map(look)
    }

    /// Inspects the slot of every provider, in order.
    pub(crate) fn inspect<T>(&self, look: impl FnMut(&Slot) -> T) -> Vec<T> {
        self.table().slots.iter().map(look).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No statement that can panic leaves the table half changed, so poisoning is
        // ignored.
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
