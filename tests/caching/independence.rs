//! A provider that hangs, fails, panics or sends nonsense does not delay or change any other.

use crate::support;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::support::{MODES, ScriptedSource, builder, get, list, models, now, send, settle, timed};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Either, Empty, Full};
use tokio::time::{Sleep, sleep};
use tower_models_cache::{
    Model, Provider, Readiness, StaticModelsCacheLayer, error::ListErrorKind,
};

const SECOND: Duration = Duration::from_secs(1);
const MISS_TIMEOUT: Duration = Duration::from_millis(1500);

/// A body of one byte per second, without end.
struct SlowBody(Pin<Box<Sleep>>);

impl SlowBody {
    fn new() -> Self {
        Self(Box::pin(sleep(SECOND)))
    }
}

impl Body for SlowBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.0.as_mut().poll(cx));
        self.0 = Box::pin(sleep(SECOND));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

type AnyBody = Either<Full<Bytes>, SlowBody>;

fn http(name: &str, body: impl Fn() -> AnyBody + Clone + Send + 'static) -> Provider {
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let response = Response::new(body());
        async { Ok::<_, Infallible>(response) }
    });
    Provider::http(name, service)
}

fn garbage() -> AnyBody {
    let bytes: Vec<u8> = (0..5_000_000_u32)
        .map(|at| ((at * 31) >> 3) as u8)
        .collect();
    Either::Left(Full::new(bytes.into()))
}

/// One broken provider of each kind, with the error kind it is reported as.
fn broken() -> Vec<(Provider, ListErrorKind)> {
    let panicking_future = ScriptedSource::new(|_| async {
        settle().await;
        panic!("panic in the future");
        #[expect(unreachable_code, reason = "gives the future its type")]
        Ok::<_, Infallible>(models([]))
    });
    let panicking_call = ScriptedSource::new(|_| -> std::future::Ready<Result<_, Infallible>> {
        panic!("panic in `call`")
    });
    let panicking_filter = Provider::source("filter", ScriptedSource::always(["a"]))
        .filter(|_| panic!("panic in the filter"));
    let panicking_drop = ScriptedSource::new(|_| async {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("panic in `drop`");
            }
        }
        let _bomb = Bomb;
        std::future::pending::<Result<_, Infallible>>().await
    });
    vec![
        (
            Provider::source("hung", ScriptedSource::hung()),
            ListErrorKind::Timeout,
        ),
        (
            Provider::source("failing", ScriptedSource::failing()),
            ListErrorKind::Other,
        ),
        (
            Provider::source("future", panicking_future),
            ListErrorKind::Panic,
        ),
        (
            Provider::source("call", panicking_call),
            ListErrorKind::Panic,
        ),
        (panicking_filter, ListErrorKind::Panic),
        (
            Provider::source("drop", panicking_drop),
            ListErrorKind::Panic,
        ),
        (http("garbage", garbage), ListErrorKind::NotJson),
        (
            http("drip", || Either::Right(SlowBody::new())),
            ListErrorKind::Timeout,
        ),
    ]
}

/// The broken providers, with a healthy provider before, among and after them.
fn mixed() -> Vec<Provider> {
    let good = |name| Provider::source(name, ScriptedSource::always(["a"]));
    let mut mixed = vec![good("first")];
    mixed.extend(broken().into_iter().map(|(provider, _)| provider));
    mixed.insert(4, good("middle"));
    mixed.push(good("last"));
    mixed
}

const GOOD: [&str; 3] = ["first/a", "middle/a", "last/a"];

fn listed(layer: &StaticModelsCacheLayer) -> Vec<String> {
    let snapshot = layer.cache().snapshot();
    snapshot
        .iter()
        .map(|model| model.id().into_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn healthy_providers_are_listed_immediately() {
    for mode in MODES {
        let began = now();
        let (layer, _refresher) = mode.start(builder(mixed()));
        assert!(layer.cache().ready(Readiness::AnyProvider).await);
        while listed(&layer).len() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "{mode:?}");
        assert_eq!(listed(&layer), GOOD);
        let model = send(&layer, get("/v1/models/last/a")).await;
        assert_eq!(model.status(), 200);
        assert_eq!(began.elapsed(), Duration::ZERO, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_waits_miss_timeout_for_first_fetch() {
    for mode in MODES {
        let (layer, _refresher) = mode.start(builder(mixed()));
        let requests = (0..100).map(|_| timed(list(&layer)));
        for (listed, took) in join_all(requests).await {
            assert_eq!(listed, GOOD);
            assert_eq!(took, MISS_TIMEOUT, "{mode:?}");
        }
        for _ in 0..100 {
            let (listed, took) = timed(list(&layer)).await;
            assert_eq!(listed, GOOD);
            assert_eq!(took, Duration::ZERO, "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn later_request_waits_remaining_miss_timeout() {
    for mode in MODES {
        let (layer, _refresher) = mode.start(builder(mixed()));
        let first = tokio::spawn({
            let layer = layer.clone();
            async move { timed(list(&layer)).await }
        });
        sleep(SECOND).await;
        let (_, took) = timed(list(&layer)).await;
        assert_eq!(took, SECOND / 2, "{mode:?}");
        assert_eq!(first.await.unwrap().1, MISS_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn miss_timeout_is_configurable() {
    for mode in MODES {
        let hung = Provider::source("hung", ScriptedSource::hung());
        let (layer, _refresher) = mode.start(builder([hung]).miss_timeout(SECOND / 10));
        let (response, took) = timed(send(&layer, get("/v1/models"))).await;
        assert_eq!((response.status().as_u16(), took), (503, SECOND / 10));
    }
}

#[tokio::test(start_paused = true)]
async fn request_does_not_wait_after_failed_fetch() {
    for mode in MODES {
        let (layer, _refresher) = mode.start(builder(mixed()));
        list(&layer).await;
        // Through several failed fetches of each.
        for _ in 0..600 {
            let (response, took) = timed(send(&layer, get("/v1/models"))).await;
            assert_eq!(took, Duration::ZERO, "{mode:?}");
            assert_eq!(support::ids(response.body()), GOOD);
            sleep(SECOND / 4).await;
        }
        let status = layer.cache().status();
        let kinds: Vec<_> = status
            .providers
            .iter()
            .filter_map(|one| Some((one.name.clone(), one.last_attempt.clone()?.error?.kind())))
            .collect();
        let expected: Vec<_> = broken()
            .into_iter()
            .map(|(provider, kind)| (provider.name().to_owned(), kind))
            .collect();
        assert_eq!(kinds, expected, "{mode:?}");
        assert!(status.providers.iter().all(|one| {
            one.last_attempt.as_ref().unwrap().error.is_none() == (one.failures == 0)
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn hung_provider_does_not_delay_shutdown() {
    let (layer, refresher) = builder(mixed()).spawn().unwrap();
    let (ready, took) = timed(layer.cache().ready(Readiness::AnyProvider)).await;
    assert!(ready && took == Duration::ZERO);
    // Each was fetched once, at the latest by the fetch deadline.
    let (ready, took) = timed(layer.cache().ready(Readiness::Attempted)).await;
    assert!(ready && took == SECOND * 15, "{took:?}");
    let ((), took) = timed(refresher.shutdown()).await;
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn hung_providers_do_not_starve_healthy_one() {
    for mode in MODES {
        let hung = |index| Provider::source(format!("hung-{index}"), ScriptedSource::hung());
        let good = Provider::source("good", ScriptedSource::always(["a"]));
        let (layer, _refresher) = mode.start(builder((0..40).map(hung).chain([good])));
        let (ready, took) = timed(layer.cache().ready(Readiness::AnyProvider)).await;
        assert!(ready);
        // Sixteen fetches run at once, each for at most 250 ms.
        assert_eq!(took, SECOND / 2, "{mode:?}");
        assert_eq!(list(&layer).await, ["good/a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_fetches_are_limited() {
    for mode in MODES {
        for most in [1, 3] {
            let begun = Arc::new(Mutex::new(Vec::new()));
            let start = now();
            let provider = |index: usize| {
                let begun = Arc::clone(&begun);
                let source = ScriptedSource::new(move |_| {
                    begun.lock().unwrap().push(start.elapsed());
                    async {
                        sleep(SECOND / 10).await;
                        Ok::<_, Infallible>(models(["a"]))
                    }
                });
                Provider::source(format!("lab-{index}"), source)
            };
            let providers = (0..9).map(provider);
            let (layer, _refresher) = mode.start(builder(providers).max_concurrent_fetches(most));
            assert_eq!(list(&layer).await.len(), 9);
            let expected: Vec<_> = (0..9)
                .map(|index| SECOND / 10 * u32::try_from(index / most).unwrap())
                .collect();
            assert_eq!(*begun.lock().unwrap(), expected, "{mode:?} {most}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recovered_provider_is_listed_again() {
    for mode in MODES {
        let source = ScriptedSource::new(|call| async move {
            match call {
                1..=3 => std::future::pending().await,
                4..=6 => Err("down"),
                _ => Ok(models(["a"])),
            }
        });
        let good = Provider::source("good", ScriptedSource::always(["a"]));
        let (layer, _refresher) = mode.start(builder([Provider::source("lab", source), good]));
        for _ in 0..300 {
            list(&layer).await;
            sleep(SECOND).await;
        }
        assert_eq!(list(&layer).await, ["lab/a", "good/a"], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_body_fails_at_size_limit() {
    let endless = || {
        let model = |index: u32| Model::new(format!("model-{index}"));
        ScriptedSource::new(move |_| async move {
            Ok::<_, Infallible>(
                (0..1001)
                    .map(model)
                    .collect::<tower_models_cache::model::ModelList>(),
            )
        })
    };
    let large = || Either::Left(Full::new(Bytes::from(vec![b' '; 10_001])));
    let layer = builder([
        Provider::source("many", endless()),
        http("large", large),
        Provider::source("good", ScriptedSource::always(["a"])),
    ])
    .max_models(1000)
    .max_bytes(10_000)
    .build()
    .unwrap();
    assert_eq!(list(&layer).await, ["good/a"]);
    let error = layer.cache().refresh().await.unwrap_err();
    let kinds: Vec<_> = error.failures().iter().map(|one| one.kind()).collect();
    assert_eq!(
        kinds,
        [ListErrorKind::TooManyModels, ListErrorKind::TooLarge]
    );
}
