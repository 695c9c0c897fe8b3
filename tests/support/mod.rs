//! Shared by the tests: scripted sources, and requests to a service.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test file uses its part of it, measures by the paused clock, and fails by panicking"
)]

pub mod dialects;
pub mod log;
pub mod net;
pub mod paged;
pub mod transports;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::{sync::Semaphore, time::Instant};
use tower::{Layer, Service, ServiceExt};
use tower_models_cache::{
    Builder, Model, Provider, Refresher, StaticModelsCache, StaticModelsCacheLayer,
    body::ResponseBody,
    error::{BoxError, ListError, ListErrorKind},
    model::ModelList,
    provider::ListModels,
};

type ListFuture = Pin<Box<dyn Future<Output = Result<ModelList, BoxError>> + Send>>;

/// A source that responds as a closure decides, which gets the number of the call (from 1). It
/// counts its calls and those still in flight.
#[derive(Clone)]
pub struct ScriptedSource {
    calls: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
    respond: Arc<Mutex<dyn FnMut(usize) -> ListFuture + Send>>,
}

impl ScriptedSource {
    pub fn new<F, Fut, E>(mut respond: F) -> Self
    where
        F: FnMut(usize) -> Fut + Send + 'static,
        Fut: Future<Output = Result<ModelList, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let respond = move |call| -> ListFuture {
            let response = respond(call);
            Box::pin(async { response.await.map_err(Into::into) })
        };
        Self {
            calls: Arc::default(),
            alive: Arc::default(),
            respond: Arc::new(Mutex::new(respond)),
        }
    }

    /// A source that always returns these models.
    pub fn always<const N: usize>(ids: [&'static str; N]) -> Self {
        Self::new(move |_| async move { Ok::<_, Infallible>(models(ids)) })
    }

    /// A source that never responds.
    pub fn hung() -> Self {
        Self::new(|_| std::future::pending::<Result<_, Infallible>>())
    }

    /// A source that always fails.
    pub fn failing() -> Self {
        Self::new(|_| async { Err("down") })
    }

    /// A source that returns these models, one call each time the gate is opened.
    pub fn held<const N: usize>(ids: [&'static str; N]) -> (Self, Gate) {
        let gate = Gate::default();
        let opened = gate.clone();
        let source = Self::new(move |_| {
            let opened = opened.clone();
            async move {
                opened.passed().await;
                Ok::<_, Infallible>(models(ids))
            }
        });
        (source, gate)
    }

    /// A source that returns the current content of the shared list, or its error.
    pub fn shared(shared: &SharedList) -> Self {
        let shared = shared.clone();
        Self::new(move |_| {
            let list = shared.read();
            async move { list.map_err(ListError::from) }
        })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many calls are in flight: neither completed nor dropped.
    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// Lets responses pass one at a time.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    pub fn open(&self, responses: usize) {
        self.0.add_permits(responses);
    }

    pub async fn passed(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// The current list of a provider, which the test may change.
#[derive(Clone)]
pub struct SharedList(Arc<Mutex<Result<ModelList, ListErrorKind>>>);

impl SharedList {
    pub fn new<const N: usize>(ids: [&str; N]) -> Self {
        Self(Arc::new(Mutex::new(Ok(models(ids)))))
    }

    pub fn set_ids<const N: usize>(&self, ids: [&str; N]) {
        self.set(Ok(models(ids)));
    }

    pub fn read(&self) -> Result<ModelList, ListErrorKind> {
        self.0.lock().unwrap().clone()
    }

    pub fn set(&self, list: Result<ModelList, ListErrorKind>) {
        *self.0.lock().unwrap() = list;
    }
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<ListModels> for ScriptedSource {
    type Response = ModelList;
    type Error = BoxError;
    type Future = ListFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: ListModels) -> ListFuture {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.alive.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.alive));
        // A closure that panics does so in `call`, and later calls are not affected.
        let mut respond = self.respond.lock().unwrap_or_else(PoisonError::into_inner);
        let response = respond(call);
        Box::pin(async move {
            let _alive = alive;
            response.await
        })
    }
}

pub fn models<const N: usize>(ids: [&str; N]) -> ModelList {
    ids.map(Model::new).into_iter().collect()
}

/// The two ways to run a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refreshed by requests.
    Build,
    /// Refreshed by the refresher.
    Spawn,
}

pub const MODES: [Mode; 2] = [Mode::Build, Mode::Spawn];

impl Mode {
    /// The layer, and its refresher, which runs until it is dropped.
    pub fn start(self, builder: Builder) -> (StaticModelsCacheLayer, Option<Refresher>) {
        match self {
            Self::Build => (builder.build().unwrap(), None),
            Self::Spawn => {
                let (layer, refresher) = builder.spawn().unwrap();
                (layer, Some(refresher))
            }
        }
    }
}

/// A builder with these providers and a fixed jitter seed.
pub fn builder(providers: impl IntoIterator<Item = Provider>) -> Builder {
    StaticModelsCacheLayer::builder()
        .jitter_seed(7)
        .providers(providers)
}

/// Lets spawned work finish that takes no time. Requires a paused clock.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The time of the paused clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The output of the future, and how long it took by the paused clock.
pub async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let began = now();
    let output = future.await;
    (output, began.elapsed())
}

/// An inner service that must not be called.
#[derive(Clone, Debug)]
pub struct Unreachable;

impl<B> Service<Request<B>> for Unreachable {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        panic!("{} reached the inner service", request.uri())
    }
}

pub fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

/// Sends a request to the layer and collects the body of the response.
pub async fn send(
    layer: &StaticModelsCacheLayer,
    request: Request<Empty<Bytes>>,
) -> Response<Bytes> {
    let service: StaticModelsCache<Unreachable> = layer.layer(Unreachable);
    let Ok(response) = service.oneshot(request).await;
    collect(response).await
}

pub async fn collect(response: Response<ResponseBody<Empty<Bytes>>>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    Response::from_parts(head, body.to_bytes())
}

/// The ids that the layer lists.
pub async fn list(layer: &StaticModelsCacheLayer) -> Vec<String> {
    let response = send(layer, get("/v1/models")).await;
    assert_eq!(response.status(), 200, "{response:?}");
    ids(response.body())
}

pub fn ids(body: &[u8]) -> Vec<String> {
    let list: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().unwrap();
    let id = |model: &serde_json::Value| model["id"].as_str().unwrap().to_owned();
    data.iter().map(id).collect()
}
