//! What the tests share: scripted sources, and requests to a service.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part of it, and tests unwrap"
)]

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, Service, ServiceExt};
use tower_models_cache::{
    BoxError, ListModels, Model, ModelList, ResponseBody, StaticModelsCache, StaticModelsCacheLayer,
};

type Answer = Pin<Box<dyn Future<Output = Result<ModelList, BoxError>> + Send>>;

/// A source that answers by a script, which is given the number of the call (from
/// 1 on), and counts the calls.
#[derive(Clone)]
pub struct Script {
    calls: Arc<AtomicUsize>,
    answer: Arc<Mutex<dyn FnMut(usize) -> Answer + Send>>,
}

impl Script {
    pub fn new<F, Fut, E>(mut answer: F) -> Self
    where
        F: FnMut(usize) -> Fut + Send + 'static,
        Fut: Future<Output = Result<ModelList, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let answer = move |call| -> Answer {
            let answer = answer(call);
            Box::pin(async { answer.await.map_err(Into::into) })
        };
        Self {
            calls: Arc::new(AtomicUsize::new(0)),
            answer: Arc::new(Mutex::new(answer)),
        }
    }

    /// A source that always has these models.
    pub fn always<const N: usize>(ids: [&'static str; N]) -> Self {
        Self::new(move |_| async move { Ok::<_, Infallible>(models(ids)) })
    }

    /// A source that never answers.
    pub fn hung() -> Self {
        Self::new(|_| std::future::pending::<Result<_, Infallible>>())
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Service<ListModels> for Script {
    type Response = ModelList;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: ListModels) -> Answer {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.answer.lock().unwrap())(call)
    }
}

pub fn models<const N: usize>(ids: [&str; N]) -> ModelList {
    ids.map(Model::new).into_iter().collect()
}

/// An inner service that must not be asked.
#[derive(Clone, Debug)]
pub struct Unasked;

impl<B> Service<Request<B>> for Unasked {
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

/// The layer's answer, with its whole body.
pub async fn ask(
    layer: &StaticModelsCacheLayer,
    request: Request<Empty<Bytes>>,
) -> Response<Bytes> {
    let service: StaticModelsCache<Unasked> = layer.layer(Unasked);
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
    let response = ask(layer, get("/v1/models")).await;
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
