//! `ModelsCache`: the handle to look at the list and to steer what renews it.

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
    /// Every provider was attempted once, whether it gave a list or not. Once true, this
    /// stays true: it is the one for a readiness probe, for it does not take all replicas
    /// out of service when the providers fail.
    Attempted,
    /// At least one provider has a list, or there are no providers. This turns false when
    /// the last list becomes [too old](crate::Builder::max_stale), on all replicas at about
    /// the same time: it is for a start-up that waits for a first list, and not for a probe.
    AnyProvider,
}

impl ModelsCache {
    /// The current list.
    ///
    /// This costs an atomic load. Without a refresher it also starts the fetches that are
    /// due, as a request does, and does not wait for them: so a gateway that only routes by
    /// the snapshot keeps it fresh.
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

    /// The state of the cache and its providers.
    pub fn status(&self) -> Status {
        self.0.look();
        Status::of(&self.0)
    }

    /// Whether the cache is ready in this sense.
    pub fn is_ready(&self, readiness: Readiness) -> bool {
        match readiness {
            Readiness::Attempted if self.0.was_attempted() => true,
            _ => readiness.holds(&self.0.load()),
        }
    }

    /// Waits until the cache is ready in this sense, and meanwhile starts what is due: also
    /// without a refresher. `false`: it was shut down before.
    ///
    /// # Cancel safety
    ///
    /// A caller that leaves changes nothing.
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
            // Neither fails: the handle keeps the cache, and so the senders.
            let (update, change) = (pin!(updates.changed()), pin!(changes.changed()));
            let change = select(update, change);
            match next {
                Some(next) => _ = clock::until(next, change).await,
                None => _ = change.await,
            }
        }
    }

    /// Fetches every provider's list now, due or not, and waits until what came is
    /// published. Fetches already in the air are joined, not repeated.
    ///
    /// # Errors
    ///
    /// Names every provider that gave no list. What the others gave is published
    /// all the same. Outside a tokio runtime, and once the cache is shut down, every
    /// fetch is [cancelled](crate::ListErrorKind::Cancelled).
    ///
    /// # Cancel safety
    ///
    /// The fetches go on when the caller leaves.
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
    /// `Ok(false)`: there is no provider of this name whose list is fetched.
    ///
    /// # Errors
    ///
    /// The provider gave no list; the one there was stays.
    ///
    /// # Cancel safety
    ///
    /// The fetch goes on when the caller leaves.
    pub async fn refresh_provider(&self, name: &str) -> Result<bool, ProviderError> {
        let is_meant = |slot: &Slot| slot.provider.name() == name && !slot.provider.is_fixed();
        let fetches = self.0.fetch(is_meant);
        let known = !fetches.is_empty();
        match self.wait_for(fetches).await.pop() {
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
    /// Once polled, the publication goes on when the caller leaves.
    pub async fn reenrich(&self) {
        self.0.republish().await;
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
    /// A provider of the same name and address as one before keeps its list. Where its
    /// credential or an option has changed that decides what it lists, that list is
    /// [superseded](crate::ProviderStatus::superseded): it is served as stale, and fetched
    /// again at once; a fetch in flight with the old credential is dropped. What a changed
    /// filter leaves out is gone at once. A provider with another address, or of another
    /// service where its address is not known, starts without a list. What is removed is
    /// gone when this completes, and what a fetch of it might have brought is never listed.
    ///
    /// # Errors
    ///
    /// Something set of a provider cannot work; nothing has changed then.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the change is made and published, also when the caller leaves.
    ///
    /// Outside a tokio runtime the change is published by the next request inside one.
    pub async fn set_providers(
        &self,
        providers: impl IntoIterator<Item = Provider>,
    ) -> Result<(), BuildError> {
        self.0.replace(providers.into_iter().collect())?;
        self.0.published().await;
        Ok(())
    }

    /// The lists from now on, whenever what is listed has changed.
    pub fn subscribe(&self) -> Updates {
        let mut updates = self.0.updates();
        let seen = updates.borrow_and_update().1.clone();
        Updates { updates, seen }
    }

    /// Waits for these fetches, and collects how those ended that failed.
    async fn wait_for(&self, fetches: Vec<Fetch>) -> Vec<ProviderError> {
        let ends = fetches.into_iter().map(|fetch| self.end_of(fetch));
        join_all(ends)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect()
    }

    /// How a fetch ends: by its deadline, whatever becomes of its task.
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
    /// The readiness as one word, such as `attempted`. It never changes.
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

/// The changes of a list, from [`ModelsCache::subscribe`].
///
/// Only the latest list is kept for a subscriber that is slow. A subscription does
/// not keep the cache alive.
#[derive(Clone, Debug)]
pub struct Updates {
    updates: watch::Receiver<(u64, ModelsSnapshot)>,
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
        let differs = |(_, next): &(u64, ModelsSnapshot)| next.etag() != seen;
        let next = self.updates.wait_for(differs).await.ok()?.1.clone();
        self.seen = next.clone();
        Some(next)
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
