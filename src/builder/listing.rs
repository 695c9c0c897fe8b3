//! The settings of the list: paths, client dialects, views, names and facts of models.

use std::sync::Arc;

use http::{HeaderName, request::Parts};

use super::Builder;
#[cfg(feature = "catalog")]
use crate::provider::Provider;
use crate::{
    enrich::{Enrich, ModelSelector, Override},
    error::BoxError,
    model::Model,
    render::ClientDialect,
    snapshot::View,
};

impl Builder {
    /// Sets the paths of the list. The default is `/v1/models` alone. Each model is served at
    /// `{path}/{id}`.
    ///
    /// At these paths the request selects the [dialect](Self::client_dialects).
    /// [`gemini_paths`](Self::gemini_paths) and [`ollama_paths`](Self::ollama_paths) serve one
    /// dialect each.
    ///
    /// A path is matched literally, with or without a trailing slash. It must begin with a
    /// slash, and have no query, escapes or route parameters. No path may be below another:
    /// `/v1/models` and `/v1/models/mine` collide.
    pub fn paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("paths");
        self.mounts.paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the paths of the list in Gemini's dialect. The default is `/v1beta/models` alone.
    ///
    /// The rules of [`paths`](Self::paths) apply. An error if Gemini's dialect is off.
    pub fn gemini_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("gemini_paths");
        self.mounts.gemini = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the base paths of Ollama's API, which is served at `{path}/tags`, `{path}/version`
    /// and, by an [`OllamaShowLayer`](crate::ollama_show::OllamaShowLayer), `{path}/show`. The default is
    /// `/api` alone.
    ///
    /// The rules of [`paths`](Self::paths) apply. An error if Ollama's dialect is off.
    pub fn ollama_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("ollama_paths");
        self.mounts.ollama = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the dialects in which clients can request the list. The default is OpenAI's,
    /// Anthropic's and Gemini's. At least one is required.
    ///
    /// The dialect of a request is the first that matches and is on:
    ///
    /// 1. Gemini's at [`gemini_paths`](Self::gemini_paths), and Ollama's at
    ///    [`ollama_paths`](Self::ollama_paths);
    /// 2. Codex's, for the list, if the query has the parameter `client_version`;
    /// 3. Anthropic's, if there is a header `anthropic-version`;
    /// 4. Gemini's, if there is a header `x-goog-api-key`;
    /// 5. OpenAI's.
    ///
    /// If none matches, the inner service handles the request.
    ///
    /// Ollama's is off by default because an inner service may use its paths. Codex's is off
    /// because Codex uses the listed [instructions](Self::codex_instructions) instead of its
    /// own.
    ///
    /// A dialect is rendered on its first request, which waits for it, and from then on at
    /// each publication.
    pub fn client_dialects(mut self, dialects: impl IntoIterator<Item = ClientDialect>) -> Self {
        self.dialects = dialects.into_iter().collect();
        self
    }

    /// Sets the hook that decides which models a caller sees. It is called with the head of
    /// each request for the list or for a model.
    ///
    /// The hook sees the [extensions](http::Extensions) that outer layers have added to the
    /// request, so authenticate in an outer layer and select the view here. The hook runs
    /// inline in the request, so it must not block or do I/O. If it fails or panics, the caller
    /// gets a 500 and sees nothing.
    ///
    /// - A view decides per model, not per name: a model is visible under all of its names,
    ///   [aliases](Self::alias) and [`claude-` names](Self::claude_aliases) included, or under
    ///   none.
    /// - A hidden model is indistinguishable from an unknown one, in body, headers and timing.
    /// - A caller that is [refused](View::denied), or whose hook failed, never waits and causes
    ///   no fetch. Its responses reveal nothing about the providers.
    /// - If a view has no visible model while a provider has no list, the response is a 503,
    ///   not an empty list. Only [`View::none`] is always an empty list.
    ///
    /// Lists are rendered once per [view](View), identified by its name, and kept within
    /// [`max_view_bytes`](Self::max_view_bytes). Each has its own `ETag`.
    ///
    /// A view's predicate must return promptly. If rendering a view takes longer than 10 s, its
    /// callers get a 500. A publication that does not finish within 10 s is abandoned and
    /// repeated without predicates and [enrichers](Enrich); views are then rendered on their
    /// next request.
    ///
    /// ```
    /// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, View};
    ///
    /// /// Inserted into the extensions by an authentication layer.
    /// #[derive(Clone)]
    /// struct Team(View);
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = StaticModelsCacheLayer::builder()
    ///     .provider(Provider::fixed("house", [Model::new("small")]))
    ///     .views(|request| {
    ///         let team = request.extensions.get::<Team>().ok_or("not authenticated")?;
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

    /// Sets the request headers that identify a caller, for the `Vary` of responses (RFC 9110,
    /// section 12.5.5). The default is `authorization`. An error without
    /// [`views`](Self::views).
    pub fn view_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.explicit.push("view_headers");
        self.view_headers = headers.into_iter().collect();
        self
    }

    /// Sets how many bytes the lists of all [views](Self::views) may take together, in all
    /// dialects and codings. The default is 64 MiB; at least 1 byte. An error without
    /// [`views`](Self::views).
    ///
    /// The least recently used views are evicted, and rendered again on their next request. One
    /// view is always kept, whatever its size.
    pub fn max_view_bytes(mut self, bytes: usize) -> Self {
        self.explicit.push("max_view_bytes");
        self.view_bounds.bytes = bytes;
        self
    }

    /// Sets how many [views](Self::views) are kept at most, as for
    /// [`max_view_bytes`](Self::max_view_bytes). The default is 1,000; at least 1.
    pub fn max_views(mut self, views: usize) -> Self {
        self.explicit.push("max_views");
        self.view_bounds.views = views;
        self
    }

    /// Lists a model under an additional name: `alias("gpt", "openai/gpt-5")`.
    ///
    /// `target` is the id under which the model is listed. While it is listed, the alias is
    /// listed too, before all models and with all facts of the model, and
    /// [`ModelsSnapshot::get`](crate::ModelsSnapshot::get) finds it.
    ///
    /// An alias takes precedence over a model of the same name, which is not listed under that
    /// name. This holds even while the target is not listed, so that a name never refers to
    /// another model. A [view](View) sees an alias exactly when it sees the model. The
    /// [status](crate::status::Status::aliases) reports for each alias whether it is listed.
    ///
    /// An alias is a single name of 1 to 512 bytes; one that contains `*`, `?`, `{` or `}` is an
    /// error. So is an alias of an alias.
    pub fn alias(mut self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.aliases.push((name.into(), target.into()));
        self
    }

    /// Lists every model for Anthropic's clients under a name that contains `claude`:
    /// `openai/gpt-5` as `claude-openai/gpt-5`. The default is `false`.
    ///
    /// This is for clients that show only such names. A model keeps its name if it already
    /// contains `claude`, or if another model has the new name.
    /// [`ModelsSnapshot::get`](crate::ModelsSnapshot::get) finds both names, and a
    /// [view](View) sees both or neither.
    pub fn claude_aliases(mut self, enabled: bool) -> Self {
        self.claude_aliases = enabled;
        self
    }

    /// Sets the `base_instructions` of every model in Codex's dialect, which Codex sends to the
    /// model instead of its own. The default is a few sentences for a coding agent. An error if
    /// Codex's dialect is off.
    pub fn codex_instructions(mut self, text: impl Into<String>) -> Self {
        self.explicit.push("codex_instructions");
        self.codex_options.codex_instructions = text.into().into();
        self
    }

    /// Lets callers for whom `hook` returns true force a refresh, with
    /// `Cache-Control: no-cache` (RFC 9111, section 5.2.1.4) or the query parameter
    /// `refresh=true`. By default no caller can.
    ///
    /// Such a request fetches the lists of all providers that are not in backoff, joins fetches
    /// in flight, and waits for them up to the [`miss_timeout`](Self::miss_timeout). A failed
    /// fetch keeps the last good list.
    ///
    /// The hook is called only for these requests, with their head, extensions included. If it
    /// panics, the refresh is denied. An error with [`without_cache`](Self::without_cache).
    pub fn allow_refresh(mut self, hook: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.explicit.push("allow_refresh");
        self.hooks.set_refresh(hook);
        self
    }

    /// Adds an [enricher](Enrich), which supplies facts that providers do not report. Enrichers
    /// that were added earlier take precedence.
    ///
    /// An enricher must return promptly and do no I/O. A publication that does not finish
    /// within 10 s is abandoned and repeated without enrichers.
    pub fn enrich(mut self, enricher: impl Enrich) -> Self {
        self.enrichment.enrichers.push(Arc::new(enricher));
        self
    }

    /// Overrides facts of one model, named as `provider/id`:
    ///
    /// ```
    /// use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = StaticModelsCacheLayer::builder()
    ///     .provider(Provider::fixed("lab", [Model::new("qwen-3")]).prefix(false))
    ///     .override_model("lab/qwen-3", Model::description().with_context_length(32_768))
    ///     .build()?;
    /// let snapshot = layer.cache().snapshot();
    /// let model = snapshot.get("qwen-3").ok_or("not listed")?;
    /// assert_eq!(model.model().context_length(), Some(32_768));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The name includes the provider even if the model is listed
    /// [without its prefix](crate::Provider::prefix). Each fact of the
    /// [description](Model::description) is overridden separately, including each price and each
    /// capability; others keep their values, except that a `max_input_tokens` above an
    /// overridden `context_length` is dropped. Later overrides of a model take precedence over
    /// earlier ones.
    ///
    /// An override never changes which models are listed, nor their ids. One that matches no
    /// model has no effect; the [status](crate::status::Status::overrides) counts matches.
    ///
    /// A description without facts, a token count of 0 or above 10^12, and a name that cannot
    /// be listed are build errors.
    pub fn override_model(mut self, name: impl Into<String>, facts: Model) -> Self {
        let which = ModelSelector::One(name.into());
        self.enrichment.overrides.push(Override { which, facts });
        self
    }

    /// Overrides facts of all models whose `provider/id` matches one of the globs, such as
    /// `"lab/qwen*"`. Otherwise the same as [`override_model`](Self::override_model).
    ///
    /// Matching is case-sensitive, and `*` matches slashes too. At least one glob is required.
    #[cfg(feature = "globs")]
    #[cfg_attr(docsrs, doc(cfg(feature = "globs")))]
    pub fn override_models<G: Into<String>>(
        mut self,
        globs: impl IntoIterator<Item = G>,
        facts: Model,
    ) -> Self {
        let which = ModelSelector::Glob(globs.into_iter().map(Into::into).collect(), None);
        self.enrichment.overrides.push(Override { which, facts });
        self
    }

    #[cfg(feature = "catalog")]
    pub(crate) fn with_catalog(mut self, provider: Provider) -> Self {
        self.catalog = Some(provider);
        self
    }
}
