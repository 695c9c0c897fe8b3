//! A hit, compared with its floors: `cargo bench --all-features --bench hit`.

mod support;

use std::{convert::Infallible, future::ready, hint::black_box};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Response, header};
use http_body_util::Full;
use support::{Cached, Constant, LIST_REQUESTS, all_dialects, cached, get, request, run, with};
use tower::Service;

fn measure<S, B>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    service: &mut S,
    make: impl Fn() -> support::Incoming,
) where
    S: Service<support::Incoming, Response = Response<B>, Error = Infallible>,
{
    group.bench_function(name, |bencher| {
        // Dropping the response is part of the measured cost.
        bencher.iter_batched(
            &make,
            |request| drop(black_box(run(service, black_box(request)))),
            BatchSize::SmallInput,
        );
    });
}

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    let mut ours: Cached = cached(500);
    let mut constant_etag = Constant::like(&mut ours);
    let mut constant = Constant::plain(ours.cache().snapshot().body());
    let etag = ours.cache().snapshot().etag().to_owned();
    measure(&mut group, "constant", &mut constant, || get("/v1/models"));
    measure(&mut group, "constant-etag", &mut constant_etag, || {
        get("/v1/models")
    });
    // The minimum for a gateway without a cache, if the providers' lists are in memory.
    let held: serde_json::Value =
        serde_json::from_slice(&ours.cache().snapshot().body()).expect("the list is JSON");
    let mut without_cache = tower::service_fn(|_: support::Incoming| {
        let merged = held.clone();
        let body = serde_json::to_vec(&merged).expect("the list is JSON");
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(
            body,
        ))))
    });
    measure(
        &mut group,
        "without a cache: merge, serialise",
        &mut without_cache,
        || get("/v1/models"),
    );
    for models in [50, 500, 5_000, 50_000] {
        let name = format!("hit, {models} models");
        measure(&mut group, &name, &mut cached(models), || get("/v1/models"));
    }
    measure(&mut group, "304", &mut ours, || {
        with(get("/v1/models"), header::IF_NONE_MATCH, &etag)
    });
    measure(&mut group, "one model", &mut ours, || {
        get("/v1/models/provider-3/vendor-3/a-model-with-a-long-name-000007-instruct")
    });
    let mut bare = Constant::plain("{}".into());
    let chat = || request("POST", "/v1/chat/completions");
    measure(&mut group, "pass-through, bare", &mut bare, chat);
    measure(&mut group, "pass-through, ours", &mut ours, chat);
    let health = || get("/healthz");
    measure(&mut group, "pass-through GET, bare", &mut bare, health);
    measure(&mut group, "pass-through GET, ours", &mut ours, health);
    group.finish();
}

/// Each dialect, and a view, compared with the plain list of the same gateway.
fn representations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("representations");
    let mut ours: Cached = all_dialects(500);
    for (name, request) in LIST_REQUESTS {
        measure(&mut group, name, &mut ours, request);
    }
    let mut many = all_dialects(5_000);
    for (name, request) in LIST_REQUESTS {
        measure(
            &mut group,
            &format!("{name}, 5000 models"),
            &mut many,
            request,
        );
    }
    group.finish();
}

criterion_group!(benches, hit, representations);
criterion_main!(benches);
