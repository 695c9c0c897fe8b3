//! `StaticModelsCacheLayer`: wraps a service, and shares one cache with its clones.

use std::fmt;

use tower_layer::Layer;

use crate::{
    builder::Builder,
    handle::ModelsCache,
    models_etag::ModelsEtagLayer,
    models_service::ModelsService,
    ollama_show::OllamaShowLayer,
    service::{Responder, StaticModelsCache},
};

/// Layer that serves the list of models in front of an HTTP service.
///
/// Clones and the services that they wrap share one cache. See the [crate docs](crate) for an
/// example and for deployment notes.
///
/// On an axum `Router`, `Router::layer` wraps all routes and the fallback, so the list needs no
/// route. On a router that is nested with `nest`, the layer sees the path without the prefix,
/// and the router needs a fallback of its own, because axum drops the layers of a nested
/// router's default fallback. Around the outer router it sees the whole path: set it with
/// [`Builder::paths`].
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct StaticModelsCacheLayer {
    responder: Responder,
}

impl StaticModelsCacheLayer {
    /// Returns a builder with default settings and without providers.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(responder: Responder) -> Self {
        Self { responder }
    }

    /// Returns a handle to the cache, to read the list and to control its refresh.
    pub fn cache(&self) -> ModelsCache {
        self.responder.cache()
    }

    /// Returns a layer for inference routes that sends Codex the current entity tag of its list
    /// with every response. See [`ModelsEtagLayer`].
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

    /// Returns a layer that serves `POST /api/show`, with which Ollama's clients request one
    /// model. It does nothing unless [`ClientDialect::Ollama`](crate::ClientDialect::Ollama) is
    /// on. See [`OllamaShowLayer`].
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

    /// Returns a service that serves the same responses without an inner service.
    ///
    /// Use it on a separate route, so that the list stays available while a limit on the other
    /// routes is exhausted:
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
    /// The service matches the full path. Do not use it with `nest_service`, which strips the
    /// prefix.
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
