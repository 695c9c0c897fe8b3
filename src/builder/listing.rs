//! What is listed, for whom, in which form and under which names.

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
    /// Sets the paths of the list; the default is `/v1/models` alone. A model lies
    /// below each of them, under its id.
    ///
    /// Here the request chooses among the [dialects](Self::client_dialects). Gemini's and
    /// Ollama's have [paths](Self::gemini_paths) of their [own](Self::ollama_paths).
    pub fn paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("paths");
        self.mounts.paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the paths of the list in Gemini's dialect; the default is `/v1beta/models`
    /// alone.
    pub fn gemini_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("gemini_paths");
        self.mounts.gemini = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what the paths of Ollama's API begin with, which are `/tags` and `/version`
    /// below it; the default is `/api` alone.
    pub fn ollama_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.explicit.push("ollama_paths");
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
    /// - A view decides about models, not about names: a model is seen under all of its
    ///   names, [aliases](Self::alias) and [`claude-` names](Self::claude_aliases)
    ///   included, or under none.
    /// - A hidden model is indistinguishable from an unknown one, in body, headers and time.
    /// - A caller that is [refused](View::denied), or whose hook failed, waits for nothing and
    ///   causes no fetch. Its answers say nothing of the providers.
    /// - A view with no model to show while a provider is missing gets status 503, not an
    ///   empty list; only [`View::none`] is an empty list at all times.
    ///
    /// Lists are prepared once per [view](View), by its name, and kept within
    /// [`max_view_bytes`](Self::max_view_bytes). Each has its own `ETag`.
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
        self.explicit.push("view_headers");
        self.view_headers = headers.into_iter().collect();
        self
    }

    /// Sets how many bytes the lists of all [views](Self::views) may take, in all dialects
    /// and codings. The default is 64 MiB. What was not asked for lately gives way, and is
    /// rendered again when it is asked for; one view is kept whatever it takes.
    pub fn max_view_bytes(mut self, bytes: usize) -> Self {
        self.explicit.push("max_view_bytes");
        self.view_bounds.bytes = bytes;
        self
    }

    /// Sets how many [views](Self::views) are kept at the most. The default is 1,000.
    pub fn max_views(mut self, views: usize) -> Self {
        self.explicit.push("max_views");
        self.view_bounds.views = views;
        self
    }

    /// Lists a model under a further name: `alias("gpt", "openai/gpt-5")`.
    ///
    /// The target is the id under which the model is listed. While it is, so is the alias,
    /// before all models, with everything that is known of the model; and it is found in
    /// [snapshots](crate::ModelsSnapshot::get). An alias goes before a model of the same
    /// name, which is not listed then: also while the target is not there, so that the name
    /// never means another model. A [view](View) sees an alias exactly where it sees the
    /// model. The status [tells](crate::Status::aliases) what became of each.
    ///
    /// An alias is one name: one with `*`, `?` or braces is an error when the layer is built.
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
    /// [snapshots](crate::ModelsSnapshot::get), and a [view](View) sees both or none.
    pub fn claude_aliases(mut self, list: bool) -> Self {
        self.claude_aliases = list;
        self
    }

    /// Sets what Codex tells a model of its work, where it has taken the model from the
    /// list. The default is a few sentences for any agent that writes code.
    pub fn codex_instructions(mut self, text: impl Into<String>) -> Self {
        self.explicit.push("codex_instructions");
        self.codex_options.codex_instructions = text.into().into();
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
        self.explicit.push("allow_refresh");
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
    /// The name has the provider in it whether the model is [listed](crate::Provider::prefix) so
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
        let which = ModelSelector::One(name.into());
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
