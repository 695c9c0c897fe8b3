//! `StaticModelsCacheConfig`: the settings of the cache in a configuration file.

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

/// The settings of a [`StaticModelsCacheLayer`] in a configuration file.
///
/// An absent field keeps its default, and an unknown field is an error. Durations are strings,
/// such as `"5m"`, `"1500ms"` or `"1h 30m"`, from `"1ms"` to a year. The method of [`Builder`]
/// that a field sets describes it in full.
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
/// In code, set the fields that you need: `StaticModelsCacheConfig { accept_empty: Some(true),
/// ..Default::default() }`. Minor versions may add fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticModelsCacheConfig {
    /// The interval between successful fetches of a list, with ± 10 % jitter. The default is
    /// `"5m"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub refresh_interval: Option<Duration>,
    /// The same in seconds. 0 switches caching off, as [`Builder::without_cache`] does. An error
    /// together with `refresh_interval`.
    #[serde(default)]
    pub refresh_interval_secs: Option<u64>,
    /// How long requests wait for a provider's first attempt. The default is `"1500ms"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub miss_timeout: Option<Duration>,
    /// The timeout of a fetch, all pages included. The default is `"15s"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub fetch_timeout: Option<Duration>,
    /// The delay after a provider's first failure, which doubles with each further one. The
    /// default is `"1s"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub backoff: Option<Duration>,
    /// The upper limit for a provider's `Retry-After`, at most a year. `"0s"` ignores it. The
    /// default is `"1h"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub max_retry_after: Option<Duration>,
    /// How long a list is served after it was last confirmed, or `"off"` for no limit. The
    /// default is `"24h"`.
    #[serde(default)]
    pub max_stale: Option<MaxStale>,
    /// The paths of the list. The default is `["/v1/models"]`.
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// The paths of the list in Gemini's dialect. The default is `["/v1beta/models"]`.
    #[serde(default)]
    pub gemini_paths: Option<Vec<String>>,
    /// The base paths of Ollama's API. The default is `["/api"]`.
    #[serde(default)]
    pub ollama_paths: Option<Vec<String>>,
    /// The dialects in which clients can request the list, by the names of [`ClientDialect`].
    /// The default is `["openai", "anthropic", "gemini"]`.
    #[serde(default)]
    pub client_dialects: Option<Vec<ClientDialect>>,
    /// Additional names of models: from the name to the id under which the model is listed.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Whether Anthropic's clients see every model under a name that contains `claude`. The
    /// default is `false`.
    #[serde(default)]
    pub claude_aliases: Option<bool>,
    /// The instructions that Codex sends to every model. See [`Builder::codex_instructions`].
    #[serde(default)]
    pub codex_instructions: Option<String>,
    /// The [views](Self::named_views), by name. A [hook](Builder::views) decides which caller
    /// has which.
    #[serde(default)]
    pub views: BTreeMap<String, ViewConfig>,
    /// The request headers that identify a caller, for `Vary`. The default is
    /// `["authorization"]`. An error without a [hook](Builder::views).
    #[serde(default)]
    pub view_headers: Option<Vec<String>>,
    /// The maximum number of views that are kept. The default is 1,000.
    #[serde(default)]
    pub max_views: Option<usize>,
    /// The maximum size in bytes of the lists of all views together. The default is 64 MiB.
    #[serde(default)]
    pub max_view_bytes: Option<usize>,
    /// Whether to accept an empty list from a provider that had models. The default is `false`.
    #[serde(default)]
    pub accept_empty: Option<bool>,
    /// Whether to serve the list while a provider has no list. The default is `true`.
    #[serde(default)]
    pub serve_partial: Option<bool>,
    /// How many fetches start at once, from 1 to 65,536. The default is 16.
    #[serde(default)]
    pub max_concurrent_fetches: Option<usize>,
    /// The maximum size of a provider's decoded list, in bytes. The default is 16 MiB.
    #[serde(default)]
    pub max_bytes: Option<usize>,
    /// The maximum number of models per provider. The default is 100,000.
    #[serde(default)]
    pub max_models: Option<usize>,
    /// The maximum number of pages per list. The default is 1,000.
    #[serde(default)]
    pub max_pages: Option<usize>,
    /// The `Cache-Control` of successful responses. The default is `"private, no-cache"`.
    #[serde(default)]
    pub cache_control: Option<String>,
    /// Whether to name stale and missing providers to clients, in `x-models-incomplete`. The
    /// default is `false`.
    #[serde(default)]
    pub expose_incomplete: Option<bool>,
    /// Facts of models, which override those of providers.
    #[serde(default)]
    pub overrides: Vec<OverrideConfig>,
    /// The catalogue, which supplies facts that providers do not report.
    #[cfg(feature = "catalog")]
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    #[serde(default)]
    pub catalog: Option<super::CatalogConfig>,
    /// The providers, in the order of the list.
    #[serde(default)]
    pub providers: Vec<ProviderConfig>,
}

impl StaticModelsCacheConfig {
    /// Returns a builder with these settings and providers.
    ///
    /// Providers with a `preset` or a `base_url` are fetched by the crate's own client, which
    /// needs the feature `client`. To use another HTTP service, take the providers out of the
    /// configuration, and add each with [`ProviderConfig::build_with`].
    ///
    /// Reads the environment variables that providers name.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid. It names the field, the value unless it may be
    /// secret, and what to write instead. [`build`](Builder::build) and
    /// [`spawn`](Builder::spawn) validate the rest, and name fields as they are named here.
    pub fn builder(&self) -> Result<Builder, BuildError> {
        self.check_texts()?;
        let builder = self.with_interval(StaticModelsCacheLayer::builder())?;
        let builder = self.with_durations(builder);
        let builder = self.with_responses(builder)?;
        let builder = self.with_names(builder);
        let builder = self.with_views(builder)?;
        let builder = self.with_bounds(builder);
        let builder = overrides::apply(&self.overrides, builder)?;
        let builder = self.with_catalog(builder)?;
        let providers = self.providers.iter().map(ProviderConfig::provider);
        Ok(builder.providers(providers.collect::<Result<Vec<_>, _>>()?))
    }

    /// Returns the [views](Self::views) by name, for a [hook](Builder::views) to choose from.
    ///
    /// # Errors
    ///
    /// Returns an error if a glob is invalid. It names the view, the field and the glob.
    pub fn named_views(&self) -> Result<BTreeMap<String, View>, BuildError> {
        let view = |(name, config): (&String, &ViewConfig)| {
            let view = config.view();
            let view = view.map_err(|error| error.within(format_args!("views.{name}")));
            Ok((name.clone(), view?))
        };
        self.views.iter().map(view).collect()
    }

    /// Checks all strings for references to variables, except instructions, which may mention
    /// variables.
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
                let expected = "either refresh_interval_secs or refresh_interval";
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

    fn with_durations(&self, builder: Builder) -> Builder {
        let builder = apply(builder, self.miss_timeout, Builder::miss_timeout);
        let builder = apply(builder, self.fetch_timeout, Builder::fetch_timeout);
        let builder = apply(builder, self.backoff, Builder::backoff);
        let builder = apply(builder, self.max_retry_after, Builder::max_retry_after);
        apply(builder, self.max_stale, Builder::max_stale)
    }

    fn with_responses(&self, builder: Builder) -> Result<Builder, BuildError> {
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
            let expected = "names of headers such as authorization";
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
