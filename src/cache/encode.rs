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
    document::Document,
    encoding::Coding,
    snapshot::Snapshot,
    tasks::{Tasks, compute_apart},
};

impl Cache {
    /// Makes the variants of the lists that lack them, in a task of its own: until those
    /// of a list are there, all at once, identity is served. One list at a time, and what
    /// was replaced meanwhile is forgotten.
    pub(crate) fn encode_soon(self: &Arc<Self>) {
        // Outside of a runtime a layer of declared lists still answers: as it is.
        if lacking(&self.load()).is_none()
            || self.tasks.stopped()
            || !Tasks::can_spawn()
            || self.encoding.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let cache = Arc::downgrade(self);
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_until(stop, async move {
            while let Some(document) = cache.upgrade().and_then(|cache| cache.next_to_encode()) {
                let work = {
                    let (document, cache) = (Arc::clone(&document), Weak::clone(&cache));
                    move || {
                        let stopped = || !is_wanted(&cache, &document);
                        compress::encode(document.body(), document.effort(), stopped)
                    }
                };
                let encoded = AssertUnwindSafe(compute_apart(work)).catch_unwind().await;
                let Some(cache) = cache.upgrade() else { return };
                match encoded {
                    Ok(Some(encoded)) => cache.put_encoded(&document, encoded).await,
                    Ok(None) => {} // replaced meanwhile: the next one is looked for
                    Err(_) => {
                        // Left for the next publication: the same list would fail again.
                        let bytes = document.body().len();
                        tracing::error!(bytes, "a list could not be compressed");
                        cache.encoding.store(false, Ordering::Release);
                        return;
                    }
                }
            }
        });
    }

    /// A list that lacks its variants; without one, encoding is over.
    fn next_to_encode(&self) -> Option<Arc<Document>> {
        let lacking = || lacking(&self.load());
        lacking().or_else(|| {
            self.encoding.store(false, Ordering::Release);
            // One that came between the look and the word was told that someone
            // is encoding: take it, unless the next one already has.
            lacking().filter(|_| !self.encoding.swap(true, Ordering::AcqRel))
        })
    }

    /// Puts the variants of a list where its body is still served: its headers may have
    /// been made anew meanwhile.
    async fn put_encoded(&self, document: &Document, encoded: Vec<(Coding, Bytes)>) {
        let _turn = self.turn.lock().await;
        let snapshot = self.load();
        let same = |other: &Arc<Document>| is_same(other, document);
        if let Some(current) = snapshot.documents().into_iter().find(same) {
            current.encode(encoded);
        }
        snapshot.views().trim(snapshot.settings().views);
    }
}

/// The first list that lacks its variants.
fn lacking(snapshot: &Snapshot) -> Option<Arc<Document>> {
    let main = snapshot.document();
    if main.lacks_encodings() {
        return Some(Arc::clone(main));
    }
    let mut documents = snapshot.documents().into_iter();
    documents.find(|document| document.lacks_encodings())
}

/// Whether two lists are the very bytes, not equal ones, for they are shared while the
/// list is the same.
fn is_same(one: &Document, other: &Document) -> bool {
    one.body().as_ptr() == other.body().as_ptr()
}

/// Whether there is still someone to whom this list would be sent.
fn is_wanted(cache: &Weak<Cache>, document: &Document) -> bool {
    let current = |cache: Arc<Cache>| {
        let is_served = || {
            let documents = cache.load().documents();
            documents.iter().any(|other| is_same(other, document))
        };
        !cache.tasks.stopped() && is_served()
    };
    cache.upgrade().is_some_and(current)
}
