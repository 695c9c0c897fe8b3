//! Renders lists on first request: other dialects than OpenAI's, and views. Each is
//! rendered once, in a flight, on a blocking thread if it is large, and stored with the
//! snapshot.

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

/// A lower bound of the bytes per model, to decide where to render.
const BYTES_PER_MODEL: usize = 256;

/// The time limit of a rendering. After it, another one may start.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many renderings may start at once.
pub(super) const MAX_CONCURRENT: NonZeroUsize = NonZeroUsize::new(4).expect("is not zero");

impl Cache {
    /// Renders a list of a snapshot, or waits for the rendering in progress.
    ///
    /// # Errors
    ///
    /// The view's predicate panicked or did not return in time.
    ///
    /// # Cancel safety
    ///
    /// The rendering runs in its own task and continues if the caller is dropped.
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
            // Outside a runtime nothing can be spawned, so render in place.
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

/// The list to render.
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
