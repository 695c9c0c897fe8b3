//! Publication: makes a snapshot from the table. One at a time, each in a flight.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;

use super::{Cache, completion::CompletionGuard, describe::describe};
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
    /// After this, the publication counts as ended, whatever its task does.
    pub(super) deadline: Instant,
}

/// How much a publication does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything, on a blocking thread if there is much to do.
    Full,
    /// No user code and no blocking thread, while an earlier publication is stuck. Views
    /// are prepared on demand, and new models are listed as their provider describes them.
    Essential,
}

impl Publication {
    /// The time limit of a publication.
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
    /// Waits until every change made to the table so far is in the snapshot.
    ///
    /// # Cancel safety
    ///
    /// The publication runs in its own task and continues if the caller is dropped.
    pub(crate) async fn published(self: &Arc<Self>) {
        // The running publication, the next one, and one retry of each if a task was lost.
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
                return; // outside a runtime: published by the next caller inside one
            };
            publication.flight.wait_until(publication.deadline).await;
        }
    }

    /// Publishes a new snapshot, even if the table has not changed.
    pub(crate) async fn republish(self: &Arc<Self>) {
        self.update(clock::now(), |table, _| table.changes += 1);
        self.published().await;
    }

    /// Assembles the next snapshot and publishes it, unless this publication exceeded its
    /// deadline.
    pub(super) async fn run_publication(
        self: Arc<Self>,
        number: u64,
        mode: Mode,
        guard: CompletionGuard<()>,
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
                return; // the deadline was exceeded
            }
            table.record_publication(up_to, mode);
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
        drop(next); // the replaced snapshot: not dropped under the channel's lock
        guard.complete(());
        self.update(clock::now(), |_, _| ()); // publishes changes made in the meantime
        self.encode_soon();
    }

    /// Assembles the next snapshot. Returns it, or `None` if the assembly panicked, and the
    /// number of changes that it includes.
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
        // `Essential` stays on this thread: the blocking pool may be exhausted.
        let size = if carries_views { size } else { 0 };
        let next = AssertUnwindSafe(compute(size, work)).catch_unwind().await;
        (next.ok(), up_to)
    }

    /// Keeps the current snapshot until the table changes again.
    fn give_up(self: &Arc<Self>, number: u64, up_to: u64, guard: CompletionGuard<()>) {
        tracing::error!("failed to publish the model list: its assembly panicked");
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
