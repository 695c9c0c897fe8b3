//! Concurrent requests: `cargo bench --all-features --bench herd`.
//!
//! - The cold herd: a thousand requests, and ten providers that take 50 ms each.
//! - Hits of eight readers, with a writer that publishes continuously and without one.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a bench measures real time"
)]

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use support::{Cached, Constant, Incoming, get, rounds::median, run};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt};
use tower_models_cache::{
    Model, Provider, StaticModelsCacheLayer, model::ModelList, provider::ListModels,
};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    herds(if quick { 1 } else { 7 });
    readers(if quick { 1 } else { 7 });
}

// ===== The cold herd =====

const REQUESTS: usize = 1000;
const PROVIDERS: usize = 10;
const MODELS: usize = 50;
const DELAY: Duration = Duration::from_millis(50);

/// A provider's list, after a delay.
async fn list(provider: usize, calls: Arc<AtomicUsize>) -> Result<ModelList, Infallible> {
    calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(DELAY).await;
    let model = |index| Model::new(format!("vendor-{provider}/a-model-{index:04}"));
    Ok((0..MODELS).map(model).collect())
}

fn sources(calls: &Arc<AtomicUsize>) -> impl Iterator<Item = Provider> {
    let calls = Arc::clone(calls);
    (0..PROVIDERS).map(move |provider| {
        let calls = Arc::clone(&calls);
        let source = tower::service_fn(move |_: ListModels| list(provider, Arc::clone(&calls)));
        Provider::source(format!("provider-{provider}"), source)
    })
}

/// No cache: each request fetches all lists, merges and serialises them.
async fn fetch_all(calls: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, Infallible> {
    let requested = (0..PROVIDERS).map(|provider| list(provider, Arc::clone(&calls)));
    let lists = futures_util::future::join_all(requested).await;
    let lists = lists.into_iter().enumerate();
    let records = lists.flat_map(|(provider, Ok(list))| {
        let record = |model: &Model| {
            serde_json::json!({
                "id": format!("provider-{provider}/{}", model.id()),
                "object": "model",
                "created": 0,
                "owned_by": format!("provider-{provider}"),
            })
        };
        list.models().iter().map(record).collect::<Vec<_>>()
    });
    let data: Vec<_> = records.collect();
    let list = serde_json::json!({ "object": "list", "data": data });
    Ok(Response::new(Full::new(list.to_string().into())))
}

/// Sends the herd, and returns when half and all of the responses arrived, in milliseconds.
async fn herd<S, B>(service: S) -> (f64, f64)
where
    S: Service<Incoming, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    let start = Arc::new(Barrier::new(REQUESTS));
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (service, start) = (service.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let began = Instant::now();
                let Ok(response) = service.oneshot(get("/v1/models")).await;
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
    let wait = |(_, ended): (_, Instant)| (ended - began).as_secs_f64() * 1e3;
    let mut waits: Vec<_> = spans.into_iter().map(wait).collect();
    waits.sort_unstable_by(f64::total_cmp);
    (waits[REQUESTS / 2], waits[REQUESTS - 1])
}

#[derive(Default)]
struct Herd {
    calls: usize,
    half: Vec<f64>,
    all: Vec<f64>,
}

fn herds(rounds: usize) {
    let names = ["**ours**", "ours, `without_cache`", "no cache"];
    let mut herds = names.map(|_| Herd::default());
    for _ in 0..rounds {
        for (index, herd) in herds.iter_mut().enumerate() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_time()
                .build()
                .unwrap();
            let calls = Arc::new(AtomicUsize::new(0));
            let inner = Constant::plain("{}".into());
            let builder = StaticModelsCacheLayer::builder().providers(sources(&calls));
            let (half, all) = runtime.block_on(async {
                match index {
                    0 => {
                        let (layer, _refresher) = builder.spawn().unwrap();
                        self::herd(layer.layer(inner)).await
                    }
                    1 => self::herd(builder.without_cache().build().unwrap().layer(inner)).await,
                    _ => {
                        let calls = Arc::clone(&calls);
                        let no_cache = move |_: Incoming| fetch_all(Arc::clone(&calls));
                        self::herd(tower::service_fn(no_cache)).await
                    }
                }
            });
            herd.calls = calls.load(Ordering::Relaxed);
            herd.half.push(half);
            herd.all.push(all);
        }
    }
    println!("\n## Cold herd: {REQUESTS} requests, {PROVIDERS} providers that take {DELAY:?}\n");
    println!("| | provider calls | half done after | all done after |");
    println!("| --- | --: | --: | --: |");
    for (name, herd) in names.iter().zip(herds) {
        let [half, all] = [herd.half, herd.all].map(|waits| median(waits.into_iter()));
        println!("| {name} | {} | {half:.1} ms | {all:.1} ms |", herd.calls);
    }
}

// ===== Readers and a writer =====

const READERS: usize = 8;
const SPAN: Duration = Duration::from_millis(300);
const PACE: Duration = Duration::from_millis(1);

/// The latencies of all readers' hits in nanoseconds, sorted.
fn hits(service: &Cached) -> Vec<u32> {
    let stop = AtomicBool::new(false);
    let read = || {
        let mut service = service.clone();
        let mut took = Vec::with_capacity(1 << 20);
        while !stop.load(Ordering::Relaxed) && took.len() < took.capacity() {
            // Made in advance, so that the measurement contains only the hit.
            for request in std::array::from_fn::<_, 16, _>(|_| get("/v1/models")) {
                let began = Instant::now();
                drop(run(&mut service, request));
                took.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
            }
        }
        took
    };
    let mut all = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        thread::sleep(SPAN);
        stop.store(true, Ordering::Relaxed);
        let took = readers
            .into_iter()
            .flat_map(|reader| reader.join().unwrap());
        took.collect::<Vec<_>>()
    });
    all.sort_unstable();
    all
}

/// Publishes a list in which one provider has changed, every millisecond, until the token
/// is cancelled.
fn write(service: &Cached, done: &CancellationToken) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let cache = service.cache();
    let mut written = 0;
    runtime.block_on(async {
        let mut pace = tokio::time::interval(PACE);
        while !done.is_cancelled() {
            pace.tick().await;
            let mut providers = support::providers(500);
            providers[3] = Provider::fixed("provider-3", [Model::new(format!("new-{written}"))]);
            cache.set_providers(providers).await.unwrap();
            written += 1;
        }
    });
    written
}

fn readers(rounds: usize) {
    // A cache that is shut down still publishes but does not compress, so the readers share
    // the machine with the writer only.
    let stop = CancellationToken::new();
    stop.cancel();
    let layer = StaticModelsCacheLayer::builder()
        .providers(support::providers(500))
        .cancellation_token(stop)
        .build()
        .unwrap();
    let service = layer.layer(Constant::plain("{}".into()));
    let (mut quiet, mut busy, mut published) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        quiet.push(hits(&service));
        let done = CancellationToken::new();
        thread::scope(|scope| {
            let writer = scope.spawn(|| write(&service, &done));
            busy.push(hits(&service));
            done.cancel();
            published += writer.join().unwrap();
        });
    }
    let at =
        |sorted: &Vec<u32>, part: f64| f64::from(sorted[(sorted.len() as f64 * part) as usize]);
    println!("\n## Hits of {READERS} readers, {published} publications in the meantime\n");
    println!("| | quiet | with a writer | ratio |\n| --- | --: | --: | --: |");
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let of = |all: &[Vec<u32>]| median(all.iter().map(|sorted| at(sorted, part)));
        let ratios = quiet.iter().zip(&busy);
        let ratio = median(ratios.map(|(quiet, busy)| at(busy, part) / at(quiet, part)));
        println!(
            "| {name} | {:.0} ns | {:.0} ns | {ratio:.2} |",
            of(&quiet),
            of(&busy)
        );
    }
}
