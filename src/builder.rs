//! `Builder`: settings in; a layer out, with or without the refresher.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use http::HeaderValue;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::{Cache, Policy, Renewal},
    document,
    entry::Bounds,
    error::BuildError,
    layer::StaticModelsCacheLayer,
    provider::{LONGEST, Provider, check_duration},
    refresher::Refresher,
    request::Paths,
    tasks::Tasks,
};

/// Builder of a [`StaticModelsCacheLayer`].
///
/// Every setting has a default; all are checked in [`build`](Self::build) and
/// [`spawn`](Self::spawn).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `spawn`"]
pub struct Builder {
    providers: Vec<Provider>,
    paths: Option<Vec<String>>,
    uncached: bool,
    refresh_interval: Duration,
    miss_timeout: Duration,
    fetch_timeout: Duration,
    headers_timeout: Duration,
    backoff: Duration,
    max_retry_after: Duration,
    max_stale: Option<Duration>,
    believe_empty: bool,
    serve_partial: bool,
    max_concurrent_fetches: usize,
    bounds: Bounds,
    cache_control: HeaderValue,
    name_providers: bool,
    token: Option<CancellationToken>,
    jitter_seed: Option<u64>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            providers: Vec::new(),
            paths: None,
            uncached: false,
            refresh_interval: Duration::from_secs(300),
            miss_timeout: Duration::from_millis(1500),
            fetch_timeout: Duration::from_secs(15),
            headers_timeout: Duration::from_secs(5),
            backoff: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(3600),
            max_stale: Some(Duration::from_secs(24 * 3600)),
            believe_empty: false,
            serve_partial: true,
            max_concurrent_fetches: 16,
            bounds: Bounds::default(),
            cache_control: HeaderValue::from_static("private, no-cache"),
            name_providers: false,
            token: None,
            jitter_seed: None,
        }
    }

    /// Adds a provider. The order decides the order of the list, and who has an id
    /// that two of them would be listed under.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// Adds providers, in this order.
    pub fn providers(mut self, providers: impl IntoIterator<Item = Provider>) -> Self {
        self.providers.extend(providers);
        self
    }

    /// Sets the paths of the list; the default is `/v1/models` alone. A model lies
    /// below each of them, under its id.
    pub fn paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Sets how long a list is good, give or take a tenth at random. The default is
    /// 300 s.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Switches caching off: each request asks all providers that are not being left
    /// alone after a failure, and waits for them, up to the
    /// [`miss_timeout`](Self::miss_timeout). There is still one fetch of a provider
    /// at a time, however many requests wait for it, and a failed one still leaves
    /// the last good list in place. There is nothing to do in the background then:
    /// [`spawn`](Self::spawn) spawns no refresher.
    pub fn uncached(mut self) -> Self {
        self.uncached = true;
        self
    }

    /// Sets for how long, from its beginning, a provider's first attempt is waited
    /// for by requests. The default is 1.5 s, because coding agents give up at 3 s.
    pub fn miss_timeout(mut self, timeout: Duration) -> Self {
        self.miss_timeout = timeout;
        self
    }

    /// Sets how long a fetch may take in all. The default is 15 s, of which the
    /// first 5 at the most may go by before the answer's headers are there.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// Sets the pause after a first failure. It doubles with each further one, up to
    /// the refresh interval, and anything from nothing to all of it is taken at
    /// random. The default is 1 s.
    pub fn backoff(mut self, first: Duration) -> Self {
        self.backoff = first;
        self
    }

    /// Sets the longest `Retry-After` that is kept to. The default is 1 h.
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// Sets how long after its last success a provider's list is dropped; `None`:
    /// never. The default is 24 h. It is longer than every refresh interval, so that
    /// no list is dropped for not having been asked for.
    pub fn max_stale(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_stale = age.into();
        self
    }

    /// Takes an empty list after a full one for meant. By default it counts as a
    /// failure, and the list stays.
    pub fn believe_empty(mut self, believe: bool) -> Self {
        self.believe_empty = believe;
        self
    }

    /// Serves the list while a provider is missing in it, marked as partial in
    /// `Cache-Status` (`true`, the default), or answers with 503 then (`false`).
    pub fn serve_partial(mut self, serve: bool) -> Self {
        self.serve_partial = serve;
        self
    }

    /// Sets how many fetches begin at once. The default is 16. One that takes longer
    /// than 250 ms makes room for the next: a hung provider does not hold up others.
    pub fn max_concurrent_fetches(mut self, fetches: usize) -> Self {
        self.max_concurrent_fetches = fetches;
        self
    }

    /// Sets how many bytes of a provider's decoded answer are read at the most. The
    /// default is 16 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.bounds.body = bytes;
        self
    }

    /// Sets how many models of a provider are taken at the most. The default is
    /// 100,000.
    pub fn max_models(mut self, models: usize) -> Self {
        self.bounds.models = models;
        self
    }

    /// Sets how many pages of a provider's list are asked for at the most; a list that
    /// has more is a failure. The default is 1,000.
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.bounds.pages = pages;
        self
    }

    /// Sets the `Cache-Control` of the answers. The default is `private, no-cache`:
    /// clients may keep the list, and ask with its `ETag` whether it still holds.
    pub fn cache_control(mut self, value: HeaderValue) -> Self {
        self.cache_control = value;
        self
    }

    /// Names stale and missing providers to clients, in `x-models-incomplete`: a
    /// structured list (RFC 8941) such as `"lab";missing, "openai";stale`. The
    /// default is not to name them.
    pub fn name_providers(mut self, name: bool) -> Self {
        self.name_providers = name;
        self
    }

    /// Ends all work of the cache when this token is cancelled.
    pub fn cancellation_token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Makes the random part of all delays repeat, for tests.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Builds the layer without a refresher: a list that is due is fetched again
    /// when a request comes, which is answered from what is there meanwhile.
    ///
    /// There is no task until then. Requests must come in a tokio runtime.
    ///
    /// # Errors
    ///
    /// A setting cannot work; the error names it.
    pub fn build(self) -> Result<StaticModelsCacheLayer, BuildError> {
        let (cache, paths) = self.cache(Renewal::OnDemand, None)?;
        Ok(StaticModelsCacheLayer::new(cache, paths))
    }

    /// Builds the layer and spawns the refresher, which begins to fetch at once.
    ///
    /// # Errors
    ///
    /// A setting cannot work, or there is no tokio runtime; the error names it.
    pub fn spawn(self) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        self.spawn_tracked(None)
    }

    /// Builds the layer and spawns the refresher, all of whose tasks `tracker` sees.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_on(
        self,
        tracker: &TaskTracker,
    ) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        self.spawn_tracked(Some(tracker.clone()))
    }

    fn spawn_tracked(
        self,
        tracker: Option<TaskTracker>,
    ) -> Result<(StaticModelsCacheLayer, Refresher), BuildError> {
        if !Tasks::can_spawn() {
            let expected = "a call inside of one, or `build` instead of `spawn`";
            return Err(BuildError::hidden("runtime", "no tokio runtime", expected));
        }
        let (cache, paths) = self.cache(Renewal::Background, tracker)?;
        let refresher = Refresher::spawn(&cache);
        Ok((StaticModelsCacheLayer::new(cache, paths), refresher))
    }

    fn cache(
        self,
        renewal: Renewal,
        tracker: Option<TaskTracker>,
    ) -> Result<(Arc<Cache>, Paths), BuildError> {
        for (field, value) in [
            ("refresh_interval", self.refresh_interval),
            ("miss_timeout", self.miss_timeout),
            ("fetch_timeout", self.fetch_timeout),
            ("backoff", self.backoff),
        ] {
            check_duration(field, Some(value))?;
        }
        check_duration("max_stale", self.max_stale)?;
        if !self.uncached {
            check_age(self.max_stale, self.refresh_interval)?;
        }
        if self.max_retry_after > LONGEST {
            let expected = "at most 365 days";
            return Err(BuildError::new(
                "max_retry_after",
                self.max_retry_after,
                expected,
            ));
        }
        let paths = self.paths.unwrap_or_else(|| vec!["/v1/models".to_owned()]);
        let paths = Paths::new(paths)?;
        let bounds = check_bounds(self.bounds)?;
        let policy = Policy {
            renewal: if self.uncached {
                Renewal::PerRequest
            } else {
                renewal
            },
            refresh_interval: self.refresh_interval,
            miss_timeout: self.miss_timeout,
            fetch_timeout: self.fetch_timeout,
            headers_timeout: self.headers_timeout,
            backoff: self.backoff,
            longest_retry_after: self.max_retry_after,
            max_stale: self.max_stale,
            believe_empty: self.believe_empty,
            serve_partial: self.serve_partial,
            fetches_at_once: NonZeroUsize::new(self.max_concurrent_fetches)
                .filter(|fetches| fetches.get() <= MOST_FETCHES)
                .ok_or_else(|| {
                    let value = self.max_concurrent_fetches;
                    let expected = format!("1 to {MOST_FETCHES}");
                    BuildError::new("max_concurrent_fetches", value, expected)
                })?,
            bounds,
            document: document::Settings {
                cache_control: self.cache_control,
                name_providers: self.name_providers,
            },
        };
        let stop = self.token.unwrap_or_default().child_token();
        let tasks = Tasks::new(stop, tracker);
        let cache = Cache::new(self.providers, policy, tasks, self.jitter_seed)?;
        Ok((cache, paths))
    }
}

/// Checks that a list is renewed before it is too old, jitter included.
fn check_age(max_stale: Option<Duration>, interval: Duration) -> Result<(), BuildError> {
    match max_stale {
        Some(age) if age <= interval.mul_f64(1.1) => {
            let expected = format!("more than the refresh interval of {interval:?} and a tenth");
            Err(BuildError::new("max_stale", age, expected))
        }
        _ => Ok(()),
    }
}

const MOST_FETCHES: usize = 65_536;

fn check_bounds(bounds: Bounds) -> Result<Bounds, BuildError> {
    const MOST: usize = 1 << 30;
    for (field, value) in [
        ("max_bytes", bounds.body),
        ("max_models", bounds.models),
        ("max_pages", bounds.pages),
    ] {
        if value == 0 || value > MOST {
            return Err(BuildError::new(field, value, format!("1 to {MOST}")));
        }
    }
    Ok(bounds)
}
