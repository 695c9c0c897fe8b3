//! `ModelsCache`: a handle to read the list and to control its refresh.

use std::{error::Error, fmt, pin::pin, sync::Arc};

use futures_util::future::{join_all, select};
use tokio::sync::watch;

use crate::{
    cache::{Cache, Fetch, Outcome, Slot, cancelled},
    clock,
    error::{BuildError, ListErrorKind, ProviderError},
    provider::Provider,
    snapshot::{ListedModel, ModelsSnapshot, Snapshot, View},
    status::Status,
};

/// A handle to the cache of a layer. Cheap to clone; clones share the cache.
///
/// Like a layer, a handle keeps the cache and its background work alive.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
///
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::fixed("house", [Model::new("small")]))
///     .build()?;
///
/// // Route by the same table that is listed:
/// let snapshot = layer.cache().snapshot();
/// let model = snapshot.get("house/small").ok_or("not listed")?;
/// assert_eq!((model.provider(), model.upstream_id()), ("house", "small"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelsCache(pub(crate) Arc<Cache>);

/// When a cache counts as ready, for [`ModelsCache::ready`] and [`ModelsCache::is_ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Readiness {
    /// A first attempt at every provider has ended, successful or not.
    ///
    /// Use this for readiness probes. Once true it stays true, so failing providers never take
    /// all replicas out of service.
    Attempted,
    /// At least one provider has a list, or there are no providers.
    ///
    /// Use this to wait for a first list at startup, not for probes: it turns false when the
    /// last list [expires](crate::Builder::max_stale), on all replicas at about the same time.
    AnyProvider,
}

impl ModelsCache {
    /// Returns the current list. This is an atomic load.
    ///
    /// Without a refresher it also starts the fetches that are due, as a request does, without
    /// waiting for them. A gateway that only routes by the snapshot thereby keeps it fresh.
    /// Outside a tokio runtime with a timer, no fetch starts.
    pub fn snapshot(&self) -> ModelsSnapshot {
        self.0.check_schedule();
        self.0.snapshot()
    }

    /// Finds the model that is listed under this id, and waits for it as a request for the
    /// list does: for first attempts in progress, up to the
    /// [`miss_timeout`](crate::Builder::miss_timeout). A model that is listed is never
    /// waited for.
    ///
    /// # Errors
    ///
    /// The model is [unknown](FindError::Unknown), or, while a provider has no list,
    /// [not known yet](FindError::NotYet): a gateway answers with 404 to the one and with 503
    /// to the other.
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing.
    pub async fn find(&self, listed_id: &str) -> Result<FoundModel, FindError> {
        self.find_visible(listed_id, &const { View::all() }).await
    }

    /// Finds a model as [`find`](Self::find) does, if `view` allows it. A model that it
    /// hides is indistinguishable from an unknown one, also in time.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing.
    pub async fn find_visible(
        &self,
        listed_id: &str,
        view: &View,
    ) -> Result<FoundModel, FindError> {
        let find = || {
            let snapshot = self.0.snapshot();
            let is_visible = |model| view.allows(&model);
            match snapshot.get(listed_id).is_some_and(is_visible) {
                true => Ok(FoundModel {
                    snapshot,
                    listed_id: listed_id.into(),
                }),
                false if snapshot.is_complete() => Err(FindError::Unknown),
                false => Err(FindError::NotYet),
            }
        };
        let found = find();
        if !view.sees_nothing()
            && let Some(wait) = self.0.check_schedule()
            && (wait.is_for_what_is_listed() || found.is_err())
        {
            wait.over(&self.0).await;
            return find();
        }
        found
    }

    /// Returns the state of the cache and its providers.
    pub fn status(&self) -> Status {
        self.0.look();
        Status::of(&self.0)
    }

    /// Returns whether the cache is ready. Starts no fetches.
    pub fn is_ready(&self, readiness: Readiness) -> bool {
        match readiness {
            Readiness::Attempted if self.0.was_attempted() => true,
            _ => readiness.holds(&self.0.load()),
        }
    }

    /// Waits until the cache is ready. Returns `false` if it was shut down first.
    ///
    /// Starts the fetches that are due while it waits, even without a refresher.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub async fn ready(&self, readiness: Readiness) -> bool {
        let stop = self.0.tasks().stop().clone();
        let ready = stop.run_until_cancelled(self.until_ready(readiness)).await;
        ready.is_some() || self.is_ready(readiness)
    }

    async fn until_ready(&self, readiness: Readiness) {
        let mut updates = self.0.updates();
        let mut changes = self.0.schedule_changes();
        loop {
            updates.mark_unchanged();
            changes.mark_unchanged();
            let next = self.0.run_schedule();
            if self.is_ready(readiness) {
                return;
            }
            // Neither fails: the handle keeps the cache alive, and with it the senders.
            let (update, change) = (pin!(updates.changed()), pin!(changes.changed()));
            let change = select(update, change);
            match next {
                Some(next) => _ = clock::until(next, change).await,
                None => _ = change.await,
            }
        }
    }

    /// Fetches the lists of all providers now, due or not, in backoff or not, and waits until
    /// the results are published. Fetches in flight are joined, not repeated.
    ///
    /// # Errors
    ///
    /// Returns the failure of every provider whose fetch failed. The lists of the others are
    /// published anyway. Outside a tokio runtime, and once the cache is shut down, every fetch
    /// fails as [cancelled](crate::error::ListErrorKind::Cancelled).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the fetches continue and are published.
    pub async fn refresh(&self) -> Result<(), RefreshError> {
        let fetches = self.0.fetch(|slot| !slot.provider.is_fixed());
        let failures = self.wait_for(fetches).await;
        if failures.is_empty() {
            Ok(())
        } else {
            Err(RefreshError { failures })
        }
    }

    /// Fetches one provider's list now, as [`refresh`](Self::refresh) does.
    ///
    /// Returns `Ok(false)` if there is no provider of this name, or if its list is declared.
    ///
    /// # Errors
    ///
    /// Returns an error if the fetch failed. The last good list is kept.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the fetch continues and is published.
    pub async fn refresh_provider(&self, name: &str) -> Result<bool, ProviderError> {
        let selects = |slot: &Slot| slot.provider.name() == name && !slot.provider.is_fixed();
        let fetches = self.0.fetch(selects);
        let known = !fetches.is_empty();
        match self.wait_for(fetches).await.pop() {
            Some(error) => Err(error),
            None => Ok(known),
        }
    }

    /// Publishes the list again, so that [enrichers](crate::enrich::Enrich) whose generation has
    /// changed describe all models again. Models whose descriptions stay the same keep their
    /// bytes. Fetches nothing.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the publication continues.
    pub async fn reenrich(&self) {
        self.0.republish().await;
    }

    /// Marks a provider's list as due, so that the refresher, or without one the next request,
    /// fetches it. The current list is served until then.
    ///
    /// A fetch in flight is followed by another, because it may have read the list before this
    /// call. A provider in backoff stays in backoff.
    ///
    /// Returns `false` if there is no provider of this name.
    pub fn invalidate(&self, name: &str) -> bool {
        self.0.invalidate(name)
    }

    /// Atomically replaces all providers, in one publication.
    ///
    /// - A provider with the name and address of a previous one keeps its list.
    /// - If its credential changed, or an option that affects what it lists, that list is
    ///   [superseded](crate::status::ProviderStatus::superseded): it is served as stale and fetched
    ///   again at once. A fetch in flight with the old credential is dropped. Models that a
    ///   changed filter excludes are removed at once.
    /// - A provider with another address, or with another service if its address is not known,
    ///   starts without a list.
    /// - Removed providers are no longer listed when this completes. A fetch of one that is
    ///   still in flight is never listed.
    ///
    /// Outside a tokio runtime, the next request inside one publishes the change.
    ///
    /// # Errors
    ///
    /// Returns an error if a provider's settings are invalid. Then nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the change is still made and published.
    pub async fn set_providers(
        &self,
        providers: impl IntoIterator<Item = Provider>,
    ) -> Result<(), BuildError> {
        self.0.replace(providers.into_iter().collect())?;
        self.0.published().await;
        Ok(())
    }

    /// Subscribes to the changes of the list that are published after this call.
    pub fn subscribe(&self) -> Updates {
        let mut updates = self.0.updates();
        let seen = updates.borrow_and_update().1.clone();
        Updates { updates, seen }
    }

    /// Waits for these fetches, and collects their failures.
    async fn wait_for(&self, fetches: Vec<Fetch>) -> Vec<ProviderError> {
        let ends = fetches.into_iter().map(|fetch| self.end_of(fetch));
        join_all(ends)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    /// Waits for a fetch, at most until its deadline, even if its task was lost.
    pub(crate) async fn end_of(&self, fetch: Fetch) -> Outcome {
        let Fetch { provider, flight } = fetch;
        let Some((flight, deadline)) = flight else {
            return Err(cancelled(provider));
        };
        match clock::until(deadline, flight.wait()).await {
            Some(ended) => ended.unwrap_or_else(|| Err(cancelled(provider))),
            None => {
                self.0.look();
                Err(ProviderError::new(provider, ListErrorKind::Timeout.into()))
            }
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Readiness {
    /// The readiness as a stable word: `attempted` or `listing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::AnyProvider => "any_provider",
        }
    }

    fn holds(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Attempted => snapshot.availability.settled,
            Self::AnyProvider => snapshot.availability.listing,
        }
    }
}

// ===== FoundModel =====

/// A model that was [found](ModelsCache::find), with the snapshot that lists it.
///
/// It keeps the memory of that snapshot: drop it once the request is routed.
#[derive(Clone, Debug)]
pub struct FoundModel {
    snapshot: ModelsSnapshot,
    listed_id: Box<str>,
}

impl FoundModel {
    /// The model.
    pub fn get(&self) -> ListedModel<'_> {
        let model = self.snapshot.get(&self.listed_id);
        model.expect("a snapshot never changes")
    }
}

/// Why a model was not [found](ModelsCache::find).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindError {
    /// No provider lists it, or it is not visible to the caller.
    Unknown,
    /// The same, while at least one provider has no list: it may be one of its models.
    NotYet,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no provider lists the model",
            Self::NotYet => "the model is not listed while a provider has no list",
        })
    }
}

impl Error for FindError {}

// ===== Updates =====

/// A subscription to changes of the list, from [`ModelsCache::subscribe`].
///
/// A slow subscriber skips to the latest list. A subscription does not keep the cache alive.
#[derive(Clone, Debug)]
pub struct Updates {
    updates: watch::Receiver<(u64, ModelsSnapshot)>,
    seen: ModelsSnapshot,
}

impl Updates {
    /// Waits for a list that differs from the last one that this subscription has seen, by its
    /// entity tag. Returns `None` once the cache is dropped.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: no change is lost if the future is dropped before it
    /// completes.
    pub async fn next(&mut self) -> Option<ModelsSnapshot> {
        let seen = self.seen.etag();
        let differs = |(_, next): &(u64, ModelsSnapshot)| next.etag() != seen;
        let next = self.updates.wait_for(differs).await.ok()?.1.clone();
        self.seen = next.clone();
        Some(next)
    }
}

// ===== RefreshError =====

/// The failures of [`ModelsCache::refresh`].
#[derive(Clone, Debug)]
pub struct RefreshError {
    failures: Vec<ProviderError>,
}

impl RefreshError {
    /// The failures, one per provider.
    pub fn failures(&self) -> &[ProviderError] {
        &self.failures
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.failures.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        Ok(())
    }
}

impl Error for RefreshError {}
