//! The variants of a published list under content codings, made in the background.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::Cache;
use crate::{
    clock, compress, document::Document, encoding::Coding, snapshot::Snapshot, tasks::compute_apart,
};

/// After this time another task may encode: the one before was lost with its runtime.
const DEADLINE: Duration = Duration::from_secs(300);

impl Cache {
    /// Makes the variants of the lists that lack them, in a task of its own: until those
    /// of a list are there, all at once, identity is served. One list at a time, and what
    /// was replaced meanwhile is skipped.
    pub(crate) fn encode_soon(self: &Arc<Self>) {
        if lacking(&self.load()).is_none() || self.tasks.stopped() || !self.tasks.can_spawn() {
            return; // outside of a runtime a layer of declared lists still answers
        }
        let now = clock::now();
        let (_, Some(guard)) = self.encoding.join(now, now + DEADLINE) else {
            return;
        };
        let cache = Arc::downgrade(self);
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_until(stop, async move {
            while let Some(document) = next_to_encode(&cache) {
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
                    Ok(Some(encoded)) => cache.put_encoded(&document, &encoded),
                    Ok(None) => {} // replaced meanwhile: the next one is looked for
                    Err(_) => {
                        // Without variants: the same list would fail again.
                        let bytes = document.body().len();
                        tracing::error!(bytes, "a list could not be compressed");
                        cache.put_encoded(&document, &[]);
                    }
                }
            }
            guard.complete(());
            // A list that came since the last look found this task still encoding.
            if let Some(cache) = cache.upgrade() {
                cache.encode_soon();
            }
        });
    }

    /// Puts the variants of a list where its body is still served: its headers may have
    /// been made anew meanwhile.
    fn put_encoded(&self, document: &Document, encoded: &[(Coding, Bytes)]) {
        loop {
            let snapshot = self.snapshot.load_full();
            let same = |other: &Arc<Document>| is_same(other, document);
            if let Some(current) = snapshot.documents().into_iter().find(same) {
                current.encode(encoded.to_vec());
            }
            snapshot.views().trim(snapshot.settings().views);
            if Arc::ptr_eq(&snapshot, &self.load()) {
                return;
            }
        }
    }
}

fn next_to_encode(cache: &Weak<Cache>) -> Option<Arc<Document>> {
    lacking(&cache.upgrade()?.load())
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

/// Whether this list would still be sent.
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
