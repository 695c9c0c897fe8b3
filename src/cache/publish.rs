//! Publication: from the table into the snapshot, one at a time.

use std::sync::Arc;

use super::{Cache, describe::describe};
use crate::{
    snapshot::{ModelsSnapshot, Part, Snapshot},
    tasks::compute,
};

impl Cache {
    /// Comes back when a snapshot is out that holds all that the table held.
    ///
    /// Whoever finds its change in the snapshot when its turn comes has nothing
    /// left to do: what arrives during one publication goes into the next together.
    ///
    /// # Cancel safety
    ///
    /// A publication that is given up leaves its changes to the next one.
    pub(crate) async fn publish(self: &Arc<Self>) {
        let change = self.table().changes;
        let _turn = self.turn.lock().await;
        let (parts, catalog, up_to) = {
            let table = self.table();
            if table.published >= change {
                return;
            }
            (table.parts(), table.described_by(), table.changes)
        };
        let last = self.snapshot.load_full();
        let settings = Arc::clone(&self.policy.listing);
        let enrichment = Arc::clone(&self.policy.enrichment);
        let size = last.size();
        let models = |part: &Part| part.models().len();
        let size = size.max(128 * parts.iter().map(models).sum::<usize>());
        let next = compute(size, move || {
            let parts = describe(parts, Some(&last), &enrichment, catalog);
            Snapshot::assemble(parts, Some(&last), &settings)
        })
        .await;
        let next = Arc::new(next);
        self.snapshot.store(Arc::clone(&next));
        self.table().published = up_to;
        self.news.send_replace(ModelsSnapshot(next));
        self.encode_soon();
    }

    /// Publishes once more, whether anything has changed in the table or not.
    pub(crate) async fn publish_again(self: &Arc<Self>) {
        self.table().changes += 1;
        self.publish().await;
    }

    /// Publishes in a task of its own, which runs to its end even when the cache
    /// is being shut down.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn publish_soon(self: &Arc<Self>) -> tokio::sync::oneshot::Receiver<()> {
        let (done, published) = tokio::sync::oneshot::channel();
        let cache = Arc::clone(self);
        self.tasks.spawn(async move {
            cache.publish().await;
            let _ = done.send(()); // nobody has to wait for it
        });
        published
    }
}
