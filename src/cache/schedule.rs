//! The schedule: fetches what is due, on behalf of the refresher or of a request.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Cache, CacheConfig, Outcome, Slot,
    slot::PendingFlight,
    table::{FollowUp, NEVER, Table},
};
use crate::{
    clock::{self, Instant},
    flight::Flight,
};

/// The flight of one provider's fetch, and its deadline.
pub(crate) struct Fetch {
    pub(crate) provider: Arc<str>,
    /// `None`: nothing is fetched any more.
    pub(crate) flight: Option<(Flight<Outcome>, Instant)>,
}

/// When to check again what is due and could not be started.
const RETRY: Duration = Duration::from_secs(1);

impl Cache {
    // ----- requests -----

    /// What a request has to wait for before it is served. Almost always `None`.
    #[inline]
    pub(crate) fn check_schedule(self: &Arc<Self>) -> Option<Wait> {
        // Pairs with the store in `rearm`: a request that has nothing to check sees the
        // snapshot that was published with that value, or a newer one.
        let from = self.next_check.load(Ordering::Acquire);
        if from == NEVER {
            return None;
        }
        self.check_schedule_from(from)
    }

    #[cold]
    fn check_schedule_from(self: &Arc<Self>, from: u64) -> Option<Wait> {
        let now = clock::now();
        if self.nanos_at(now) < from {
            return None;
        }
        self.start_due(now, |_| {}, Slot::pending)
    }

    /// What a request has to wait for that forces a refresh of every provider not in
    /// backoff.
    #[cold]
    pub(crate) fn refresh_all(self: &Arc<Self>) -> Option<Wait> {
        let now = clock::now();
        self.start_due(now, |slot| slot.make_due(now), Slot::pending_any)
    }

    fn start_due(
        self: &Arc<Self>,
        now: Instant,
        prepare: impl FnMut(&mut Slot),
        pending: impl Fn(&Slot, &CacheConfig, Instant) -> Option<PendingFlight>,
    ) -> Option<Wait> {
        let is_settled = self.load().availability.settled;
        let (expired, unpublished, flights) = self.update(now, |table, follow_up| {
            table.slots.iter_mut().for_each(prepare);
            self.launch_due(table, now, follow_up);
            let slots = table.slots.iter();
            let flights = slots.filter_map(|slot| pending(slot, &self.config, now));
            let flights: Vec<_> = flights.collect();
            // A first list may have been fetched but not published yet.
            let unpublished = !is_settled && table.published < table.changes;
            (follow_up.expired, unpublished, flights)
        });
        self.encode_soon(); // compresses declared lists, which are there from the start
        let publication = (expired || unpublished).then(|| now + self.config.miss_timeout);
        let wait = publication.is_some() || !flights.is_empty();
        wait.then_some(Wait {
            expired,
            publication,
            flights,
        })
    }

    /// When more models may become available, if known.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let table = self.table();
        table.slots.iter().filter_map(Slot::next_attempt).min()
    }

    // ----- the schedule -----

    /// Starts every fetch that is due, and returns when the schedule next has work to do.
    ///
    /// If each request fetches every list, the schedule only has providers without a list.
    pub(crate) fn run_schedule(self: &Arc<Self>) -> Option<Instant> {
        let now = clock::now();
        let is_per_request = self.config.refresh_mode.is_per_request();
        let selects = |slot: &Slot| !(is_per_request && slot.has_succeeded());
        let next = self.update(now, |table, follow_up| {
            self.launch_selected(table, now, follow_up, selects);
            table.next_deadline(&self.config, selects)
        });
        self.encode_soon();
        // What is due and was not started cannot be, outside a runtime for example: not a
        // reason to spin.
        next.map(|next| if next <= now { now + RETRY } else { next })
    }

    fn launch_due(self: &Arc<Self>, table: &mut Table, now: Instant, follow_up: &mut FollowUp) {
        self.launch_selected(table, now, follow_up, |_| true);
    }

    fn launch_selected(
        self: &Arc<Self>,
        table: &mut Table,
        now: Instant,
        follow_up: &mut FollowUp,
        selects: impl Fn(&Slot) -> bool,
    ) {
        for index in 0..table.slots.len() {
            if table.slots[index].is_due(now) && selects(&table.slots[index]) {
                self.launch(table, SlotKey::Provider(index), now, follow_up);
            }
        }
        if table.catalog.as_ref().is_some_and(|slot| slot.is_due(now)) {
            self.launch(table, SlotKey::Catalog, now, follow_up);
        }
    }

    // ----- control -----

    /// Fetches every provider that `selects` selects, due or not. Joins fetches that are in
    /// flight.
    pub(crate) fn fetch(self: &Arc<Self>, selects: impl Fn(&Slot) -> bool) -> Vec<Fetch> {
        let now = clock::now();
        self.update(now, |table, follow_up| {
            let mut fetches = Vec::new();
            for index in 0..table.slots.len() {
                if !selects(&table.slots[index]) {
                    continue;
                }
                let key = SlotKey::Provider(index);
                self.join_or_launch(table, key, now, follow_up, &mut fetches);
            }
            fetches
        })
    }

    /// Fetches the catalogue, if there is one, or joins the fetch in flight.
    #[cfg(feature = "catalog")]
    pub(crate) fn fetch_catalog(self: &Arc<Self>) -> Option<Fetch> {
        let now = clock::now();
        self.update(now, |table, follow_up| {
            table.catalog.as_ref()?;
            let mut fetches = Vec::new();
            self.join_or_launch(table, SlotKey::Catalog, now, follow_up, &mut fetches);
            fetches.pop()
        })
    }

    fn join_or_launch(
        self: &Arc<Self>,
        table: &mut Table,
        key: SlotKey,
        now: Instant,
        follow_up: &mut FollowUp,
        fetches: &mut Vec<Fetch>,
    ) {
        let Some(slot) = key.of(table) else { return };
        let provider = Arc::clone(slot.provider.shared_name());
        if !slot.is_fetching() {
            self.launch(table, key, now, follow_up);
        }
        let in_flight = key.of(table).and_then(|slot| slot.in_flight());
        let flight = in_flight.map(|in_flight| (in_flight.flight.clone(), in_flight.deadline));
        fetches.push(Fetch { provider, flight });
    }

    /// Makes a provider's next attempt due. Returns `false` if there is no such provider.
    pub(crate) fn invalidate(self: &Arc<Self>, name: &str) -> bool {
        let now = clock::now();
        self.update(now, |table, follow_up| {
            follow_up.wake = true;
            let mut slots = table.slots.iter_mut();
            let slot = slots.find(|slot| slot.provider.name() == name);
            slot.map(|slot| slot.invalidate(now)).is_some()
        })
    }

    /// Enforces every deadline, and publishes any change.
    pub(crate) fn look(self: &Arc<Self>) {
        self.update(clock::now(), |_, _| ());
    }
}

/// Identifies a slot of the table.
#[derive(Clone, Copy)]
pub(super) enum SlotKey {
    Provider(usize),
    Catalog,
}

impl SlotKey {
    pub(super) fn of(self, table: &mut Table) -> Option<&mut Slot> {
        match self {
            Self::Provider(index) => table.slots.get_mut(index),
            Self::Catalog => table.catalog.as_mut(),
        }
    }
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) struct Wait {
    /// Whether lists were dropped that are still in the snapshot.
    expired: bool,
    /// Until when to wait for the publication of pending changes.
    publication: Option<Instant>,
    flights: Vec<PendingFlight>,
}

impl Wait {
    /// Whether the models listed now have expired and must not be served.
    pub(crate) fn is_for_what_is_listed(&self) -> bool {
        self.expired
    }

    /// Waits until each flight has ended or its time limit is reached.
    pub(crate) async fn over(self, cache: &Arc<Cache>) {
        if let Some(end) = self.publication {
            clock::until(end, cache.published()).await;
        }
        let mut lost = None;
        for (flight, end) in self.flights {
            if flight.wait_until(end).await.is_none() && clock::now() < end {
                lost = lost.max(Some(end));
            }
        }
        // A fetch that ended without a result was replaced by `set_providers`, or lost with
        // its runtime: the one that follows is waited for until the same time.
        if let Some(end) = lost
            && let Some(again) = cache.check_schedule()
        {
            for (flight, _) in again.flights {
                flight.wait_until(end).await;
            }
        }
    }
}
