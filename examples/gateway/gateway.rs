//! The gateway as a whole: what it is made of, and its routes.

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

/// What a gateway is made of: a file says so, or the demo does.
pub(crate) struct Setup {
    pub(crate) listen: SocketAddr,
    /// Where the list of models comes from.
    pub(crate) models: Builder,
    /// The providers of `models`, to replace them by.
    pub(crate) providers: Vec<Provider>,
    /// Where the chats go, by the provider's name.
    pub(crate) routes: HashMap<String, Route>,
    /// Who may see which of the models.
    pub(crate) access: Access,
}

pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A chat may carry images. It is held in memory until its model is known.
const LARGEST_CHAT: usize = 16 << 20;

pub(crate) fn router(models: StaticModelsCacheLayer, routes: Routes, access: Access) -> Router {
    let cache = models.cache();
    let chats = Router::new()
        .route("/v1/chat/completions", post(proxy::chat))
        // Tells Codex on each answer whether the list that it has still holds.
        .layer(models.models_etag())
        .layer(DefaultBodyLimit::max(LARGEST_CHAT))
        .with_state(Proxy::new(cache.clone(), routes));
    let health = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        // Names providers and their failures: for operators. Where clients can reach
        // the gateway's port, put this behind a key or on a port of its own.
        .route("/status", get(health::status))
        .with_state(cache);
    let access = middleware::from_fn_with_state(Arc::new(access), access::authenticate);
    chats
        .merge(health)
        // `POST /api/show`, for Ollama's clients.
        .layer(models.ollama_show())
        // Around all routes: the list is answered before anything inside is asked, also
        // for paths that have no route.
        .layer(models)
        // Last, and so outermost: who asks is known before the list is answered.
        .layer(access)
}
