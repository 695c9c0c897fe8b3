//! `CacheConfig`: the validated settings of a cache.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{enrich::Enrichment, entry::Bounds, snapshot::ListingSettings};

#[derive(Clone, Debug)]
pub(crate) struct CacheConfig {
    pub(crate) refresh_mode: RefreshMode,
    pub(crate) refresh_interval: Duration,
    /// How long a request waits for a provider's first attempt, from the start of the
    /// attempt.
    pub(crate) miss_timeout: Duration,
    /// Limits for a whole fetch, and for the time until its response headers.
    pub(crate) fetch_timeout: Duration,
    pub(crate) headers_timeout: Duration,
    /// The delay after the first failure. It doubles with every further failure.
    pub(crate) backoff: Duration,
    pub(crate) longest_retry_after: Duration,
    pub(crate) max_stale: Option<Duration>,
    /// Whether an empty list from a provider that had models is accepted.
    pub(crate) accept_empty: bool,
    /// The share of its models that a list may lose before it has to be confirmed by a
    /// second fetch. `None`: no limit.
    pub(crate) max_shrink: Option<f64>,
    /// Whether the list is served while a provider is missing from it.
    pub(crate) serve_partial: bool,
    pub(crate) fetches_at_once: NonZeroUsize,
    pub(crate) bounds: Bounds,
    pub(crate) listing: Arc<ListingSettings>,
    pub(crate) enrichment: Arc<Enrichment>,
}

/// Lists with fewer models may shrink by any share.
const MIN_SHRINK_CHECKED: usize = 20;

impl CacheConfig {
    /// Whether a list lost so many models that it has to be confirmed by a second fetch.
    pub(crate) fn has_shrunk(&self, before: usize, after: usize) -> bool {
        let lost = before.saturating_sub(after) as f64;
        self.max_shrink
            .is_some_and(|share| before >= MIN_SHRINK_CHECKED && lost > share * before as f64)
    }

    /// The settings that apply to the catalogue. No request waits for it, the bounds for
    /// providers do not apply, and an empty list never replaces one with models. It does
    /// not expire either (see `Table::enforce`): an old catalogue is better than none.
    pub(crate) fn for_catalog(&self) -> Self {
        Self {
            refresh_mode: match self.refresh_mode {
                RefreshMode::PerRequest => RefreshMode::OnDemand,
                refresh_mode => refresh_mode,
            },
            accept_empty: false,
            max_stale: None,
            bounds: Bounds::default(),
            ..self.clone()
        }
    }
}

/// What triggers a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshMode {
    /// The refresher fetches lists in the background.
    Background,
    /// The first request after a list is due starts the fetch, and does not wait for it.
    OnDemand,
    /// Every request fetches and waits: caching is off.
    PerRequest,
}

impl RefreshMode {
    pub(crate) fn is_per_request(self) -> bool {
        self == Self::PerRequest
    }

    pub(crate) fn is_on_demand(self) -> bool {
        self == Self::OnDemand
    }
}
