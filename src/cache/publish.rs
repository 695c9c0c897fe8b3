//! Publication: from the table into the snapshot, one at a time.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;

use super::Cache;
use crate::{
    compress,
    encoding::Coding,
    snapshot::{ModelsSnapshot, Snapshot},
    tasks::{Tasks, compute, compute_apart},
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
        let (parts, up_to) = {
            let table = self.table();
            if table.published >= change {
                return;
            }
            (table.parts(), table.changes)
        };
        let last = self.snapshot.load_full();
        let settings = self.policy.document.clone();
        let size = last.document().body().len();
        let models = |part: &crate::snapshot::Part| {
            part.entry.as_ref().map_or(0, |entry| entry.models().len())
        };
        let size = size.max(128 * parts.iter().map(models).sum::<usize>());
        let next = compute(size, move || {
            Snapshot::assemble(parts, Some(&last), &settings)
        })
        .await;
        let next = Arc::new(next);
        self.snapshot.store(Arc::clone(&next));
        self.table().published = up_to;
        self.news.send_replace(ModelsSnapshot(next));
        self.encode_soon();
    }

    /// Makes the variants of the list, if it lacks them, in a task of its own:
    /// until they are there all at once, identity is served. One list at a time,
    /// and what was replaced meanwhile is forgotten.
    pub(crate) fn encode_soon(self: &Arc<Self>) {
        // Outside of a runtime a layer of declared lists still answers: as it is.
        if !self.load().document().lacks_encodings()
            || self.tasks.stopped()
            || !Tasks::can_spawn()
            || self.encoding.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let cache = Arc::downgrade(self);
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_until(stop.clone(), async move {
            while let Some(body) = cache.upgrade().and_then(|cache| cache.next_to_encode()) {
                let stop = stop.clone();
                let work = {
                    let body = body.clone();
                    move || compress::encode(&body, || stop.is_cancelled())
                };
                let encoded = compute_apart(work).await;
                let (Some(cache), Some(encoded)) = (cache.upgrade(), encoded) else {
                    return;
                };
                cache.publish_encoded(&body, encoded).await;
            }
        });
    }

    /// The list that lacks its variants; without one, encoding is over.
    fn next_to_encode(&self) -> Option<Bytes> {
        let lacking = || {
            let snapshot = self.load();
            let document = snapshot.document();
            document.lacks_encodings().then(|| document.body().clone())
        };
        lacking().or_else(|| {
            self.encoding.store(false, Ordering::Release);
            // One that came between the look and the word was told that someone
            // is encoding: take it, unless the next one already has.
            lacking().filter(|_| !self.encoding.swap(true, Ordering::AcqRel))
        })
    }

    async fn publish_encoded(&self, body: &Bytes, encoded: Vec<(Coding, Bytes)>) {
        let _turn = self.turn.lock().await;
        let last = self.snapshot.load_full();
        // The very bytes, not equal ones: they are shared while the list is the same.
        if last.document().body().as_ptr() == body.as_ptr() {
            let next = last.with_encoded(encoded, &self.policy.document);
            self.snapshot.store(Arc::new(next));
        }
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
