//! `Cache`: the snapshot that requests read, and the table behind it.
//!
//! Two sides meet here and nowhere else. Requests load the snapshot, which takes
//! no lock; flights and the refresher change the table, which is a mutex held for
//! a few instructions at a time and never across an `.await`, and publish a new
//! snapshot made of it.
//!
//! Invariants:
//!
//! - Lists enter the table in `land` and `replace` alone, and the snapshot in
//!   `publish` alone.
//! - `attention` is recomputed under the table's lock by whoever changed the table,
//!   so a request that finds it in the future has nothing to do.
//! - Tasks hold a `Weak<Cache>`: the cache goes with its last owner, and `_guard`
//!   then ends the tasks.

mod describe;
mod encode;
mod fetch;
mod policy;
mod prepare;
mod publish;
mod slot;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio_util::sync::DropGuard;

use self::{describe::describe, slot::Window};
pub(crate) use self::{
    fetch::lost,
    policy::{Policy, Renewal},
    slot::{Attempt, Fetched, Outcome, Slot},
};
use crate::{
    clock::{self, Instant, Jitter},
    entry::Entry,
    error::BuildError,
    flight::Flight,
    model::ModelList,
    provider::{Erased, Provider},
    snapshot::{ModelsSnapshot, Snapshot},
    tasks::Tasks,
};

/// No request has anything to look after.
const NEVER: u64 = u64::MAX;

pub(crate) struct Cache {
    snapshot: ArcSwap<Snapshot>,
    /// A request that arrives from this moment on, in nanoseconds after `epoch`,
    /// has to look at the table before it answers.
    attention: AtomicU64,
    epoch: Instant,
    table: Mutex<Table>,
    /// Whose turn it is to publish. What changes while one publishes goes into the
    /// next turn, whoever's that is.
    turn: tokio::sync::Mutex<()>,
    news: watch::Sender<ModelsSnapshot>,
    /// Whether the variants of a list are being made.
    encoding: AtomicBool,
    /// Told when the table changed, for whoever keeps the schedule.
    wake: Arc<Notify>,
    places: Arc<Semaphore>,
    policy: Policy,
    tasks: Tasks,
    _guard: DropGuard,
}

pub(crate) struct Table {
    slots: Vec<Slot>,
    /// That of the catalogue: fetched like a provider, and never listed.
    catalog: Option<Slot>,
    generations: u64,
    jitter: Jitter,
    /// How often what is published has changed, and up to which change it is published.
    changes: u64,
    published: u64,
}

impl Cache {
    pub(crate) fn new(
        providers: Vec<Provider>,
        catalog: Option<Provider>,
        policy: Policy,
        tasks: Tasks,
        seed: Option<u64>,
    ) -> Result<Arc<Self>, BuildError> {
        let now = clock::now();
        let mut table = Table {
            slots: Vec::new(),
            catalog: None,
            generations: 0,
            jitter: Jitter::new(seed),
            changes: 0,
            published: 0,
        };
        let providers = policy.check(providers)?;
        drop(table.replace(providers, &policy, &tasks, now)); // none are gone
        if let Some(provider) = catalog {
            let source = provider.open_as("catalog")?;
            table.generations += 1;
            let slot = Slot::new(provider, source, table.generations, tasks.stop(), now);
            table.catalog = Some(slot);
        }
        table.published = table.changes;
        let parts = describe(table.parts(), None, &policy.enrichment, None);
        let snapshot = Snapshot::assemble(parts, None, &policy.listing);
        let snapshot = Arc::new(snapshot);
        let cache = Self {
            attention: AtomicU64::new(0),
            epoch: now,
            table: Mutex::new(table),
            turn: tokio::sync::Mutex::new(()),
            news: watch::Sender::new(ModelsSnapshot(Arc::clone(&snapshot))),
            snapshot: ArcSwap::new(snapshot),
            encoding: AtomicBool::new(false),
            wake: Arc::new(Notify::new()),
            places: Arc::new(Semaphore::new(policy.fetches_at_once.get())),
            _guard: tasks.stop().clone().drop_guard(),
            policy,
            tasks,
        };
        Ok(Arc::new(cache))
    }

    // ----- reading -----

    /// The snapshot of this moment. Read it and let go: it is not to be held.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn snapshot(&self) -> ModelsSnapshot {
        ModelsSnapshot(self.snapshot.load_full())
    }

    /// Every snapshot from now on. The latest replaces those not yet seen.
    pub(crate) fn news(&self) -> watch::Receiver<ModelsSnapshot> {
        self.news.subscribe()
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Looks at the catalogue, if there is one.
    pub(crate) fn inspect_catalog<T>(&self, look: impl FnOnce(&Slot) -> T) -> Option<T> {
        self.table().catalog.as_ref().map(look)
    }

    /// Looks at every provider, in order.
    pub(crate) fn inspect<T>(&self, look: impl FnMut(&Slot) -> T) -> Vec<T> {
        self.table().slots.iter().map(look).collect()
    }

    // ----- requests -----

    /// What a request must wait for before it is answered: `None`, nearly always.
    #[inline]
    pub(crate) fn attend(self: &Arc<Self>) -> Option<Wait> {
        // Pairs with the store in `watch_out`: who has nothing to look after sees
        // the snapshot for which that is so.
        let from = self.attention.load(Ordering::Acquire);
        if from == NEVER {
            return None;
        }
        self.attend_from(from)
    }

    #[cold]
    fn attend_from(self: &Arc<Self>, from: u64) -> Option<Wait> {
        let now = clock::now();
        if self.moment(now) < from {
            return None;
        }
        self.look_after(now, |_| {}, Slot::window)
    }

    /// What a request must wait for that wants every list asked for anew: those of all
    /// providers that are not being left alone after a failure.
    #[cold]
    pub(crate) fn renew(self: &Arc<Self>) -> Option<Wait> {
        let now = clock::now();
        self.look_after(now, |slot| slot.hasten(now), Slot::any_window)
    }

    fn look_after(
        self: &Arc<Self>,
        now: Instant,
        prepare: impl FnMut(&mut Slot),
        window: impl Fn(&Slot, &Policy, Instant) -> Option<Window>,
    ) -> Option<Wait> {
        let mut table = self.table();
        let expired = table.expire(&self.policy, now);
        table.slots.iter_mut().for_each(prepare);
        self.launch_due(&mut table, now);
        let windows = table.slots.iter();
        let windows = windows.filter_map(|slot| window(slot, &self.policy, now));
        let windows: Vec<_> = windows.collect();
        self.watch_out(&table, now);
        drop(table);
        self.encode_soon(); // of a list that was there when the layer was built
        let dropped = expired.then(|| self.publish_soon());
        (dropped.is_some() || !windows.is_empty()).then_some(Wait { dropped, windows })
    }

    /// When there may be more to serve than now, if that is known.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let table = self.table();
        table.slots.iter().filter_map(Slot::next_attempt).min()
    }

    // ----- the schedule -----

    /// Does what is due, and says when something is again.
    pub(crate) fn tend(self: &Arc<Self>) -> Option<Instant> {
        let now = clock::now();
        let mut table = self.table();
        let expired = table.expire(&self.policy, now);
        self.launch_due(&mut table, now);
        self.watch_out(&table, now);
        let next = table.next_event(&self.policy);
        drop(table);
        if expired {
            self.publish_soon();
        }
        self.encode_soon();
        next
    }

    fn launch_due(self: &Arc<Self>, table: &mut Table, now: Instant) {
        for slot in &mut table.slots {
            if slot.is_due(now) {
                self.launch(slot, &self.policy, now);
            }
        }
        if let Some(catalog) = table.catalog.as_mut().filter(|slot| slot.is_due(now)) {
            self.launch(catalog, &self.policy.for_catalog(), now);
        }
    }

    /// Sets from when on requests have something to look after.
    fn watch_out(&self, table: &Table, now: Instant) {
        let at_once = self.policy.renewal.is_per_request()
            || table.slots.iter().any(|slot| {
                slot.window(&self.policy, now).is_some()
                    || (slot.attempt().is_none() && slot.is_due(now))
            });
        let attention = if self.tasks.stopped() {
            NEVER
        } else if at_once {
            0
        } else if self.policy.renewal == Renewal::OnDemand {
            let next = table.next_event(&self.policy);
            next.map_or(NEVER, |next| self.moment(next))
        } else {
            NEVER
        };
        self.attention.store(attention, Ordering::Release);
    }

    fn moment(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(NEVER - 1)
    }

    // ----- steering -----

    /// A fetch of each of the providers that `which` picks: the one in the air, or
    /// a new one, due or not.
    pub(crate) fn fetch(
        self: &Arc<Self>,
        which: impl Fn(&Slot) -> bool,
    ) -> Vec<(Arc<str>, Option<Flight<Outcome>>)> {
        let now = clock::now();
        let mut table = self.table();
        let mut flights = Vec::new();
        for slot in table.slots.iter_mut().filter(|slot| which(slot)) {
            let flight = slot
                .aloft()
                .or_else(|| self.launch(slot, &self.policy, now));
            flights.push((Arc::clone(slot.provider.shared_name()), flight));
        }
        self.watch_out(&table, now);
        flights
    }

    /// A fetch of the catalogue, if there is one: as of a provider.
    #[cfg(feature = "catalog")]
    pub(crate) fn fetch_catalog(self: &Arc<Self>) -> Option<Flight<Outcome>> {
        let now = clock::now();
        let mut table = self.table();
        let slot = table.catalog.as_mut()?;
        let flight = slot.aloft();
        let flight = flight.or_else(|| self.launch(slot, &self.policy.for_catalog(), now));
        self.watch_out(&table, now);
        flight
    }

    #[cfg(feature = "catalog")]
    pub(crate) fn has_catalog(&self) -> bool {
        self.table().catalog.is_some()
    }

    /// Makes a provider's next attempt due. `false`: there is no such provider.
    pub(crate) fn invalidate(&self, name: &str) -> bool {
        let now = clock::now();
        let mut table = self.table();
        let slot = table
            .slots
            .iter_mut()
            .find(|slot| slot.provider.name() == name);
        let found = slot.map(|slot| slot.invalidate(now)).is_some();
        self.watch_out(&table, now);
        drop(table);
        self.wake.notify_one();
        found
    }

    /// Puts other providers in the place of those there are. The snapshot follows
    /// with the next publication.
    pub(crate) fn replace(&self, providers: Vec<Provider>) -> Result<(), BuildError> {
        let providers = self.policy.check(providers)?;
        let now = clock::now();
        let mut table = self.table();
        let gone = table.replace(providers, &self.policy, &self.tasks, now);
        self.watch_out(&table, now);
        drop(table);
        drop(gone);
        self.wake.notify_one();
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is whole between any two statements that can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The publication without the lists that this request found too old.
    dropped: Option<oneshot::Receiver<()>>,
    windows: Vec<Window>,
}

impl Wait {
    /// Whether what is listed at the moment must not be served any more.
    pub(crate) fn is_for_what_is_listed(&self) -> bool {
        self.dropped.is_some()
    }

    /// Waits until each flight has landed or its window is over.
    pub(crate) async fn over(self) {
        if let Some(dropped) = self.dropped {
            let _ = dropped.await; // lost only with the runtime
        }
        for (flight, end) in self.windows {
            clock::until(end, flight.landed()).await;
        }
    }
}

/// A provider in which nothing is wrong, and what its slot is made of.
struct Checked {
    provider: Provider,
    source: Arc<dyn Erased>,
    declared: Option<Entry>,
}

impl Table {
    /// Gives back the slots that are gone. Dropping them ends their flights, and
    /// runs code of others: that is for when the table is not locked any more.
    #[must_use]
    fn replace(
        &mut self,
        providers: Vec<Checked>,
        policy: &Policy,
        tasks: &Tasks,
        now: Instant,
    ) -> Vec<Slot> {
        let mut before = std::mem::take(&mut self.slots);
        for checked in providers {
            let Checked {
                provider,
                source,
                declared,
            } = checked;
            let same = |slot: &Slot| slot.provider.offers_the_same(&provider);
            let slot = match before.iter().position(same) {
                Some(position) => {
                    let mut slot = before.swap_remove(position);
                    slot.adopt(provider, source, policy, now);
                    slot
                }
                None => {
                    self.generations += 1;
                    let mut slot = Slot::new(provider, source, self.generations, tasks.stop(), now);
                    if let Some(entry) = declared {
                        slot.declare(entry, now);
                    }
                    slot
                }
            };
            self.slots.push(slot);
        }
        self.changes += 1;
        before
    }

    /// The catalogue by which models are described, if there is one.
    fn described_by(&self) -> Option<Arc<Entry>> {
        self.catalog.as_ref()?.entry()
    }

    fn parts(&self) -> Vec<crate::snapshot::Part> {
        self.slots.iter().map(Slot::part).collect()
    }

    fn expire(&mut self, policy: &Policy, now: Instant) -> bool {
        let mut expired = false;
        for slot in &mut self.slots {
            expired |= slot.expire(policy, now);
        }
        self.changes += u64::from(expired);
        expired
    }

    /// When a fetch is due or a list expires.
    fn next_event(&self, policy: &Policy) -> Option<Instant> {
        let events = |slot: &Slot| [slot.next_attempt(), slot.expires(policy)];
        let providers = self.slots.iter().flat_map(events).flatten();
        let catalog = self.catalog.as_ref().and_then(Slot::next_attempt);
        providers.chain(catalog).min()
    }
}

impl Policy {
    /// Checks all providers before anything changes. Runs filters, which are code of
    /// others: not while the table is locked.
    fn check(&self, providers: Vec<Provider>) -> Result<Vec<Checked>, BuildError> {
        let mut checked: Vec<Checked> = Vec::with_capacity(providers.len());
        for provider in providers {
            let source = provider.open()?;
            let name = provider.name();
            if checked.iter().any(|other| other.provider.name() == name) {
                let expected = "a name that no other provider has";
                return Err(BuildError::new("providers.name", name, expected));
            }
            self.check_interval(&provider)?;
            let take_in = |list, field| self.declared(&provider, list, field);
            // A fallback is looked at now, not when it is needed.
            let fallback = provider.fallback_list();
            fallback.map(|list| take_in(list, "fallback")).transpose()?;
            let declared = provider.declared();
            let declared = declared.map(|list| take_in(list, "models")).transpose()?;
            checked.push(Checked {
                provider,
                source,
                declared,
            });
        }
        Ok(checked)
    }

    /// Checks that a list is renewed before it is too old, jitter included.
    fn check_interval(&self, provider: &Provider) -> Result<(), BuildError> {
        if self.renewal.is_per_request() && provider.options.refresh_interval.is_some() {
            let (value, expected) = ("set while caching is off", "only one of it and uncached");
            let error = BuildError::hidden("refresh_interval", value, expected);
            return Err(error.within(format_args!("providers.{}", provider.name())));
        }
        match (provider.options.refresh_interval, self.max_stale) {
            (Some(own), Some(age)) if age <= own.mul_f64(1.1) => {
                let expected = format!("less than max_stale, {age:?}, by more than a tenth");
                let error = BuildError::new("refresh_interval", own, expected);
                Err(error.within(format_args!("providers.{}", provider.name())))
            }
            _ => Ok(()),
        }
    }

    /// The entry of a list that was declared as this field of a provider.
    fn declared(
        &self,
        provider: &Provider,
        list: ModelList,
        field: &str,
    ) -> Result<Entry, BuildError> {
        let within = |of: &str| format!("providers.{}.{of}", provider.name());
        let offered = list.models().len();
        let entry = || Entry::new(list, &self.bounds, 0, |model| provider.keeps(model));
        let entry = catch_unwind(AssertUnwindSafe(entry)).map_err(|_| {
            let expected = "one that judges every model";
            BuildError::hidden(within("filter"), "a closure that panicked", expected)
        })?;
        match entry {
            Ok(entry) if entry.tally().flaws.counts().is_empty() => Ok(entry),
            _ => {
                let expected = format!(
                    "at most {} models, with ids of 1 to {} bytes, and no control characters in ids and names",
                    self.bounds.models, self.bounds.id
                );
                Err(BuildError::new(within(field), offered, expected))
            }
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
