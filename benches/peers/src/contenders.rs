//! The contenders: each with the same list, warmed up to a hit.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body as AxumBody,
    extract::State,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt};
use tower_http_cache::prelude::*;
use tower_models_cache::{Provider, StaticModelsCache, StaticModelsCacheLayer};

use crate::{
    gateway::{Gateway, Origin},
    request::{CHAT, LIST},
    upstream::Upstream,
};

// ===== Floors =====

/// Always responds with the same bytes and headers.
#[derive(Clone, Debug)]
pub struct Constant {
    body: Bytes,
    head: HeaderMap,
}

impl Constant {
    /// The floor: a body and its content type.
    pub fn plain(body: Bytes) -> Self {
        Self::new(body, HeaderMap::from_iter([(header::CONTENT_TYPE, JSON)]))
    }

    pub fn new(body: Bytes, head: HeaderMap) -> Self {
        Self { body, head }
    }
}

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl<B> Service<Request<B>> for Constant {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.head.clone();
        ready(Ok(response))
    }
}

// ===== This crate =====

pub type Ours = StaticModelsCache<Constant>;

/// The layer with its refresher, over HTTP providers.
///
/// The refresher runs until the runtime shuts down.
pub fn ours(runtime: &Runtime, upstreams: &[Upstream]) -> Ours {
    let _in = runtime.enter();
    let http = |upstream: &Upstream| {
        Provider::http::<_, Full<Bytes>, _>(&*upstream.name, upstream.clone())
    };
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .providers(upstreams.iter().map(http))
        .spawn()
        .unwrap();
    refresher.detach();
    layer.layer(Constant::plain("{}".into()))
}

// ===== Handlers =====

fn respond(list: Bytes) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, JSON)], list)
}

async fn chat() -> impl IntoResponse {
    respond(Bytes::from_static(b"{}"))
}

/// A handler over bytes in a shared cell. It fetches while the cell is empty.
pub fn axum_arc_swap(gateway: Gateway, list: Bytes) -> Router {
    let list = Arc::new(ArcSwap::from_pointee(list));
    let handler = |State((list, gateway)): State<(Arc<ArcSwap<Bytes>>, Gateway)>| async move {
        let held = Bytes::clone(&list.load());
        if !held.is_empty() {
            return respond(held);
        }
        let fetched = gateway.list().await;
        list.store(Arc::new(fetched.clone()));
        respond(fetched)
    };
    Router::new()
        .route(LIST, get(handler))
        .route(CHAT, post(chat))
        .with_state((list, gateway))
}

/// A handler over bytes in a moka cache, which coalesces concurrent misses.
pub fn axum_moka(gateway: Gateway) -> Router {
    type Lists = moka::future::Cache<&'static str, Bytes>;
    let lists: Lists = moka::future::Cache::builder()
        .max_capacity(16)
        .time_to_live(Duration::from_secs(300))
        .build();
    let handler = |State((lists, gateway)): State<(Lists, Gateway)>| async move {
        respond(lists.get_with("models", gateway.list()).await)
    };
    Router::new()
        .route(LIST, get(handler))
        .route(CHAT, post(chat))
        .with_state((lists, gateway))
}

/// A handler that builds the list for each request.
fn axum_async<F, Fut>(list: F) -> Router
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Bytes> + Send,
{
    let handler = move || async move { respond(list().await) };
    Router::new()
        .route(LIST, get(handler))
        .route(CHAT, post(chat))
}

pub fn no_cache(gateway: Gateway) -> Router {
    axum_async(move || {
        let gateway = gateway.clone();
        async move { gateway.list().await }
    })
}

pub fn origin(origin: Origin) -> Router {
    axum_async(move || {
        let origin = origin.clone();
        async move { origin.list().await }
    })
}

// ===== Response caches =====

/// The origin behind a response cache: it builds the list, supports `HEAD` and
/// `If-None-Match`, and allows the list to be cached.
#[derive(Clone, Debug)]
pub struct Behind(pub Gateway);

/// The validator that `Behind` sends.
pub const ETAG: &str = "\"0123456789abcdef0123456789abcdef\"";

impl Behind {
    async fn respond(self, head: request::Parts) -> Response<Full<Bytes>> {
        let response = Response::builder()
            .header(header::CACHE_CONTROL, "public, max-age=3600")
            .header(header::ETAG, ETAG);
        if head.uri.path() != LIST {
            let response = Response::builder().status(StatusCode::NOT_FOUND);
            return response.body(Full::default()).unwrap();
        }
        if head.headers.contains_key(header::IF_NONE_MATCH) {
            let response = response.status(StatusCode::NOT_MODIFIED);
            return response.body(Full::default()).unwrap();
        }
        let list = self.0.list().await;
        let response = response
            .header(header::CONTENT_TYPE, JSON)
            .header(header::CONTENT_LENGTH, list.len());
        match head.method {
            Method::HEAD => response.body(Full::default()).unwrap(),
            _ => response.body(Full::new(list)).unwrap(),
        }
    }
}

impl<B> Service<Request<B>> for Behind {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, _) = request.into_parts();
        Box::pin(self.clone().respond(head).map(Ok))
    }
}

pub fn tower_http_cache<S>(inner: S) -> tower_http_cache::layer::CacheService<S, InMemoryBackend> {
    // By default, it does not cache bodies over 1 MiB.
    let streaming = StreamingPolicy {
        max_cacheable_size: None,
        ..StreamingPolicy::default()
    };
    let policy = CachePolicy::default()
        .with_ttl(Duration::from_secs(3600))
        .with_streaming_policy(streaming);
    CacheLayer::new(InMemoryBackend::new(1000))
        .with_policy(policy)
        .layer(inner)
}

/// Only supports requests with an absolute URI.
pub fn http_cache_tower<S>(
    inner: S,
) -> http_cache_tower::HttpCacheService<S, http_cache::MokaManager> {
    http_cache_tower::HttpCacheLayer::new(http_cache::MokaManager::default()).layer(inner)
}

/// Only wraps services with axum's types.
pub fn axum_response_cache<S, B>(
    inner: S,
) -> impl Service<Request<AxumBody>, Response = Response<AxumBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static
where
    S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let inner = inner.map_response(|response: Response<B>| response.map(AxumBody::new));
    axum_response_cache::CacheLayer::with_lifespan(Duration::from_secs(3600)).layer(inner)
}
