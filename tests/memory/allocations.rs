//! What a request allocates, and what a list holds.
//!
//! The allocator counts for all threads. Only one test runs at a time, and each figure
//! of a request is the least of many: what the test runner allocates meanwhile is not ours.

use crate::bench_support;
use std::sync::LazyLock;

use crate::bench_support::{Cached, Constant, Incoming, get, request, run, with};
use http::header::IF_NONE_MATCH;
use stats_alloc::Region;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tower_models_cache::StaticModelsCacheLayer;

use crate::{GLOBAL, TURN};

const LIST: &str = "/v1/models";
const MODEL: &str = "/v1/models/provider-3/vendor-3/a-model-with-a-long-name-000003-instruct";

fn bare() -> Constant {
    Constant::plain("{}".into())
}

/// A service with few models, and one with many, of a list under no coding: a cache
/// that is shut down answers from what is there, and makes no variants.
fn small_and_large() -> [Cached; 2] {
    static BOTH: LazyLock<[Cached; 2]> = LazyLock::new(|| {
        [50, 50_000].map(|models| {
            let stop = CancellationToken::new();
            stop.cancel();
            let builder =
                StaticModelsCacheLayer::builder().providers(bench_support::providers(models));
            let layer = builder.cancellation_token(stop).build().unwrap();
            assert_eq!(layer.cache().snapshot().len(), models);
            layer.layer(bare())
        })
    });
    BOTH.clone()
}

/// The allocations of one call, without those of making the request.
fn allocations<S, B>(service: &mut S, make: impl Fn() -> Incoming) -> usize
where
    S: Service<Incoming, Response = http::Response<B>, Error = std::convert::Infallible>,
{
    let call = |_| {
        let request = make();
        let region = Region::new(GLOBAL);
        let response = run(service, request);
        let seen = region.change();
        drop(response);
        seen.allocations + seen.reallocations
    };
    (0..100).map(call).min().unwrap()
}

#[test]
fn a_hit_costs_two_allocations_however_many_models_there_are() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        assert_eq!(allocations(&mut service, || get(LIST)), 2);
    }
}

#[cfg(feature = "compression")]
#[test]
fn a_hit_under_a_coding_costs_no_more() {
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

    let _alone = TURN.blocking_lock();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _in = runtime.enter();
    let mut service = bench_support::layer(50).layer(bare());
    for coding in ["gzip", "zstd", "br", "gzip, deflate, br, zstd"] {
        let ask = || with(get(LIST), ACCEPT_ENCODING, coding);
        let is_encoded =
            |service: &mut Cached| run(service, ask()).headers().contains_key(CONTENT_ENCODING);
        runtime.block_on(async {
            while !is_encoded(&mut service) {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(allocations(&mut service, ask), 2, "{coding}");
    }
}

#[test]
fn a_304_costs_two_allocations_however_many_models_there_are() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        let etag = service.cache().snapshot().etag().to_owned();
        let ask = || with(get(LIST), IF_NONE_MATCH, &etag);
        assert_eq!(run(&mut service, ask()).status(), 304);
        assert_eq!(allocations(&mut service, ask), 2);
    }
}

#[test]
fn one_model_costs_two_allocations_however_many_there_are() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        let found = run(&mut service, get(MODEL));
        assert_eq!(found.status(), 200);
        let etag = found.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(allocations(&mut service, || get(MODEL)), 2);

        let ask = || with(get(MODEL), IF_NONE_MATCH, &etag);
        assert_eq!(run(&mut service, ask()).status(), 304);
        assert_eq!(allocations(&mut service, ask), 2);
    }
}

#[test]
fn what_is_not_ours_costs_no_allocation() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        for (method, path) in [("POST", "/v1/chat/completions"), ("GET", "/healthz")] {
            let ours = allocations(&mut service, || request(method, path));
            let bare = allocations(&mut bare(), || request(method, path));
            assert_eq!(ours, bare, "{method} {path}");
        }
    }
}

/// What a cache holds once its providers gave 5,000 models of about 300 bytes each.
///
/// The declared lists stand for fetched ones. They are made before the count begins,
/// for the caller handed them over and may hold them still; the cache's own copy of
/// each is what a fetched list would be. No variants are made: nothing was asked yet.
#[test]
fn three_bytes_are_held_at_the_most_for_each_that_is_served() {
    let _alone = TURN.blocking_lock();
    let providers = bench_support::providers(5_000);
    let builder = StaticModelsCacheLayer::builder().providers(providers);
    let region = Region::new(GLOBAL);
    let layer = builder.build().unwrap();
    let seen = region.change();
    let held = seen.bytes_allocated - seen.bytes_deallocated;
    let snapshot = layer.cache().snapshot();
    let served = snapshot.body().len();
    assert_eq!(snapshot.len(), 5_000);
    assert!((1_300_000..1_700_000).contains(&served), "{served}");
    assert!(held > served, "{held} bytes are held for {served}");
    assert!(held <= 3 * served, "{held} bytes are held for {served}");
}

/// The same for a fetched list of 5,000 models as rich as OpenRouter's: of what was read
/// nothing is held that is not served.
#[test]
fn three_bytes_are_held_at_the_most_for_each_that_is_served_of_a_rich_list() {
    let _alone = TURN.blocking_lock();
    let body = bytes::Bytes::from(bench_support::rich::openrouter(5_000));
    // One that looks at its root before the next task: no variants are begun.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .event_interval(1)
        .enable_time()
        .build()
        .unwrap();
    let thread = runtime.spawn_blocking(|| {});
    runtime.block_on(thread).unwrap();
    let region = Region::new(GLOBAL);
    let layer = bench_support::of_response(body, "openrouter".parse().unwrap());
    runtime.block_on(layer.cache().refresh()).unwrap();
    let seen = region.change();
    let held = seen.bytes_allocated - seen.bytes_deallocated;
    let snapshot = layer.cache().snapshot();
    let served = snapshot.body().len();
    assert_eq!(snapshot.len(), 5_000);
    assert!((3_500_000..4_500_000).contains(&served), "{served}");
    assert!(held > served, "{held} bytes are held for {served}");
    println!("{held} bytes are held for {served}");
    assert!(held <= 3 * served, "{held} bytes are held for {served}");
}
