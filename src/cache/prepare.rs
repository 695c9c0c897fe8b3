//! Lists that nobody has asked for before: rendered once, off the request's own thread
//! where they are large, and kept with the snapshot.

use std::sync::Arc;

use super::Cache;
use crate::{
    render::ClientDialect,
    snapshot::{Face, Panicked, Policy, Sight, Snapshot, View},
    tasks::compute,
};

/// What a model costs at least while it is rendered, in bytes: for the choice where that
/// is done.
const MODEL: usize = 256;

impl Cache {
    /// Comes back when a snapshot has a list. Whoever asks for one that is being rendered
    /// waits for it, and does not render it again.
    ///
    /// # Errors
    ///
    /// The view's predicate panicked.
    ///
    /// # Cancel safety
    ///
    /// Work that is given up is done by the next who asks.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        view: &View,
        dialect: ClientDialect,
    ) -> Result<Face, Panicked> {
        let face = match &view.0 {
            Sight::Some(policy) => self.prepare_for(snapshot, policy, dialect).await?,
            _ => self.prepare_for_all(snapshot, dialect).await,
        };
        self.encode_soon();
        Ok(face)
    }

    async fn prepare_for_all(&self, snapshot: &Arc<Snapshot>, dialect: ClientDialect) -> Face {
        let cell = snapshot.faces().cell(dialect);
        let render = || {
            let snapshot = Arc::clone(snapshot);
            compute(size(&snapshot), move || snapshot.render_for_all(dialect))
        };
        cell.get_or_init(render).await.clone()
    }

    async fn prepare_for(
        &self,
        snapshot: &Arc<Snapshot>,
        policy: &Arc<Policy>,
        dialect: ClientDialect,
    ) -> Result<Face, Panicked> {
        let bounds = snapshot.settings().views;
        let seen = snapshot.views().admit(policy, bounds);
        let render = || {
            let snapshot = Arc::clone(snapshot);
            let (policy, seen) = (Arc::clone(policy), Arc::clone(&seen));
            compute(size(&snapshot), move || {
                snapshot.render_for(dialect, &policy, &seen)
            })
        };
        let face = seen.faces.cell(dialect).get_or_try_init(render).await?;
        snapshot.views().trim(bounds);
        Ok(face.clone())
    }
}

fn size(snapshot: &Snapshot) -> usize {
    let body = snapshot.document().body().len();
    body.max(MODEL * snapshot.models())
}
