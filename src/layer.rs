//! `StaticModelsCacheLayer`: wraps a service, and shares one cache with its clones.

use std::fmt;

use tower_layer::Layer;

use crate::{
    builder::Builder,
    etag_layer::ModelsEtagLayer,
    handle::ModelsCache,
    models_service::ModelsService,
    service::{Responder, StaticModelsCache},
    show::OllamaShowLayer,
};

/// Layer that takes over the list of models of an HTTP service.
///
/// Clones share one cache, and so do all services that they wrap. See the
/// [crate docs](crate) for an example and for what a deployment has to know.
///
/// On an axum `Router`, `Router::layer` puts it around all routes and around the
/// fallback, so the list needs no route. Inside `nest` it sees the path without the
/// prefix, and it needs a fallback that was set: axum drops the layers of a nested
/// router's default one. Around the outer router it takes the whole path, as named
/// by [`Builder::paths`].
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct StaticModelsCacheLayer {
    responder: Responder,
}

impl StaticModelsCacheLayer {
    /// Begins a layer without providers and with the default settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(responder: Responder) -> Self {
        Self { responder }
    }

    /// A handle on the cache, to look at the list and to steer what renews it.
    pub fn cache(&self) -> ModelsCache {
        self.responder.cache()
    }

    /// A layer that tells Codex's clients on every answer of a service whether the list that
    /// they have still holds: for the routes of inference.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use axum::{Router, routing::post};
    /// # use tower_models_cache::{ClientDialect, StaticModelsCacheLayer};
    /// let models = StaticModelsCacheLayer::builder()
    ///     .client_dialects([ClientDialect::OpenAi, ClientDialect::Codex])
    ///     .build()?;
    /// let app: Router = Router::new()
    ///     .route("/v1/responses", post(|| async { "..." }).layer(models.models_etag()))
    ///     .layer(models);
    /// # Ok(())
    /// # }
    /// ```
    pub fn models_etag(&self) -> ModelsEtagLayer {
        ModelsEtagLayer::new(self.responder.clone())
    }

    /// A layer that answers Ollama's clients who ask about one model: `POST /api/show`. It
    /// does nothing unless [`ClientDialect::Ollama`](crate::ClientDialect::Ollama) is on.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use tower_models_cache::{ClientDialect, StaticModelsCacheLayer};
    /// let models = StaticModelsCacheLayer::builder()
    ///     .client_dialects([ClientDialect::OpenAi, ClientDialect::Ollama])
    ///     .build()?;
    /// let app: axum::Router = axum::Router::new()
    ///     .layer(models.ollama_show())
    ///     .layer(models);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ollama_show(&self) -> OllamaShowLayer {
        OllamaShowLayer::new(self.responder.clone())
    }

    /// A service that gives the same answers without an inner service.
    ///
    /// For a route of its own, where the list has to stay up while a limit on the
    /// other routes is exhausted:
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};
    /// # let layer = StaticModelsCacheLayer::builder()
    /// #     .provider(Provider::fixed("house", [Model::new("small")]))
    /// #     .build()?;
    /// let models = layer.service();
    /// let app: axum::Router = axum::Router::new()
    ///     .route_service("/v1/models", models.clone())
    ///     .route_service("/v1/models/", models.clone())
    ///     .route_service("/v1/models/{*id}", models);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It looks at the path itself: `nest_service`, which takes the prefix off,
    /// leaves it nothing that it knows.
    pub fn service(&self) -> ModelsService {
        ModelsService::new(self.responder.clone())
    }
}

impl<S> Layer<S> for StaticModelsCacheLayer {
    type Service = StaticModelsCache<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StaticModelsCache::new(inner, self.responder.clone())
    }
}

impl fmt::Debug for StaticModelsCacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticModelsCacheLayer")
            .field("cache", &self.cache())
            .finish()
    }
}
