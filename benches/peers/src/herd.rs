//! The cold herd: a thousand concurrent requests to an empty cache.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{runtime, sync::Barrier};
use tower::{Service, ServiceExt};

use crate::{
    contenders::{self as with, Behind},
    gateway::{Gateway, Origin},
    request::{LIST, request},
    upstream::{Upstream, upstreams},
};

const REQUESTS: usize = 1000;
const MODELS: usize = 500;
pub const DELAY: Duration = Duration::from_millis(50);

/// The result of one contender.
#[derive(Debug)]
pub struct Outcome {
    pub name: &'static str,
    pub calls: usize,
    pub half: Duration,
    pub all: Duration,
}

/// Runs all contenders, each with its own providers.
pub fn herds() -> Vec<Outcome> {
    vec![
        herd::<_, Full<Bytes>, _>("**ours**", LIST, |runtime, upstreams| {
            with::ours(runtime, upstreams)
        }),
        herd::<_, AxumBody, _>("axum handler over arc-swap", LIST, |_, upstreams| {
            with::axum_arc_swap(Gateway::new(upstreams), Bytes::new())
        }),
        herd::<_, AxumBody, _>("axum handler over moka", LIST, |_, upstreams| {
            with::axum_moka(Gateway::new(upstreams))
        }),
        herd::<_, Full<Bytes>, _>("tower-http-cache", LIST, |_, upstreams| {
            with::tower_http_cache(behind(upstreams))
        }),
        herd::<_, AxumBody, _>("axum-response-cache", LIST, |_, upstreams| {
            with::axum_response_cache(behind(upstreams))
        }),
        herd::<_, Full<Bytes>, _>(
            "http-cache-tower",
            "http://127.0.0.1:8080/v1/models",
            |_, upstreams| with::http_cache_tower(behind(upstreams)),
        ),
        herd::<_, AxumBody, _>("original gateway", LIST, |_, upstreams| {
            with::origin(Origin::new(upstreams))
        }),
        herd::<_, AxumBody, _>("no cache", LIST, |_, upstreams| {
            with::no_cache(Gateway::new(upstreams))
        }),
    ]
}

fn behind(upstreams: &[Upstream]) -> Behind {
    Behind(Gateway::new(upstreams))
}

fn herd<S, ReqBody, ResBody>(
    name: &'static str,
    uri: &'static str,
    make: impl FnOnce(&runtime::Runtime, &[Upstream]) -> S,
) -> Outcome
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: fmt::Debug + Send,
    S::Future: Send,
    ReqBody: From<Bytes> + Send + 'static,
    ResBody: Send + 'static,
{
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (upstreams, calls) = upstreams(MODELS, DELAY);
    let service = make(&runtime, &upstreams);
    let mut waits = runtime.block_on(async {
        // Spawn all of them before the first one starts.
        let start = Arc::new(Barrier::new(REQUESTS));
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let (service, start) = (service.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let began = Instant::now();
                    let response = service.oneshot(request("GET", uri)).await.unwrap();
                    assert_eq!(response.status(), 200);
                    (began, Instant::now())
                })
            })
            .collect();
        let mut spans = Vec::with_capacity(REQUESTS);
        for request in requests {
            spans.push(request.await.unwrap());
        }
        // From the start of the herd: time before the first poll is part of the wait.
        let began = spans.iter().map(|&(began, _)| began).min().unwrap();
        let ends = spans.into_iter().map(|(_, ended)| ended - began);
        ends.collect::<Vec<_>>()
    });
    waits.sort_unstable();
    Outcome {
        name,
        calls: calls.load(Ordering::Relaxed),
        half: waits[REQUESTS / 2],
        all: waits[REQUESTS - 1],
    }
}
