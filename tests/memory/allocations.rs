//! Allocations per request, and bytes held per list.
//!
//! The allocator counts for all threads. Only one test runs at a time, and each figure of a
//! request is the minimum of many, so allocations of the test runner do not count.

use crate::bench_support;
use std::{alloc::System, ops::Range, sync::LazyLock};

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

/// A service with few models and one with many, both uncompressed: a cache that is shut down
/// serves its list and does not compress it.
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

/// The allocations of one call, without those for the request itself.
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
fn hit_allocates_twice_for_any_list_length() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        assert_eq!(allocations(&mut service, || get(LIST)), 2);
    }
}

#[cfg(feature = "compression")]
#[test]
fn encoded_hit_allocates_twice() {
    use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

    let _alone = TURN.blocking_lock();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _in = runtime.enter();
    let mut service = bench_support::layer(50).layer(bare());
    for coding in ["gzip", "zstd", "br", "gzip, deflate, br, zstd"] {
        let send = || with(get(LIST), ACCEPT_ENCODING, coding);
        let is_encoded = |service: &mut Cached| {
            run(service, send())
                .headers()
                .contains_key(CONTENT_ENCODING)
        };
        runtime.block_on(async {
            while !is_encoded(&mut service) {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(allocations(&mut service, send), 2, "{coding}");
    }
}

#[test]
fn not_modified_allocates_twice() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        let etag = service.cache().snapshot().etag().to_owned();
        let send = || with(get(LIST), IF_NONE_MATCH, &etag);
        assert_eq!(run(&mut service, send()).status(), 304);
        assert_eq!(allocations(&mut service, send), 2);
    }
}

#[test]
fn model_request_allocates_twice() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        let found = run(&mut service, get(MODEL));
        assert_eq!(found.status(), 200);
        let etag = found.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(allocations(&mut service, || get(MODEL)), 2);

        let send = || with(get(MODEL), IF_NONE_MATCH, &etag);
        assert_eq!(run(&mut service, send()).status(), 304);
        assert_eq!(allocations(&mut service, send), 2);
    }
}

#[test]
fn forwarded_request_allocates_nothing() {
    let _alone = TURN.blocking_lock();
    for mut service in small_and_large() {
        for (method, path) in [("POST", "/v1/chat/completions"), ("GET", "/healthz")] {
            let ours = allocations(&mut service, || request(method, path));
            let bare = allocations(&mut bare(), || request(method, path));
            assert_eq!(ours, bare, "{method} {path}");
        }
    }
}

/// Checks that what is allocated since `since` is at most three times the body of the list, whose
/// size is in the given range.
fn assert_memory_is_bounded(
    since: &Region<'_, System>,
    layer: &StaticModelsCacheLayer,
    size: Range<usize>,
) {
    let seen = since.change();
    let held = seen.bytes_allocated - seen.bytes_deallocated;
    let snapshot = layer.cache().snapshot();
    let served = snapshot.body().len();
    assert_eq!(snapshot.len(), 5_000);
    assert!(size.contains(&served), "{served}");
    println!("{held} bytes are held for {served}");
    assert!(held > served, "{held} bytes are held for {served}");
    assert!(held <= 3 * served, "{held} bytes are held for {served}");
}

/// Memory of a cache with 5,000 models of about 300 bytes each.
///
/// Declared lists replace fetched ones. They are made before the count starts, because the caller
/// may still hold them; the cache's own copy has the size of a fetched list. Nothing is
/// compressed: no request was sent yet.
#[test]
fn list_memory_is_at_most_three_times_body() {
    let _alone = TURN.blocking_lock();
    let providers = bench_support::providers(5_000);
    let builder = StaticModelsCacheLayer::builder().providers(providers);
    let region = Region::new(GLOBAL);
    let layer = builder.build().unwrap();
    assert_memory_is_bounded(&region, &layer, 1_300_000..1_700_000);
}

/// The same for a fetched list of 5,000 models as rich as OpenRouter's: only what is served is
/// held.
#[test]
fn rich_list_memory_is_at_most_three_times_body() {
    let _alone = TURN.blocking_lock();
    let body = bytes::Bytes::from(bench_support::rich::openrouter(5_000));
    // A runtime that polls its root future before the next task: compression does not start.
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
    assert_memory_is_bounded(&region, &layer, 3_500_000..4_500_000);
}
