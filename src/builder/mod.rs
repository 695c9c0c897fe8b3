//! `Builder`: configures a layer, and builds it with or without a refresher.

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
/// Every setting has a default. [`build`](Self::build) and [`spawn`](Self::spawn) validate all
/// of them, providers included. A setting that cannot have an effect beside the others is an
/// error. Unless stated otherwise, a duration is from 1 ms to 365 days.
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
    /// The setters that were called and depend on another setting to have an effect.
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

    /// Adds a provider. The list follows the order of declaration. If two providers list the
    /// same id, the one declared first keeps it.
    ///
    /// Names must be unique.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// Adds providers, in this order. See [`provider`](Self::provider).
    pub fn providers(mut self, providers: impl IntoIterator<Item = Provider>) -> Self {
        self.providers.extend(providers);
        self
    }

    /// Sets the interval between successful fetches of a provider's list, with ± 10 % jitter.
    /// The default is 300 s.
    ///
    /// [`Provider::refresh_interval`] overrides it per provider. An error with
    /// [`without_cache`](Self::without_cache).
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self.explicit.push("refresh_interval");
        self
    }

    /// Disables caching: every request fetches the lists of all providers that are not in
    /// backoff, and waits for them up to the [`miss_timeout`](Self::miss_timeout).
    ///
    /// There is still at most one fetch per provider at a time, shared by all waiting
    /// requests, and a failed fetch still keeps the last good list. [`spawn`](Self::spawn)
    /// fetches nothing in the background. A refresh interval and
    /// [`allow_refresh`](Self::allow_refresh) have no effect and are errors.
    pub fn without_cache(mut self) -> Self {
        self.without_cache = true;
        self
    }

    /// Sets how long requests wait for a provider's first attempt, measured from its start.
    /// The default is 1.5 s, because coding agents give up after 3 s.
    pub fn miss_timeout(mut self, timeout: Duration) -> Self {
        self.miss_timeout = timeout;
        self
    }

    /// Sets the timeout of a fetch, all pages included. The default is 15 s.
    ///
    /// The response headers of each page of an HTTP provider must arrive within 5 s.
    /// [`Provider::timeout`] overrides both per provider.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// Sets the delay after a provider's first failure. The default is 1 s.
    ///
    /// The delay doubles with each further failure, up to the refresh interval. It has jitter
    /// between half and all of it; once it reaches the interval, ± 10 %. After a 401, a 403 or a
    /// failed credential hook, it is the interval from the first failure on.
    pub fn backoff(mut self, first: Duration) -> Self {
        self.backoff = first;
        self
    }

    /// Sets the upper limit for a provider's `Retry-After` (RFC 9110, section 10.2.3). A longer
    /// one is shortened to it. The default is 1 h; zero ignores `Retry-After`.
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// Sets how long a provider's list is served after it was last confirmed. With `None` it
    /// is served forever. The default is 24 h.
    ///
    /// Must be more than 1.1 times every refresh interval, so that a list never expires before
    /// it is due. A [declared](Provider::fixed) list does not expire.
    pub fn max_stale(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_stale = age.into();
        self
    }

    /// Accepts an empty list from a provider that had models. By default (`false`) such a
    /// list is a failure, and the last good list is kept.
    pub fn accept_empty(mut self, accept: bool) -> Self {
        self.accept_empty = accept;
        self
    }

    /// Sets the share of its models that a provider's list may lose at once, at least 0 and
    /// less than 1. The default is 0.8; `None` accepts every list.
    ///
    /// If a list of 20 or more models loses a larger share, the fetch fails, the last good
    /// list is kept, and the list is fetched again after the [backoff](Self::backoff). The
    /// next list that arrives is accepted.
    pub fn max_shrink(mut self, share: impl Into<Option<f64>>) -> Self {
        self.max_shrink = share.into();
        self
    }

    /// Sets whether to serve the list while a provider has no list. With `true`, the
    /// default, the response is a 200 marked as `detail=partial` in `Cache-Status`; with
    /// `false` it is a 503. If the partial list is empty, it is a 503 in either case.
    pub fn serve_partial(mut self, serve: bool) -> Self {
        self.serve_partial = serve;
        self
    }

    /// Sets how many fetches start at once, from 1 to 65,536. The default is 16.
    ///
    /// A fetch that takes longer than 250 ms makes room for the next, so a hung provider does
    /// not delay others.
    pub fn max_concurrent_fetches(mut self, fetches: usize) -> Self {
        self.max_concurrent_fetches = fetches;
        self
    }

    /// Sets the maximum size of a provider's decoded list in bytes, all pages together. A
    /// larger one is a failure. The default is 16 MiB; from 1 byte to 1 GiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.bounds.body = bytes;
        self
    }

    /// Sets the maximum number of models per provider. A longer list is a failure. The default
    /// is 100,000; at least 1.
    pub fn max_models(mut self, models: usize) -> Self {
        self.bounds.models = models;
        self
    }

    /// Sets the maximum number of pages per list. A list with more pages is a failure. The
    /// default is 1,000; at least 1.
    pub fn max_pages(mut self, pages: usize) -> Self {
        self.bounds.pages = pages;
        self
    }

    /// Sets the `Cache-Control` of successful responses (RFC 9111, section 5.2.2). The default
    /// is `private, no-cache`: a client may store the list, and revalidates it by its `ETag`.
    /// Errors are `no-store`.
    pub fn cache_control(mut self, value: HeaderValue) -> Self {
        self.cache_control = value;
        self
    }

    /// Names stale and missing providers to clients in the header `x-models-incomplete`, a
    /// structured list (RFC 8941) such as `"lab";missing, "openai";stale`. The default is
    /// `false`.
    ///
    /// A caller with a [view](crate::View) sees only stale providers of which it sees a model.
    /// A refused caller sees none.
    pub fn expose_incomplete(mut self, expose: bool) -> Self {
        self.expose_incomplete = expose;
        self
    }

    /// Stops all background work when this token is cancelled. The layer then serves the lists
    /// that it has, and fetches no more.
    ///
    /// The cache uses a child token, so it never cancels this one.
    pub fn cancellation_token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Seeds the jitter of all delays, so that tests are deterministic.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }
}
