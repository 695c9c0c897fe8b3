//! `Builder`: settings in; a layer out, with or without the refresher.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, header, request::Parts};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::{Cache, Policy, Renewal},
    document::{self, Vary},
    enrich::{Enrich, Enrichment, Override, Which},
    entry::Bounds,
    error::{BoxError, BuildError},
    hook::Hooks,
    layer::StaticModelsCacheLayer,
    model::Model,
    provider::{LONGEST, Provider, check_duration},
    refresher::Refresher,
    render::{ClientDialect, Dialects, Style},
    request::{Mounts, Paths},
    service::Answerer,
    snapshot::{Aliases, Naming, Settings, View, ViewBounds},
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
    mounts: Mounts,
    dialects: Dialects,
    hooks: Hooks,
    view_headers: Vec<HeaderName>,
    view_bounds: ViewBounds,
    aliases: Vec<(String, String)>,
    claude_aliases: bool,
    style: Style,
    enrichment: Enrichment,
    catalog: Option<Provider>,
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
            mounts: Mounts::default(),
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
            style: Style::default(),
            enrichment: Enrichment::default(),
            catalog: None,
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
    ///
    /// Here the request chooses among the [dialects](Self::client_dialects). Gemini's and
    /// Ollama's have [paths](Self::gemini_paths) of their [own](Self::ollama_paths).
    pub fn paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the paths of the list in Gemini's dialect; the default is `/v1beta/models`
    /// alone.
    pub fn gemini_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.gemini = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what the paths of Ollama's API begin with, which are `/tags` and `/version`
    /// below it; the default is `/api` alone.
    pub fn ollama_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.mounts.ollama = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the dialects in which the list is there for clients. The default is OpenAI's,
    /// Anthropic's and Gemini's.
    ///
    /// Which one a request gets, its path decides first: below
    /// [`gemini_paths`](Self::gemini_paths) and [`ollama_paths`](Self::ollama_paths) it is
    /// theirs. At the other [paths](Self::paths) it is Codex's with the query parameter
    /// `client_version`, else Anthropic's with the header `anthropic-version`, else
    /// Gemini's with the header `x-goog-api-key`, else OpenAI's. A dialect that is off is
    /// passed over, and a request that is left over is the inner service's.
    ///
    /// Ollama's is off by default for its paths, which an inner service may have for
    /// something else; Codex's, because a model that is listed there is told
    /// [instructions](Self::codex_instructions) of yours in the place of Codex's own.
    ///
    /// A dialect costs nothing until it is first asked for. Then the first request waits
    /// for its list to be rendered, and from then on it is there when a list is published.
    pub fn client_dialects(mut self, all: impl IntoIterator<Item = ClientDialect>) -> Self {
        self.dialects = all.into_iter().collect();
        self
    }

    /// Sets which models each caller sees: `hook` looks at the head of each request for the
    /// list or for a model.
    ///
    /// It sees what layers around this one have put into the request's
    /// [extensions](http::Extensions), so authenticate there, and decide here. It runs in
    /// the request: look up what is known, and do no I/O. When it fails or panics, the
    /// caller gets status 500 and sees nothing.
    ///
    /// Lists are prepared once a [view](View), by its name, and kept within
    /// [`max_view_bytes`](Self::max_view_bytes). Each has its own `ETag`. A model that a
    /// caller may not see is answered like one that there is not, in body and headers.
    ///
    /// ```
    /// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, View};
    ///
    /// /// What an authentication layer has found out.
    /// #[derive(Clone)]
    /// struct Team(View);
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = StaticModelsCacheLayer::builder()
    ///     .provider(Provider::fixed("house", [Model::new("small")]))
    ///     .views(|request| {
    ///         let team = request.extensions.get::<Team>().ok_or("nobody is authenticated")?;
    ///         Ok(team.0.clone())
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn views(
        mut self,
        hook: impl Fn(&Parts) -> Result<View, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.set_views(hook);
        self
    }

    /// Names the headers by which callers are told apart, for the `Vary` of the answers
    /// where there are [views](Self::views) (RFC 9110, section 12.5.5). The default is
    /// `authorization`.
    pub fn view_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.view_headers = headers.into_iter().collect();
        self
    }

    /// Sets how many bytes the lists of all [views](Self::views) may take, in all dialects
    /// and codings. The default is 64 MiB. What was not asked for lately gives way, and is
    /// rendered again when it is asked for; one view is kept whatever it takes.
    pub fn max_view_bytes(mut self, bytes: usize) -> Self {
        self.view_bounds.bytes = bytes;
        self
    }

    /// Sets how many [views](Self::views) are kept at the most. The default is 1,000.
    pub fn max_views(mut self, views: usize) -> Self {
        self.view_bounds.views = views;
        self
    }

    /// Lists a model under a further name: `alias("gpt", "openai/gpt-5")`.
    ///
    /// The target is the id under which the model is listed. While it is, so is the alias,
    /// before all models, with everything that is known of the model; and it is found in
    /// [snapshots](crate::ModelsSnapshot::get). An alias goes before a model of the same
    /// name, which is not listed then: also while the target is not there, so that the name
    /// never means another model. Views see an alias where they see its model. The status
    /// [tells](crate::Status::aliases) what became of each.
    pub fn alias(mut self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.aliases.push((name.into(), target.into()));
        self
    }

    /// Lists every model for Anthropic's clients under a name with `claude` in it: as
    /// `claude-openai/gpt-5` what is listed as `openai/gpt-5` otherwise. The default is
    /// not to.
    ///
    /// For clients that show only such names. Models whose own name has it keep that, and
    /// so does one whose new name another model has. Both names are found in
    /// [snapshots](crate::ModelsSnapshot::get).
    pub fn claude_aliases(mut self, list: bool) -> Self {
        self.claude_aliases = list;
        self
    }

    /// Sets what Codex tells a model of its work, where it has taken the model from the
    /// list. The default is a few sentences for any agent that writes code.
    pub fn codex_instructions(mut self, text: impl Into<String>) -> Self {
        self.style.codex_instructions = text.into().into();
        self
    }

    /// Lets some callers have the providers asked at once: those for whom `hook` says so,
    /// when their request says `Cache-Control: no-cache` (RFC 9111, section 5.2.1.4) or has
    /// the query parameter `refresh=true`. By default nobody can.
    ///
    /// Such a request is answered when every provider has been asked that is not being left
    /// alone after a failure, or when the [`miss_timeout`](Self::miss_timeout) is over. It
    /// joins a fetch that is in the air, and a failure costs no list. The hook sees the head
    /// of the request, extensions included, and is asked only about those requests; when it
    /// panics, the answer is no.
    pub fn allow_refresh(mut self, hook: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.set_refresh(hook);
        self
    }

    /// Describes models by code of your own, as far as their providers are silent. Of two
    /// enrichers the one that was added first goes before the other.
    pub fn enrich(mut self, enricher: impl Enrich) -> Self {
        self.enrichment.enrichers.push(Arc::new(enricher));
        self
    }

    /// Sets facts of the model of this `provider/id`, over those of its provider:
    ///
    /// ```
    /// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = StaticModelsCacheLayer::builder()
    ///     .provider(Provider::fixed("lab", [Model::new("qwen-3")]).prefixed(false))
    ///     .override_model("lab/qwen-3", Model::description().with_context_length(32_768))
    ///     .build()?;
    /// let snapshot = layer.cache().snapshot();
    /// let model = snapshot.get("qwen-3").ok_or("not listed")?;
    /// assert_eq!(model.model().context_length(), Some(32_768));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The name has the provider in it whether the model is [listed](Provider::prefixed) so
    /// or not, and the id as it is listed. Each fact of the [description](Model::description)
    /// counts for itself, each price and each capability too; what it does not know stays as
    /// it is, but that a window leaves nothing over that is larger than itself to be taken in.
    /// Of two overrides of one model, the later goes before the earlier. What is
    /// listed, and under which id, does not depend on it, and an override of a model that is
    /// not there does nothing.
    ///
    /// A number of tokens that is 0 or no number of tokens, and a name that could not stand
    /// in a list, are found when the layer is built.
    pub fn override_model(mut self, name: impl Into<String>, facts: Model) -> Self {
        let which = Which::One(name.into());
        self.enrichment.overrides.push(Override { which, facts });
        self
    }

    /// Sets facts of all models whose `provider/id` one of the globs matches, as
    /// [`override_model`](Self::override_model) does of one: `"lab/qwen*"`. The case counts,
    /// and `*` stands for slashes, too.
    #[cfg(feature = "globs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "globs")))]
    pub fn override_models<G: Into<String>>(
        mut self,
        globs: impl IntoIterator<Item = G>,
        facts: Model,
    ) -> Self {
        let which = Which::Glob(globs.into_iter().map(Into::into).collect(), None);
        self.enrichment.overrides.push(Override { which, facts });
        self
    }

    #[cfg(feature = "catalog")]
    pub(crate) fn with_catalog(mut self, provider: Provider) -> Self {
        self.catalog = Some(provider);
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
        let answerer = self.answerer(Renewal::OnDemand, None)?;
        Ok(StaticModelsCacheLayer::new(answerer))
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
        let answerer = self.answerer(Renewal::Background, tracker)?;
        let refresher = Refresher::spawn(&answerer.cache().0);
        Ok((StaticModelsCacheLayer::new(answerer), refresher))
    }

    fn answerer(
        self,
        renewal: Renewal,
        tracker: Option<TaskTracker>,
    ) -> Result<Answerer, BuildError> {
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
        let paths = Paths::new(self.mounts, self.dialects)?;
        let bounds = check_bounds(self.bounds)?;
        check_view_bounds(self.view_bounds)?;
        let by_header = ClientDialect::ALL.into_iter();
        let by_header = by_header.filter(|dialect| self.dialects.has(*dialect));
        let by_view = Some(self.view_headers).filter(|_| self.hooks.has_views());
        let listing = Settings {
            document: document::Settings {
                cache_control: self.cache_control,
                name_providers: self.name_providers,
                vary: Vary {
                    dialect: by_header.filter_map(ClientDialect::header).collect(),
                    view: by_view.unwrap_or_default(),
                },
            },
            naming: Naming {
                aliases: Arc::new(Aliases::new(self.aliases)?),
                claude: self.claude_aliases,
            },
            style: self.style,
            views: self.view_bounds,
        };
        let enrichment = self.enrichment.checked()?;
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
            listing: Arc::new(listing),
            enrichment: Arc::new(enrichment),
        };
        let stop = self.token.unwrap_or_default().child_token();
        let tasks = Tasks::new(stop, tracker);
        let cache = Cache::new(
            self.providers,
            self.catalog,
            policy,
            tasks,
            self.jitter_seed,
        )?;
        Ok(Answerer::new(cache, paths, self.hooks))
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

fn check_view_bounds(bounds: ViewBounds) -> Result<(), BuildError> {
    for (field, value) in [
        ("max_views", bounds.views),
        ("max_view_bytes", bounds.bytes),
    ] {
        if value == 0 {
            return Err(BuildError::new(field, value, "at least 1"));
        }
    }
    Ok(())
}

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
