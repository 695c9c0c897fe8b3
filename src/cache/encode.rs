//! The variants of a published list under content codings, made behind its back.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak, atomic::Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::Cache;
use crate::{
    compress,
    encoding::Coding,
    snapshot::Snapshot,
    tasks::{Tasks, compute_apart},
};

impl Cache {
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
        self.tasks.spawn_until(stop, async move {
            while let Some(body) = cache.upgrade().and_then(|cache| cache.next_to_encode()) {
                let work = {
                    let (body, cache) = (body.clone(), Weak::clone(&cache));
                    move || compress::encode(&body, || !is_wanted(&cache, &body))
                };
                let encoded = AssertUnwindSafe(compute_apart(work)).catch_unwind().await;
                let Some(cache) = cache.upgrade() else { return };
                match encoded {
                    Ok(Some(encoded)) => cache.publish_encoded(&body, encoded).await,
                    Ok(None) => {} // replaced meanwhile: the next one is looked for
                    Err(_) => {
                        // Left for the next publication: the same list would fail again.
                        tracing::error!(bytes = body.len(), "a list could not be compressed");
                        cache.encoding.store(false, Ordering::Release);
                        return;
                    }
                }
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
        if is_of(&last, body) {
            let next = last.with_encoded(encoded, &self.policy.document);
            self.snapshot.store(Arc::new(next));
        }
    }
}

/// Whether a snapshot's list is this one: the very bytes, not equal ones, for they
/// are shared while the list is the same.
fn is_of(snapshot: &Snapshot, body: &Bytes) -> bool {
    snapshot.document().body().as_ptr() == body.as_ptr()
}

/// Whether there is still someone to whom this list would be sent.
fn is_wanted(cache: &Weak<Cache>, body: &Bytes) -> bool {
    let current = |cache: Arc<Cache>| !cache.tasks.stopped() && is_of(&cache.load(), body);
    cache.upgrade().is_some_and(current)
}
