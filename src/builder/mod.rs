//! `Builder`: settings in; a layer out, with or without the refresher.

mod build;
mod listing;

use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use tokio_util::sync::CancellationToken;

use crate::{
    enrich::Enrichment,
    entry::Bounds,
    hook::Hooks,
    provider::{FETCH_TIMEOUT, HEADERS_TIMEOUT, Provider},
    render::{ClientDialect, CodexOptions, Dialects},
    request::PathConfig,
    snapshot::ViewBounds,
};

/// Builder of a [`StaticModelsCacheLayer`](crate::StaticModelsCacheLayer).
///
/// Every setting has a default; all are checked in [`build`](Self::build) and
/// [`spawn`](Self::spawn).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `spawn`"]
pub struct Builder {
    providers: Vec<Provider>,
    mounts: PathConfig,
    dialects: Dialects,
    hooks: Hooks,
    view_headers: Vec<HeaderName>,
    view_bounds: ViewBounds,
    aliases: Vec<(String, String)>,
    claude_aliases: bool,
    codex_options: CodexOptions,
    enrichment: Enrichment,
    catalog: Option<Provider>,
    without_cache: bool,
    refresh_interval: Duration,
    miss_timeout: Duration,
    fetch_timeout: Duration,
    headers_timeout: Duration,
    backoff: Duration,
    max_retry_after: Duration,
    max_stale: Option<Duration>,
    accept_empty: bool,
    max_shrink: Option<f64>,
    serve_partial: bool,
    max_concurrent_fetches: usize,
    bounds: Bounds,
    cache_control: HeaderValue,
    expose_incomplete: bool,
    token: Option<CancellationToken>,
    jitter_seed: Option<u64>,
    /// The setters that were called and have an effect only beside another one.
    explicit: Vec<&'static str>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            providers: Vec::new(),
            mounts: PathConfig::default(),
            dialects: Dialects::from_iter([
                ClientDialect::OpenAi,
                ClientDialect::Anthropic,
                ClientDialect::Gemini,
            ]),
            hooks: Hooks::default(),
            view_headers: vec![header::AUTHORIZATION],
            view_bounds: ViewBounds {
                views: 1000,
                bytes: 64 * 1024 * 1024,
            },
            aliases: Vec::new(),
            claude_aliases: false,
            codex_options: CodexOptions::default(),
            enrichment: Enrichment::default(),
            catalog: None,
            without_cache: false,
            refresh_interval: Duration::from_secs(300),
            miss_timeout: Duration::from_millis(1500),
            fetch_timeout: FETCH_TIMEOUT,
            headers_timeout: HEADERS_TIMEOUT,
            backoff: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(3600),
            max_stale: Some(Duration::from_secs(24 * 3600)),
            accept_empty: false,
            max_shrink: Some(0.8),
            serve_partial: true,
            max_concurrent_fetches: 16,
            bounds: Bounds::default(),
            cache_control: HeaderValue::from_static("private, no-cache"),
            expose_incomplete: false,
            token: None,
            jitter_seed: None,
            explicit: Vec::new(),
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

    /// Sets how long a list is good, give or take a tenth at random. The default is
    /// 300 s.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self.explicit.push("refresh_interval");
        self
    }

    /// Switches caching off: each request asks all providers that are not being left
    /// alone after a failure, and waits for them, up to the
    /// [`miss_timeout`](Self::miss_timeout). There is still one fetch of a provider
    /// at a time, however many requests wait for it, and a failed one still leaves
    /// the last good list in place. There is nothing to do in the background then:
    /// [`spawn`](Self::spawn) spawns no refresher. A refresh interval, or callers who may
    /// [refresh](Self::allow_refresh), have no effect then and are errors.
    pub fn without_cache(mut self) -> Self {
        self.without_cache = true;
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
    pub fn accept_empty(mut self, believe: bool) -> Self {
        self.accept_empty = believe;
        self
    }

    /// Sets which share of its models a provider's list may lose at once. A list that loses
    /// more, of 20 models or more, is first fetched once more after the
    /// [backoff](Self::backoff), and accepted if it is as short again. The default is 0.8;
    /// `None` accepts every list.
    pub fn max_shrink(mut self, share: impl Into<Option<f64>>) -> Self {
        self.max_shrink = share.into();
        self
    }

    /// Serves the list while a provider is missing in it, marked as partial in
    /// `Cache-Status` (`true`, the default), or answers with 503 then (`false`). A list that
    /// is empty then is answered with 503 in either case.
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
    ///
    /// A caller with a [view](crate::View) is told only the stale providers of which it sees a
    /// model, and a caller that is refused is told none.
    pub fn expose_incomplete(mut self, name: bool) -> Self {
        self.expose_incomplete = name;
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
}
