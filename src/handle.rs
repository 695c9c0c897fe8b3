//! `ModelsCache`: the handle to look at the list and to steer what renews it.

use std::{error::Error, fmt, sync::Arc};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    cache::{self, Cache, Slot},
    error::{BuildError, ProviderError},
    provider::Provider,
    snapshot::{ModelsSnapshot, Snapshot},
    status::Status,
};

/// A handle on the cache behind a layer. Cheap to clone; clones are the same cache.
///
/// A handle keeps the cache and its background work alive, as a layer does.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
///
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::fixed("house", [Model::new("small")]))
///     .build()?;
///
/// // Route by the very table that is listed:
/// let snapshot = layer.cache().snapshot();
/// let model = snapshot.get("house/small").ok_or("not listed")?;
/// assert_eq!((model.provider(), model.upstream_id()), ("house", "small"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelsCache(pub(crate) Arc<Cache>);

/// What "ready" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// Every provider was attempted once, whether it gave a list or not.
    Attempted,
    /// At least one provider has a list, or there are no providers.
    Listing,
}

impl ModelsCache {
    /// The list as it stands. Takes no lock.
    pub fn snapshot(&self) -> ModelsSnapshot {
        self.0.snapshot()
    }

    /// How the providers stand.
    pub fn status(&self) -> Status {
        Status::of(&self.0)
    }

    /// Whether the cache is ready in this sense.
    pub fn is_ready(&self, readiness: Readiness) -> bool {
        readiness.holds(&self.0.load())
    }

    /// Waits until the cache is ready in this sense, beginning the first attempts
    /// where nobody has. `false`: it was shut down before.
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, when there is something to fetch.
    pub async fn ready(&self, readiness: Readiness) -> bool {
        let mut news = self.0.news();
        let stop = self.0.tasks().stop().clone();
        self.0.attend();
        let ready = news.wait_for(|snapshot| readiness.holds(&snapshot.0));
        let ready = stop.run_until_cancelled(ready).await.is_some();
        ready || self.is_ready(readiness)
    }

    /// Fetches every provider's list now, due or not, and waits until what came is
    /// published. Fetches already in the air are joined, not repeated.
    ///
    /// # Errors
    ///
    /// Names every provider that gave no list. What the others gave is published
    /// all the same.
    ///
    /// # Cancel safety
    ///
    /// The fetches go on when the caller leaves.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn refresh(&self) -> Result<(), RefreshError> {
        let flights = self.0.fetch(|slot| slot.provider.declared().is_none());
        let failures = landed(flights).await;
        if failures.is_empty() {
            Ok(())
        } else {
            Err(RefreshError { failures })
        }
    }

    /// Fetches one provider's list now, as [`refresh`](Self::refresh) does.
    ///
    /// `Ok(false)`: there is no provider of this name whose list is fetched.
    ///
    /// # Errors
    ///
    /// The provider gave no list; the one there was stays.
    ///
    /// # Cancel safety
    ///
    /// The fetch goes on when the caller leaves.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn refresh_provider(&self, name: &str) -> Result<bool, ProviderError> {
        let fetched = |slot: &Slot| slot.provider.declared().is_none();
        let flights = self
            .0
            .fetch(|slot| slot.provider.name() == name && fetched(slot));
        let known = !flights.is_empty();
        match landed(flights).await.pop() {
            Some(error) => Err(error),
            None => Ok(known),
        }
    }

    /// Publishes once more, so that an [enricher](crate::Enrich) whose generation has
    /// changed is asked again. Models of which it says the same as before stay as they are,
    /// byte for byte.
    ///
    /// # Cancel safety
    ///
    /// What a caller that leaves has begun is done with the next publication.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, when the list is large.
    pub async fn enrich_again(&self) {
        self.0.publish_again().await;
    }

    /// Makes a provider's list due: the refresher, or the next request, fetches it. A
    /// fetch in the air may have read the list before, and is followed by another.
    /// Until then the list there is stays; a provider that is failing is left alone
    /// for as long as it was to be.
    ///
    /// `false`: there is no provider of this name.
    pub fn invalidate(&self, name: &str) -> bool {
        self.0.invalidate(name)
    }

    /// Puts these providers in the place of those there are, in one publication.
    ///
    /// A provider that offers the same as one there was keeps its list: a clone of
    /// it, whatever its options, or one that was built alike from the same
    /// configuration. Every other one starts anew, and what is removed is gone when
    /// this comes back. A fetch in the air for a provider that is gone is dropped,
    /// and what it might have brought is never listed.
    ///
    /// # Errors
    ///
    /// Something set of a provider cannot work; nothing has changed then.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the change is made and published, also when the caller leaves.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn set_providers(
        &self,
        providers: impl IntoIterator<Item = Provider>,
    ) -> Result<(), BuildError> {
        self.0.replace(providers.into_iter().collect())?;
        let _ = self.0.publish_soon().await; // lost only with the runtime
        Ok(())
    }

    /// The lists from now on, whenever what is listed has changed.
    pub fn subscribe(&self) -> Updates {
        let mut news = self.0.news();
        let seen = news.borrow_and_update().clone();
        Updates { news, seen }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Readiness {
    /// The readiness as one word, such as `attempted`. It never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::Listing => "listing",
        }
    }

    fn holds(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Attempted => snapshot.standing.settled,
            Self::Listing => snapshot.standing.listing,
        }
    }
}

/// Waits for all flights, and collects how those ended that failed.
async fn landed(
    flights: Vec<(Arc<str>, Option<crate::flight::Flight<cache::Outcome>>)>,
) -> Vec<ProviderError> {
    let ends = flights.into_iter().map(|(provider, flight)| async move {
        let outcome = match flight {
            Some(flight) => flight.landed().await,
            None => None,
        };
        outcome.unwrap_or_else(|| Err(cache::lost(provider))).err()
    });
    join_all(ends).await.into_iter().flatten().collect()
}

// ===== Updates =====

/// The changes of a list, from [`ModelsCache::subscribe`].
///
/// Only the latest list is kept for a subscriber that is slow. A subscription does
/// not keep the cache alive.
#[derive(Clone, Debug)]
pub struct Updates {
    news: watch::Receiver<ModelsSnapshot>,
    seen: ModelsSnapshot,
}

impl Updates {
    /// The next list that differs from the last one seen here, or `None` once the
    /// cache is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub async fn next(&mut self) -> Option<ModelsSnapshot> {
        let seen = self.seen.etag();
        let news = self.news.wait_for(|news| news.etag() != seen).await.ok()?;
        let news = news.clone();
        self.seen = news.clone();
        Some(news)
    }
}

// ===== RefreshError =====

/// Which providers gave no list when all were asked.
#[derive(Clone, Debug)]
pub struct RefreshError {
    failures: Vec<ProviderError>,
}

impl RefreshError {
    /// The failures, one a provider.
    pub fn failures(&self) -> &[ProviderError] {
        &self.failures
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.failures.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}{failure}")?;
        }
        Ok(())
    }
}

impl Error for RefreshError {}
