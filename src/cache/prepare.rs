//! Lists that were not asked for before: each rendered once, as a flight, off the async
//! workers where it is large, and kept with the snapshot.

use std::{num::NonZeroUsize, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::Cache;
use crate::{
    clock,
    flight::FlightGuard,
    render::ClientDialect,
    snapshot::{Panicked, Rendering, Representation, Snapshot, View, ViewPredicate, Visibility},
    tasks::compute,
};

/// What a model costs at least while it is rendered, in bytes: for the choice where that
/// is done.
const BYTES_PER_MODEL: usize = 256;

/// How long a rendering may take before another one begins.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many render_permits begin at once.
pub(super) const MAX_CONCURRENT: NonZeroUsize = NonZeroUsize::new(4).expect("is not zero");

impl Cache {
    /// Waits until a snapshot has a list. A caller that asks for one that is being rendered
    /// waits for it, and does not render it again.
    ///
    /// # Errors
    ///
    /// The view's predicate panicked, or does not return.
    ///
    /// # Cancel safety
    ///
    /// The rendering is a task of its own, and goes on when the caller leaves.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        view: &View,
        dialect: ClientDialect,
    ) -> Result<Representation, Panicked> {
        let cell = match &view.0 {
            Visibility::Some(predicate) => Cell::View {
                prepared_view: snapshot.views().admit(predicate, snapshot.settings().views),
                predicate: Arc::clone(predicate),
            },
            _ => Cell::All,
        };
        if let Some(representation) = cell.of(snapshot, dialect).get() {
            return Ok(representation.clone());
        }
        let now = clock::now();
        let flight = &cell.of(snapshot, dialect).flight;
        let (rendering, guard) = flight.join(now, now + TIMEOUT);
        match guard {
            None => {}
            Some(guard) if self.tasks.can_spawn() => {
                let (cache, snapshot) = (Arc::clone(self), Arc::clone(snapshot));
                self.tasks
                    .spawn(cache.render(snapshot, cell, dialect, guard));
            }
            // Outside a runtime there is no other place than here.
            Some(guard) => {
                let cache = Arc::clone(self);
                cache
                    .render(Arc::clone(snapshot), cell, dialect, guard)
                    .await;
            }
        }
        rendering.wait().await.unwrap_or(Err(Panicked))
    }

    async fn render(
        self: Arc<Self>,
        snapshot: Arc<Snapshot>,
        cell: Cell,
        dialect: ClientDialect,
        guard: FlightGuard<Result<Representation, Panicked>>,
    ) {
        let permit = match self.tasks.can_spawn() {
            true => Some(self.render_permits.acquire().await),
            false => None,
        };
        let size = snapshot
            .variants()
            .body()
            .len()
            .max(BYTES_PER_MODEL * snapshot.models());
        let size = if permit.is_some() { size } else { 0 };
        let work = {
            let (snapshot, cell) = (Arc::clone(&snapshot), cell.clone());
            move || match &cell {
                Cell::All => Ok(snapshot.render_for_all(dialect)),
                Cell::View {
                    predicate,
                    prepared_view,
                } => snapshot.render_for(dialect, predicate, prepared_view),
            }
        };
        let rendered = AssertUnwindSafe(compute(size, work)).catch_unwind().await;
        drop(permit);
        let rendered = rendered.unwrap_or(Err(Panicked));
        if let Ok(representation) = &rendered {
            cell.of(&snapshot, dialect).set(representation.clone());
            snapshot.views().trim(snapshot.settings().views);
        }
        guard.complete(rendered);
        self.encode_soon();
    }
}

/// Where a list belongs.
#[derive(Clone)]
enum Cell {
    All,
    View {
        predicate: Arc<ViewPredicate>,
        prepared_view: Arc<crate::snapshot::PreparedView>,
    },
}

impl Cell {
    fn of<'a>(&'a self, snapshot: &'a Snapshot, dialect: ClientDialect) -> &'a Rendering {
        match self {
            Self::All => snapshot.representations().cell(dialect),
            Self::View { prepared_view, .. } => prepared_view.representations.cell(dialect),
        }
    }
}
