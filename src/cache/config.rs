//! What was set, once it has been checked.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{enrich::Enrichment, entry::Bounds, snapshot::ListingSettings};

#[derive(Clone, Debug)]
pub(crate) struct CacheConfig {
    pub(crate) refresh_mode: RefreshMode,
    pub(crate) refresh_interval: Duration,
    /// How long a provider's first attempt is waited for.
    pub(crate) miss_timeout: Duration,
    /// How long a fetch may take in all, and until its answer begins.
    pub(crate) fetch_timeout: Duration,
    pub(crate) headers_timeout: Duration,
    /// After the first failure; doubling from then on.
    pub(crate) backoff: Duration,
    pub(crate) longest_retry_after: Duration,
    pub(crate) max_stale: Option<Duration>,
    /// Whether an empty list after a full one is taken for meant.
    pub(crate) accept_empty: bool,
    /// The share of its models that a list may lose without being asked for once more.
    pub(crate) max_shrink: Option<f64>,
    /// Whether a list in which a provider is missing is served.
    pub(crate) serve_partial: bool,
    pub(crate) fetches_at_once: NonZeroUsize,
    pub(crate) bounds: Bounds,
    pub(crate) listing: Arc<ListingSettings>,
    pub(crate) enrichment: Arc<Enrichment>,
}

/// A shorter list may lose what share it will.
const MIN_SHRINK_CHECKED: usize = 20;

impl CacheConfig {
    /// Whether a list lost so many models that it has to be confirmed.
    pub(crate) fn has_shrunk(&self, before: usize, after: usize) -> bool {
        let lost = before.saturating_sub(after) as f64;
        self.max_shrink
            .is_some_and(|share| before >= MIN_SHRINK_CHECKED && lost > share * before as f64)
    }

    /// The same for the catalogue, which nobody waits for. What bounds providers says
    /// nothing of it, and it does not expire: an old one is better than none.
    pub(crate) fn for_catalog(&self) -> Self {
        Self {
            refresh_mode: match self.refresh_mode {
                RefreshMode::PerRequest => RefreshMode::OnDemand,
                refresh_mode => refresh_mode,
            },
            accept_empty: false,
            bounds: Bounds::default(),
            ..self.clone()
        }
    }
}

/// What makes a list be fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshMode {
    /// The refresher keeps every list fresh.
    Background,
    /// The first request after a list is due, which does not wait for it.
    OnDemand,
    /// Every request, which waits for it: caching is off.
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
