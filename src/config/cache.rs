//! `StaticModelsCacheConfig`: the settings of the cache.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::{
    MaxStale, OverrideConfig, ProviderConfig, ViewConfig, duration, overrides,
    reference::check_text,
};
use crate::{
    builder::Builder, error::BuildError, layer::StaticModelsCacheLayer, provider::check_duration,
    render::ClientDialect, snapshot::View,
};

/// The settings of a [`StaticModelsCacheLayer`] as they stand in a file.
///
/// What is absent keeps its default, an unknown field is an error, and durations are
/// text: `"5m"`, `"1500ms"`, `"1h 30m"`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_models_cache::StaticModelsCacheConfig;
///
/// let config: StaticModelsCacheConfig = toml::from_str(
///     r#"
///     refresh_interval = "10m"
///     paths = ["/v1/models", "/api/v1/models"]
///
///     [[providers]]
///     name = "house"
///     models = ["small", "large"]
///     "#,
/// )?;
/// let (layer, refresher) = config.builder()?.spawn()?;
/// assert_eq!(layer.cache().snapshot().len(), 2);
/// # refresher.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// In code, set what you need and leave the rest: `StaticModelsCacheConfig {
/// accept_empty: Some(true), ..Default::default() }`. Fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticModelsCacheConfig {
    /// How long a list is good, from `"1ms"` to a year. The default is `"5m"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub refresh_interval: Option<Duration>,
    /// The same in seconds, where 0 switches caching off, as
    /// [`Builder::without_cache`] does. Only one of both may be set.
    #[serde(default)]
    pub refresh_interval_secs: Option<u64>,
    /// How long a provider's first attempt is waited for. The default is `"1500ms"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub miss_timeout: Option<Duration>,
    /// How long a fetch may take in all. The default is `"15s"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub fetch_timeout: Option<Duration>,
    /// The pause after a first failure. The default is `"1s"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub backoff: Option<Duration>,
    /// The longest `Retry-After` that is kept to, up to a year; `"0s"` ignores them.
    /// The default is `"1h"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub max_retry_after: Option<Duration>,
    /// How long after its last success a list is dropped, or `"off"`. The default is
    /// `"24h"`.
    #[serde(default)]
    pub max_stale: Option<MaxStale>,
    /// The paths of the list. The default is `["/v1/models"]`.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// The paths of the list in Gemini's dialect. The default is `["/v1beta/models"]`.
    #[serde(default)]
    pub gemini_paths: Option<Vec<String>>,
    /// What the paths of Ollama's API begin with. The default is `["/api"]`.
    #[serde(default)]
    pub ollama_paths: Option<Vec<String>>,
    /// The dialects in which clients get the list, by the names of [`ClientDialect`]. The
    /// default is `["openai", "anthropic", "gemini"]`.
    #[serde(default)]
    pub client_dialects: Option<Vec<ClientDialect>>,
    /// Further names of models: the name, and the id under which the model is listed.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Whether Anthropic's clients see every model under a name with `claude` in it. The
    /// default is `false`.
    #[serde(default)]
    pub claude_aliases: Option<bool>,
    /// What Codex tells a model of its work.
    #[serde(default)]
    pub codex_instructions: Option<String>,
    /// What [named views](Self::named_views) see, by the view's name. Who has which is for
    /// a [hook](Builder::views) to say.
    #[serde(default)]
    pub views: BTreeMap<String, ViewConfig>,
    /// The headers by which callers are told apart where there are views. The default is
    /// `["authorization"]`.
    #[serde(default)]
    pub view_headers: Option<Vec<String>>,
    /// How many views are kept. The default is 1,000.
    #[serde(default)]
    pub max_views: Option<usize>,
    /// How many bytes the lists of all views may take. The default is 64 MiB.
    #[serde(default)]
    pub max_view_bytes: Option<usize>,
    /// Whether an empty list after a full one is taken for meant. The default is
    /// `false`.
    #[serde(default)]
    pub accept_empty: Option<bool>,
    /// Whether the list is served while a provider is missing in it. The default is
    /// `true`.
    #[serde(default)]
    pub serve_partial: Option<bool>,
    /// How many fetches begin at once. The default is 16.
    #[serde(default)]
    pub max_concurrent_fetches: Option<usize>,
    /// How many bytes of a provider's decoded answer are read. The default is 16 MiB.
    #[serde(default)]
    pub max_bytes: Option<usize>,
    /// How many models of a provider are taken. The default is 100,000.
    #[serde(default)]
    pub max_models: Option<usize>,
    /// How many pages of a provider's list are asked for. The default is 1,000.
    #[serde(default)]
    pub max_pages: Option<usize>,
    /// The `Cache-Control` of the answers. The default is `"private, no-cache"`.
    #[serde(default)]
    pub cache_control: Option<String>,
    /// Whether stale and missing providers are named to clients, in
    /// `x-models-incomplete`. The default is `false`.
    #[serde(default)]
    pub expose_incomplete: Option<bool>,
    /// Facts that go before what providers tell of their models.
    #[serde(default)]
    pub overrides: Vec<OverrideConfig>,
    /// The catalogue by which models are described where their providers are silent.
    #[cfg(feature = "catalog")]
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    #[serde(default)]
    pub catalog: Option<super::CatalogConfig>,
    /// The providers; their order is that of the list.
    #[serde(default)]
    pub providers: Vec<ProviderConfig>,
}

impl StaticModelsCacheConfig {
    /// A builder with these settings and, in this order, these providers.
    ///
    /// A provider with a `base_url` is asked by a client of the crate's own, which
    /// takes feature `client`. To ask over a service of your own instead, take the
    /// providers out, and add each with [`ProviderConfig::build_with`].
    ///
    /// Environment variables that providers name are read here.
    ///
    /// # Errors
    ///
    /// A setting cannot work; the error names the field, the value unless it may be
    /// secret, and what would do. [`build`](Builder::build) and
    /// [`spawn`](Builder::spawn) check the rest and name fields as they stand here.
    pub fn builder(&self) -> Result<Builder, BuildError> {
        self.check_texts()?;
        let builder = self.with_interval(StaticModelsCacheLayer::builder())?;
        let builder = self.with_times(builder);
        let builder = self.with_answers(builder)?;
        let builder = self.with_names(builder);
        let builder = self.with_views(builder)?;
        let builder = self.with_bounds(builder);
        let builder = overrides::apply(&self.overrides, builder)?;
        let builder = self.with_catalog(builder)?;
        let providers = self.providers.iter().map(ProviderConfig::provider);
        Ok(builder.providers(providers.collect::<Result<Vec<_>, _>>()?))
    }

    /// The [views](Self::views), by name, for a [hook](Builder::views) to hand out.
    ///
    /// # Errors
    ///
    /// A glob cannot work; the error names it, and its view.
    pub fn named_views(&self) -> Result<BTreeMap<String, View>, BuildError> {
        let view = |(name, config): (&String, &ViewConfig)| {
            let view = config.view();
            let view = view.map_err(|error| error.within(format_args!("views.{name}")));
            Ok((name.clone(), view?))
        };
        self.views.iter().map(view).collect()
    }

    /// Checks every text in which a variable may be meant. Instructions are text for a model,
    /// which may well speak of variables.
    fn check_texts(&self) -> Result<(), BuildError> {
        check_text("cache_control", &self.cache_control)?;
        for (name, target) in &self.aliases {
            check_text("aliases", name)?;
            check_text("aliases", target)?;
        }
        for (name, view) in &self.views {
            let within = |error: BuildError| error.within(format_args!("views.{name}"));
            check_text("include", &view.include).map_err(within)?;
            check_text("exclude", &view.exclude).map_err(within)?;
        }
        Ok(())
    }

    fn with_interval(&self, builder: Builder) -> Result<Builder, BuildError> {
        let field = "refresh_interval_secs";
        match (self.refresh_interval, self.refresh_interval_secs) {
            (Some(_), Some(seconds)) => {
                let expected = "only one of it and refresh_interval";
                Err(BuildError::new(field, seconds, expected))
            }
            (None, None) => Ok(builder),
            (None, Some(0)) => Ok(builder.without_cache()),
            (Some(interval), None) => Ok(builder.refresh_interval(interval)),
            (None, Some(seconds)) => {
                let interval = Duration::from_secs(seconds);
                check_duration(field, Some(interval))?;
                Ok(builder.refresh_interval(interval))
            }
        }
    }

    fn with_times(&self, builder: Builder) -> Builder {
        let builder = apply(builder, self.miss_timeout, Builder::miss_timeout);
        let builder = apply(builder, self.fetch_timeout, Builder::fetch_timeout);
        let builder = apply(builder, self.backoff, Builder::backoff);
        let builder = apply(builder, self.max_retry_after, Builder::max_retry_after);
        apply(builder, self.max_stale, Builder::max_stale)
    }

    fn with_answers(&self, builder: Builder) -> Result<Builder, BuildError> {
        let cache_control = self.cache_control.as_ref().map(|text| {
            let value = HeaderValue::from_str(text).ok();
            let expected = "a header value such as \"private, no-cache\"";
            value
                .filter(|_| !text.trim().is_empty())
                .ok_or_else(|| BuildError::new("cache_control", text, expected))
        });
        let builder = apply(builder, cache_control.transpose()?, Builder::cache_control);
        let builder = apply(builder, self.paths.clone(), Builder::paths);
        let builder = apply(builder, self.gemini_paths.clone(), Builder::gemini_paths);
        let builder = apply(builder, self.ollama_paths.clone(), Builder::ollama_paths);
        let dialects = self.client_dialects.clone();
        let builder = apply(builder, dialects, Builder::client_dialects);
        let instructions = self.codex_instructions.clone();
        let builder = apply(builder, instructions, Builder::codex_instructions);
        let builder = apply(builder, self.accept_empty, Builder::accept_empty);
        let builder = apply(builder, self.expose_incomplete, Builder::expose_incomplete);
        Ok(apply(builder, self.serve_partial, Builder::serve_partial))
    }

    fn with_names(&self, builder: Builder) -> Builder {
        let builder = self
            .aliases
            .iter()
            .fold(builder, |builder, (name, target)| {
                builder.alias(name.clone(), target.clone())
            });
        apply(builder, self.claude_aliases, Builder::claude_aliases)
    }

    fn with_views(&self, builder: Builder) -> Result<Builder, BuildError> {
        self.named_views()?;
        let name = |text: &String| {
            let name = HeaderName::from_bytes(text.as_bytes());
            let expected = "names of headers, such as authorization";
            name.map_err(|_| BuildError::new("view_headers", text, expected))
        };
        let headers = (self.view_headers.as_ref())
            .map(|all| all.iter().map(name).collect::<Result<Vec<_>, _>>());
        let builder = apply(builder, headers.transpose()?, Builder::view_headers);
        let builder = apply(builder, self.max_views, Builder::max_views);
        Ok(apply(builder, self.max_view_bytes, Builder::max_view_bytes))
    }

    fn with_bounds(&self, builder: Builder) -> Builder {
        let fetches = self.max_concurrent_fetches;
        let builder = apply(builder, fetches, Builder::max_concurrent_fetches);
        let builder = apply(builder, self.max_bytes, Builder::max_bytes);
        let builder = apply(builder, self.max_models, Builder::max_models);
        apply(builder, self.max_pages, Builder::max_pages)
    }
}

fn apply<T>(
    builder: Builder,
    value: Option<T>,
    set: impl FnOnce(Builder, T) -> Builder,
) -> Builder {
    match value {
        Some(value) => set(builder, value),
        None => builder,
    }
}
