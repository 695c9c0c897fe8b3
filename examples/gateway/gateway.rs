//! The gateway: its parts and its routes.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tower_models_cache::{Builder, Provider, StaticModelsCacheLayer};

use crate::{
    access::{self, Access},
    health,
    proxy::{self, Proxy, Route},
    reload::Routes,
};

/// The parts of a gateway, from the configuration file or from the demo.
pub(crate) struct Setup {
    pub(crate) listen: SocketAddr,
    /// Builds the list of models.
    pub(crate) models: Builder,
    /// The providers of `models`, for a reload.
    pub(crate) providers: Vec<Provider>,
    /// Where chats are sent, by provider name.
    pub(crate) routes: HashMap<String, Route>,
    /// Which callers may see which models.
    pub(crate) access: Access,
}

pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A chat may contain images. It is buffered until its model is known.
const LARGEST_CHAT: usize = 16 << 20;

pub(crate) fn router(models: StaticModelsCacheLayer, routes: Routes, access: Access) -> Router {
    let cache = models.cache();
    let chats = Router::new()
        .route("/v1/chat/completions", post(proxy::chat))
        // Sends `x-models-etag` with each response, so that Codex knows if its list is
        // current.
        .layer(models.models_etag())
        .layer(DefaultBodyLimit::max(LARGEST_CHAT))
        .with_state(Proxy::new(cache.clone(), routes));
    let health = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        // Names providers and their failures, which is for operators. If clients can reach
        // the gateway's port, require a key here or use another port.
        .route("/status", get(health::status))
        .with_state(cache);
    let access = middleware::from_fn_with_state(Arc::new(access), access::authenticate);
    chats
        .merge(health)
        // `POST /api/show`, for Ollama's clients.
        .layer(models.ollama_show())
        // Outside all routes, so that the list is served before inner services run, and on
        // paths without a route.
        .layer(models)
        // Added last, and so outermost: the caller is identified before the list is served.
        .layer(access)
}
