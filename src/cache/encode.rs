//! Compresses published lists in the background.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::Cache;
use crate::{
    clock, compress,
    encoding::Coding,
    snapshot::Snapshot,
    tasks::{Tasks, compute_apart},
    variants::Variants,
};

/// After this time another task may start: the previous one was lost with its runtime.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Cache {
    /// Compresses the lists that have no encoded variants yet, one list after the other, in
    /// a task of its own. The variants of a list become available all at once; until then
    /// identity is served. Lists that are replaced in the meantime are skipped.
    pub(crate) fn encode_soon(self: &Arc<Self>) {
        if first_without_encodings(&self.load()).is_none()
            || self.tasks.stopped()
            || !Tasks::has_runtime()
        {
            return; // a layer of declared lists also responds outside a runtime
        }
        let now = clock::now();
        let (_, Some(guard)) = self.encoding.join(now, now + TIMEOUT) else {
            return;
        };
        let cache = Arc::downgrade(self);
        let stop = self.tasks.stop().clone();
        self.tasks.spawn_until(stop, async move {
            while let Some(variants) = next_to_encode(&cache) {
                let work = {
                    let (variants, cache) = (Arc::clone(&variants), Weak::clone(&cache));
                    move || {
                        let stopped = || !is_wanted(&cache, &variants);
                        compress::encode(variants.body(), variants.level(), stopped)
                    }
                };
                let encoded = AssertUnwindSafe(compute_apart(work)).catch_unwind().await;
                let Some(cache) = cache.upgrade() else { return };
                match encoded {
                    Ok(Some(encoded)) => cache.put_encoded(&variants, &encoded),
                    Ok(None) => {} // replaced in the meantime
                    Err(_) => {
                        // Store no variants: the same list would fail again.
                        let bytes = variants.body().len();
                        tracing::error!(bytes, "failed to compress a model list");
                        cache.put_encoded(&variants, &[]);
                    }
                }
            }
            guard.complete(());
            // A list may have been published after the last check, while this task still
            // held the flight.
            if let Some(cache) = cache.upgrade() {
                cache.encode_soon();
            }
        });
    }

    /// Stores the variants wherever the same body is still served: a newer snapshot may
    /// share the body under different headers.
    fn put_encoded(&self, variants: &Variants, encoded: &[(Coding, Bytes)]) {
        loop {
            let snapshot = self.snapshot.load_full();
            let same = |other: &Arc<Variants>| is_same(other, variants);
            if let Some(current) = snapshot.all_variants().into_iter().find(same) {
                current.encode(encoded.to_vec());
            }
            snapshot.views().trim(snapshot.settings().views);
            if Arc::ptr_eq(&snapshot, &self.load()) {
                return;
            }
        }
    }
}

fn next_to_encode(cache: &Weak<Cache>) -> Option<Arc<Variants>> {
    first_without_encodings(&cache.upgrade()?.load())
}

/// The first list that has no encoded variants yet.
fn first_without_encodings(snapshot: &Snapshot) -> Option<Arc<Variants>> {
    let main = snapshot.variants();
    if main.lacks_encodings() {
        return Some(Arc::clone(main));
    }
    let mut all_variants = snapshot.all_variants().into_iter();
    all_variants.find(|variants| variants.lacks_encodings())
}

/// Whether two lists share their bytes. Compares addresses, because an unchanged body is
/// shared between snapshots.
fn is_same(one: &Variants, other: &Variants) -> bool {
    one.body().as_ptr() == other.body().as_ptr()
}

/// Whether this list is still served.
fn is_wanted(cache: &Weak<Cache>, variants: &Variants) -> bool {
    let current = |cache: Arc<Cache>| {
        let is_served = || {
            let all_variants = cache.load().all_variants();
            all_variants.iter().any(|other| is_same(other, variants))
        };
        !cache.tasks.stopped() && is_served()
    };
    cache.upgrade().is_some_and(current)
}
