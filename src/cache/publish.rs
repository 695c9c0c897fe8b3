//! Publication: from the table into the snapshot, one at a time, each a flight.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;

use super::{Cache, describe::describe};
use crate::{
    clock::{self, Instant},
    flight::{Flight, FlightGuard},
    snapshot::{ModelsSnapshot, ProviderListing, Snapshot},
    tasks::compute,
};

/// A publication in progress.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) number: u64,
    pub(super) flight: Flight<()>,
    /// From then on it counts as over, whatever became of its task.
    pub(super) deadline: Instant,
}

/// What a publication does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything, off the async workers where that is much.
    Full,
    /// Without the code of others, and at once: while an earlier publication does not
    /// return. Views are then prepared when they are asked for, and what is new is listed
    /// as its provider describes it.
    Essential,
}

impl Publication {
    /// How long a publication may take.
    const TIMEOUT: Duration = Duration::from_secs(10);

    pub(super) fn new(number: u64, now: Instant) -> (Self, FlightGuard<()>) {
        let (flight, guard) = Flight::new();
        let deadline = now + Self::TIMEOUT;
        let publication = Self {
            number,
            flight,
            deadline,
        };
        (publication, guard)
    }

    pub(super) fn is_running(&self, now: Instant) -> bool {
        now < self.deadline && self.flight.is_running()
    }
}

impl Cache {
    /// Waits until the snapshot holds all that the table holds now.
    ///
    /// # Cancel safety
    ///
    /// The publication is a task of its own, and goes on when the caller leaves.
    pub(crate) async fn published(self: &Arc<Self>) {
        // The one in progress, the next one, and once more each if a task was lost.
        const MAX_ROUNDS: usize = 4;
        let change = self.table().changes;
        for _ in 0..MAX_ROUNDS {
            self.update(clock::now(), |_, _| ());
            let publication = {
                let table = self.table();
                if table.published >= change {
                    return;
                }
                table.publication.clone()
            };
            let Some(publication) = publication else {
                return; // outside a runtime: left to the next that looks
            };
            publication.flight.wait_until(publication.deadline).await;
        }
    }

    /// Publishes once more, whether anything has changed in the table or not.
    pub(crate) async fn republish(self: &Arc<Self>) {
        self.update(clock::now(), |table, _| table.changes += 1);
        self.published().await;
    }

    /// Makes the next snapshot and publishes it, unless another publication has taken the
    /// place of this one.
    pub(super) async fn run_publication(
        self: Arc<Self>,
        number: u64,
        mode: Mode,
        guard: FlightGuard<()>,
    ) {
        let (mut assembled, mut up_to) = self.assemble(mode).await;
        if assembled.is_none() {
            (assembled, up_to) = self.assemble(Mode::Essential).await;
        }
        let Some(next) = assembled else {
            return self.give_up(number, up_to, guard);
        };
        let is_settled = next.availability.settled;
        let replaced = {
            let mut table = self.table();
            if table
                .publication
                .as_ref()
                .is_none_or(|current| current.number != number)
            {
                drop(table);
                return; // past its deadline
            }
            table.published = up_to;
            (
                self.snapshot.swap(Arc::clone(&next)),
                table.publication.take(),
            )
        };
        next.take_encodings(&replaced.0);
        drop(replaced);
        if is_settled {
            self.attempted.store(true, Ordering::Release);
        }
        let mut next = (number, ModelsSnapshot(next));
        self.updates.send_if_modified(|latest| {
            let is_newer = latest.0 < next.0;
            if is_newer {
                std::mem::swap(latest, &mut next);
            }
            is_newer
        });
        drop(next); // the one before: not dropped under the channel's lock
        guard.complete(());
        self.update(clock::now(), |_, _| ()); // publishes what has changed meanwhile
        self.encode_soon();
    }

    /// The next snapshot, or `None` if that panicked, and up to which change of the table.
    async fn assemble(self: &Arc<Self>, mode: Mode) -> (Option<Arc<Snapshot>>, u64) {
        let (listings, catalog, up_to) = {
            let table = self.table();
            (table.listings(), table.catalog_entry(), table.changes)
        };
        let last = self.snapshot.load_full();
        let settings = Arc::clone(&self.config.listing);
        let enrichment = Arc::clone(&self.config.enrichment);
        let is_refreshed = !self.has_refresher_ended();
        let models = |listing: &ProviderListing| listing.models().len();
        let size = last
            .size()
            .max(128 * listings.iter().map(models).sum::<usize>());
        let carries_views = mode == Mode::Full;
        let work = move || {
            let listings = describe(listings, Some(&last), &enrichment, catalog, mode);
            let next = Snapshot::assemble(
                listings,
                Some(&last),
                &settings,
                is_refreshed,
                carries_views,
            );
            Arc::new(next)
        };
        // Off the workers the blocking pool may be exhausted: the essential one needs none.
        let size = if carries_views { size } else { 0 };
        let next = AssertUnwindSafe(compute(size, work)).catch_unwind().await;
        (next.ok(), up_to)
    }

    /// Leaves the snapshot as it is until something else changes.
    fn give_up(self: &Arc<Self>, number: u64, up_to: u64, guard: FlightGuard<()>) {
        tracing::error!("the model list could not be published: its assembly panicked");
        self.update(clock::now(), |table, follow_up| {
            let is_this = |current: &mut Publication| current.number == number;
            if let Some(publication) = table.publication.take_if(is_this) {
                table.published = up_to;
                follow_up.drop_later(publication);
            }
        });
        guard.complete(());
    }
}
