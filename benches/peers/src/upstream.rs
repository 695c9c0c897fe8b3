//! The providers: in-process services that respond with their list after a delay.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use tower::Service;

pub const PROVIDERS: usize = 10;

/// A model as a provider lists it: about 300 bytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Model {
    pub id: String,
    pub object: String,
    pub created: u32,
    pub owned_by: String,
    pub display_name: String,
    pub context_length: u64,
    pub max_output_tokens: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct List {
    pub object: String,
    pub data: Vec<Model>,
}

impl List {
    pub fn new(data: Vec<Model>) -> Self {
        let object = "list".to_owned();
        Self { object, data }
    }
}

/// One provider.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    body: Bytes,
    delay: Duration,
    calls: Arc<AtomicUsize>,
}

/// Ten providers with `models` models in total. They respond after `delay`, and share a
/// counter of calls.
pub fn upstreams(models: usize, delay: Duration) -> (Vec<Upstream>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let upstream = |provider: usize| {
        let list = List::new(
            (0..models / PROVIDERS)
                .map(|i| model(provider, i))
                .collect(),
        );
        Upstream {
            name: format!("provider-{provider}").into(),
            body: serde_json::to_vec(&list).unwrap().into(),
            delay,
            calls: Arc::clone(&calls),
        }
    };
    ((0..PROVIDERS).map(upstream).collect(), calls)
}

fn model(provider: usize, index: usize) -> Model {
    Model {
        id: format!("vendor-{provider}/a-model-with-a-long-name-{index:06}-instruct"),
        object: "model".to_owned(),
        created: 1_700_000_000 + index as u32 * 60,
        owned_by: format!("An Owner of Models {provider}"),
        display_name: format!(
            "Vendor {provider}: A Model With a Long Name, Number {index:06} (Instruct)"
        ),
        context_length: 131_072,
        max_output_tokens: 16_384,
    }
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (body, delay) = (self.body.clone(), self.delay);
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
            Ok(response.body(Full::new(body)).unwrap())
        })
    }
}
