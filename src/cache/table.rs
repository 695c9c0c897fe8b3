//! The table behind the snapshot: every provider's slot, and the changes that are not yet
//! published.
//!
//! Invariants:
//!
//! - [`Cache::update`] is the only way to change the table. It enforces every deadline
//!   first, starts the publication of any change, and computes when requests have to check
//!   the table again. So the table and the snapshot cannot drift apart, even if a task or
//!   its runtime is lost.
//! - The lock is held for a few instructions. No user code runs under it: tasks are
//!   spawned, events logged and values dropped after it is released ([`FollowUp`]).

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{
    Cache, CacheConfig,
    completion::CompletionGuard,
    log::Event,
    publish::{Mode, Publication},
    slot::{Fetched, Outcome, Settled, Slot},
};
use crate::{
    clock::{self, Instant, Jitter, SuspendDetector},
    entry::Entry,
    error::ListError,
    flight::FlightGuard,
    snapshot::ProviderListing,
};

/// No request has to check the table.
pub(super) const NEVER: u64 = u64::MAX;

/// The schedule is checked at least this often where it is checked at all: the system may
/// have been suspended, which timers do not notice.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(60);

pub(crate) struct Table {
    pub(super) slots: Vec<Slot>,
    /// The catalogue's slot: fetched like a provider, but never listed.
    pub(super) catalog: Option<Slot>,
    pub(super) jitter: Jitter,
    suspend: SuspendDetector,
    /// The number of the last fetch or publication. Each has a number of its own.
    last_number: u64,
    /// How many times the providers were replaced.
    pub(super) replacements: u64,
    /// How many changes were made, and how many of them are published.
    pub(super) changes: u64,
    pub(super) published: u64,
    pub(super) publication: Option<Publication>,
    /// A publication that exceeded its deadline. Its task may still be running.
    overdue: Option<Publication>,
    /// Whether a publication since then ran none of the callbacks, so that another one is
    /// needed once the overdue one has ended.
    is_degraded: bool,
    /// Whether that other one was started. There is one until a publication with the
    /// callbacks succeeds, or callbacks that are always too slow would be run for ever.
    is_repaired: bool,
}

/// The work that follows a change of the table, done after it is unlocked.
#[derive(Default)]
pub(super) struct FollowUp {
    /// Whether tasks can be spawned here.
    pub(super) can_spawn: bool,
    pub(super) fetches: Vec<(CancellationToken, BoxFuture<'static, ()>)>,
    pub(super) publication: Option<(u64, Mode, FlightGuard<()>)>,
    pub(super) events: Vec<Event>,
    pub(super) garbage: Vec<Box<dyn Any + Send>>,
    /// Whether a list was dropped because it is older than `max_stale`.
    pub(super) expired: bool,
    /// Whether to wake the refresher.
    pub(super) wake: bool,
}

impl FollowUp {
    /// Keeps a value until the table is unlocked, because its `Drop` may run user code.
    pub(super) fn drop_later(&mut self, value: impl Any + Send) {
        self.garbage.push(Box::new(value));
    }

    fn settled(&mut self, slot: &Slot, settled: Settled, now: Instant) -> Outcome {
        self.events.push(Event::settled(slot, &settled, now));
        self.drop_later(settled.garbage);
        settled.outcome
    }
}

impl Cache {
    /// Changes the table with `change`, which must not run user code, and then does the
    /// follow-up work.
    pub(super) fn update<T>(
        self: &Arc<Self>,
        now: Instant,
        change: impl FnOnce(&mut Table, &mut FollowUp) -> T,
    ) -> T {
        let wall = clock::wall();
        let mut follow_up = FollowUp {
            can_spawn: self.tasks.can_spawn(),
            ..FollowUp::default()
        };
        let result = {
            let mut table = self.table();
            if !self.tasks.stopped() {
                table.enforce(&self.config, now, wall, &mut follow_up);
            }
            table.enforce_publication(now, &mut follow_up);
            let result = change(&mut table, &mut follow_up);
            table.begin_publication(now, &mut follow_up);
            self.rearm(&table, now);
            result
        };
        self.follow_up(follow_up);
        result
    }

    fn follow_up(self: &Arc<Self>, follow_up: FollowUp) {
        drop(follow_up.garbage);
        for event in follow_up.events {
            event.log();
        }
        for (stop, fetch) in follow_up.fetches {
            self.tasks.spawn_until(stop, fetch);
        }
        if let Some((number, mode, guard)) = follow_up.publication {
            let guard = CompletionGuard::new(guard, self);
            let publication = Arc::clone(self).run_publication(number, mode, guard);
            self.tasks.spawn(publication);
        }
        if follow_up.wake {
            self.wake.send_replace(());
        }
    }

    /// Computes when requests have to check the table again. The caller holds its lock.
    pub(super) fn rearm(&self, table: &Table, now: Instant) {
        let config = &self.config;
        let is_awaited =
            |slot: &Slot| slot.pending(config, now).is_some() || slot.awaits_first(now);
        let next_check = if table.is_unpublished(now) || table.has_recovered() {
            0
        } else if self.tasks.stopped() {
            NEVER
        } else if config.refresh_mode.is_per_request() || table.slots.iter().any(is_awaited) {
            0
        } else if config.refresh_mode.is_on_demand() {
            let next = table.next_deadline(config, |_| true);
            // Sooner, because the system may be suspended meanwhile.
            let next = next.map(|next| next.min(now + HEARTBEAT));
            next.map_or(NEVER, |next| self.nanos_at(next))
        } else {
            NEVER
        };
        self.next_check.store(next_check, Ordering::Release);
    }

    /// The nanoseconds from the cache's creation to this instant.
    pub(super) fn nanos_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(since).unwrap_or(NEVER - 1)
    }
}

impl Table {
    pub(super) fn new(seed: Option<u64>, now: Instant) -> Self {
        Self {
            slots: Vec::new(),
            catalog: None,
            jitter: Jitter::new(seed),
            suspend: SuspendDetector::new(now, clock::wall()),
            last_number: 0,
            replacements: 0,
            changes: 0,
            published: 0,
            publication: None,
            overdue: None,
            is_degraded: false,
            is_repaired: false,
        }
    }

    /// Returns a number that no other fetch or publication has.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Ends fetches and publications that are past their deadline, and drops lists that are
    /// older than `max_stale`.
    fn enforce(
        &mut self,
        config: &CacheConfig,
        now: Instant,
        wall: SystemTime,
        follow_up: &mut FollowUp,
    ) {
        if let Some(gap) = self.suspend.gap(now, wall) {
            self.advance(gap);
            follow_up.events.push(Event::Suspended(gap));
        }
        for slot in &mut self.slots {
            if let Some((settled, in_flight)) = slot.end_overdue(config, &mut self.jitter, now) {
                follow_up.drop_later(in_flight);
                if let Some(settled) = settled {
                    self.changes += u64::from(settled.changed);
                    let _ = follow_up.settled(slot, settled, now);
                }
            }
            if let Some(expired) = slot.expire(config, now) {
                self.changes += 1;
                follow_up.expired = true;
                follow_up
                    .events
                    .push(Event::Expired(Arc::clone(slot.provider.shared_name())));
                follow_up.drop_later(expired);
            }
        }
        if let Some(slot) = &mut self.catalog {
            let config = config.for_catalog();
            if let Some((settled, in_flight)) = slot.end_overdue(&config, &mut self.jitter, now) {
                follow_up.drop_later(in_flight);
                if let Some(settled) = settled {
                    let _ = follow_up.settled(slot, settled, now);
                }
            }
        }
    }

    /// Gives up a publication that is past its deadline. Once its task has ended, what was
    /// published without the callbacks is published again, with them.
    fn enforce_publication(&mut self, now: Instant, follow_up: &mut FollowUp) {
        if self.has_recovered() {
            self.is_degraded = false;
            self.is_repaired = true;
            self.changes += 1;
            follow_up.drop_later(self.overdue.take());
        }
        let overdue = |publication: &mut Publication| now >= publication.deadline;
        if let Some(publication) = self.publication.take_if(overdue) {
            follow_up.events.push(Event::PublicationOverdue);
            follow_up.drop_later(self.overdue.replace(publication));
        }
    }

    /// Records that a publication succeeded.
    pub(super) fn record_publication(&mut self, up_to: u64, mode: Mode) {
        self.published = up_to;
        match mode {
            Mode::Full => (self.is_degraded, self.is_repaired) = (false, false),
            Mode::Essential => self.is_degraded = !self.is_repaired,
        }
    }

    /// Whether the overdue publication has ended, and left something to publish again.
    fn has_recovered(&self) -> bool {
        let overdue = self.overdue.as_ref();
        self.is_degraded && overdue.is_none_or(|overdue| !overdue.flight.is_running())
    }

    fn advance(&mut self, gap: Duration) {
        for slot in self.slots.iter_mut().chain(&mut self.catalog) {
            slot.advance(gap);
        }
    }

    /// Records the result of a fetch. A late result is dropped: its provider was replaced,
    /// or the fetch exceeded its deadline.
    pub(super) fn settle(
        &mut self,
        number: u64,
        fetched: Result<Fetched, ListError>,
        config: &CacheConfig,
        now: Instant,
        follow_up: &mut FollowUp,
    ) -> Option<Outcome> {
        let awaits = |slot: &&mut Slot| slot.awaits(number);
        if let Some(slot) = self.slots.iter_mut().find(awaits) {
            let settled = slot.settle(fetched, config, &mut self.jitter, now);
            self.changes += u64::from(settled.changed);
            return Some(follow_up.settled(slot, settled, now));
        }
        if let Some(slot) = self.catalog.as_mut().filter(awaits) {
            let before = slot.entry();
            let settled = slot.settle(fetched, &config.for_catalog(), &mut self.jitter, now);
            // The catalogue's health is not published, only its content.
            let is_same = match (&before, &slot.entry()) {
                (Some(before), Some(after)) => Arc::ptr_eq(before, after),
                (None, None) => true,
                _ => false,
            };
            self.changes += u64::from(!is_same);
            follow_up.drop_later(before);
            return Some(follow_up.settled(slot, settled, now));
        }
        follow_up.drop_later(fetched);
        None
    }

    /// Ends a fetch whose list is published.
    pub(super) fn finish(&mut self, number: u64, follow_up: &mut FollowUp) {
        for slot in self.slots.iter_mut().chain(&mut self.catalog) {
            follow_up.drop_later(slot.finish(number));
        }
    }

    /// Starts a publication if there are unpublished changes and none is running.
    fn begin_publication(&mut self, now: Instant, follow_up: &mut FollowUp) {
        if !follow_up.can_spawn || !self.is_unpublished(now) {
            return;
        }
        let number = self.next_number();
        let is_stuck = |overdue: &Publication| overdue.flight.is_running();
        let mode = if self.overdue.as_ref().is_some_and(is_stuck) {
            Mode::Essential
        } else {
            Mode::Full
        };
        let (publication, guard) = Publication::new(number, now);
        follow_up.drop_later(self.publication.replace(publication));
        follow_up.publication = Some((number, mode, guard));
    }

    /// Whether there are changes that no running publication includes.
    pub(super) fn is_unpublished(&self, now: Instant) -> bool {
        let publication = self.publication.as_ref();
        self.published < self.changes
            && publication.is_none_or(|publication| !publication.is_running(now))
    }

    /// The catalogue's list, from which models are described.
    pub(super) fn catalog_entry(&self) -> Option<Arc<Entry>> {
        self.catalog.as_ref()?.entry()
    }

    pub(super) fn listings(&self) -> Vec<ProviderListing> {
        self.slots.iter().map(Slot::listing).collect()
    }

    /// How many fetches are in progress.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_fetching()).count()
    }

    /// When the schedule next has work to do for the selected providers, if known.
    pub(super) fn next_deadline(
        &self,
        config: &CacheConfig,
        selects: impl Fn(&Slot) -> bool,
    ) -> Option<Instant> {
        let slots = self.slots.iter().filter(|slot| selects(slot));
        let slots = slots.filter_map(|slot| slot.next_deadline(config));
        let catalog = self.catalog.as_ref();
        let catalog = catalog.and_then(|slot| slot.next_deadline(&config.for_catalog()));
        let publication = self.publication.as_ref();
        let publication = publication.map(|publication| publication.deadline);
        slots.chain(catalog).chain(publication).min()
    }
}
