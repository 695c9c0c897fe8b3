//! Tokens that expire: fetched when needed, kept while valid, sent with every page, and never
//! shown.

use crate::support;
use std::{
    convert::Infallible,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::log::LOG;
use crate::support::{MODES, builder, list, now, timed};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{Empty, Full};
use tokio::time::{sleep, sleep_until};
use tower::service_fn;
use tower_models_cache::{
    ModelsCache, Provider, Secret,
    error::{BoxError, ListErrorKind, ProviderError},
    provider::{AccessToken, Dialect},
    status::ProviderStatus,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

// ===== Providers and token hooks =====

/// The requests that reached a provider: URI and credential.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<(Uri, String)>>>);

impl Requests {
    fn keep(&self, uri: &Uri, headers: &HeaderMap) -> String {
        let keys: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
        let [key] = keys[..] else {
            panic!("{} credentials on {uri}", keys.len());
        };
        assert!(key.is_sensitive());
        let key = key.to_str().unwrap().to_owned();
        self.0.lock().unwrap().push((uri.clone(), key.clone()));
        key
    }

    /// The credentials since the last call.
    fn keys(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.0.lock().unwrap());
        requests.into_iter().map(|(_, key)| key).collect()
    }

    /// The cursor and the credential of each page request.
    fn pages(&self) -> Vec<(String, String)> {
        let requests = std::mem::take(&mut *self.0.lock().unwrap());
        let page = |(uri, key): (Uri, String)| {
            let query = uri.query().unwrap().to_owned();
            let page = query
                .split_once("after_id=")
                .map_or("first", |(_, page)| page);
            (page.to_owned(), key)
        };
        requests.into_iter().map(page).collect()
    }
}

/// A provider with a list of one page, which responds to a credential with the status that
/// `judge` returns.
fn lab(judge: impl Fn(&str) -> u16 + Clone + Send + Sync + 'static) -> (Provider, Requests) {
    let requests = Requests::default();
    let keep = requests.clone();
    let service = service_fn(move |request: Request<Empty<Bytes>>| {
        let key = keep.keep(request.uri(), request.headers());
        let body = Full::new(Bytes::from_static(br#"{"data":[{"id":"a"}]}"#));
        let response = Response::builder().status(judge(&key)).body(body).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    (Provider::http("lab", service), requests)
}

fn open(_: &str) -> u16 {
    200
}

/// A provider with three pages in Anthropic's dialect.
fn paged(
    judge: impl Fn(&str, &str) -> u16 + Clone + Send + Sync + 'static,
) -> (Provider, Requests) {
    let requests = Requests::default();
    let keep = requests.clone();
    let service = service_fn(move |request: Request<Empty<Bytes>>| {
        let key = keep.keep(request.uri(), request.headers());
        let query = request.uri().query().unwrap();
        let page = query
            .split_once("after_id=")
            .map_or("first", |(_, page)| page);
        let body = match page {
            "first" => r#"{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}"#,
            "a" => r#"{"data":[{"id":"b"}],"has_more":true,"last_id":"b"}"#,
            "b" => r#"{"data":[{"id":"c"}],"has_more":false,"last_id":"c"}"#,
            other => panic!("unknown cursor {other}"),
        };
        let body = Full::new(Bytes::from_static(body.as_bytes()));
        let response = Response::builder().status(judge(page, &key));
        let response = response.body(body).unwrap();
        async { Ok::<_, Infallible>(response) }
    });
    let provider = Provider::http("lab", service).dialect(Dialect::Anthropic);
    (provider, requests)
}

/// Counts the calls of a hook, whose tokens are `t1`, `t2` and so on.
#[derive(Clone, Default)]
struct Hook(Arc<AtomicUsize>);

impl Hook {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// The provider with this hook, whose tokens are made by `make`.
    fn on<F, Fut>(&self, provider: Provider, make: F) -> Provider
    where
        F: Fn(AccessToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, BoxError>> + Send + 'static,
    {
        let calls = Arc::clone(&self.0);
        provider.token(move || {
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            make(AccessToken::new(format!("t{call}")))
        })
    }
}

async fn good(token: AccessToken) -> Result<AccessToken, BoxError> {
    Ok(token)
}

fn cache(provider: Provider) -> ModelsCache {
    // A handle keeps its cache alive, and only the test refreshes it.
    builder([provider]).build().unwrap().cache()
}

async fn refresh(cache: &ModelsCache) {
    cache.refresh_provider("lab").await.unwrap();
}

async fn failure(cache: &ModelsCache) -> ProviderError {
    cache.refresh_provider("lab").await.unwrap_err()
}

fn status(cache: &ModelsCache) -> ProviderStatus {
    cache.status().providers.remove(0)
}

// ===== Lifetime of a token =====

#[tokio::test(start_paused = true)]
async fn token_is_renewed_shortly_before_expiry() {
    for (good_for, kept_for) in [
        (SECOND * 10, SECOND * 9),
        (SECOND * 100, SECOND * 90),
        (MINUTE * 10, MINUTE * 9),
        (HOUR, MINUTE * 59),
        (HOUR * 24, MINUTE * (24 * 60 - 1)),
    ] {
        let (provider, requests) = lab(open);
        let hook = Hook::default();
        let provider = hook.on(provider, move |token| good(token.expires_in(good_for)));
        let cache = cache(provider);
        let began = now();
        for (at, call) in [
            (Duration::ZERO, 1),
            (kept_for / 2, 1),
            (kept_for - SECOND / 100, 1),
            (kept_for, 2),
            (kept_for * 2 - SECOND / 100, 2),
            (kept_for * 2, 3),
        ] {
            sleep_until(began + at).await;
            refresh(&cache).await;
            assert_eq!(
                requests.keys(),
                [format!("Bearer t{call}")],
                "{good_for:?} {at:?}"
            );
            assert_eq!(hook.calls(), call);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_kept_only_until_expiry() {
    let (provider, requests) = lab(open);
    let hook = Hook::default();
    let kept = cache(hook.on(provider, good));
    for _ in 0..48 {
        refresh(&kept).await;
        sleep(HOUR).await;
    }
    assert_eq!((hook.calls(), requests.keys().len()), (1, 48));

    for (good_for, calls) in [(Duration::MAX, 1), (Duration::ZERO, 3)] {
        let (provider, requests) = lab(open);
        let hook = Hook::default();
        let provider = hook.on(provider, move |token| good(token.expires_in(good_for)));
        let cache = cache(provider);
        for _ in 0..3 {
            refresh(&cache).await;
        }
        assert_eq!((hook.calls(), requests.keys().len()), (calls, 3));
    }
}

/// The token was made before it arrived, at an unknown time.
#[tokio::test(start_paused = true)]
async fn token_lifetime_includes_fetch_time() {
    let (provider, _) = lab(open);
    let hook = Hook::default();
    let provider = hook.on(provider, |token| async {
        sleep(SECOND * 8).await;
        Ok(token.expires_in(SECOND * 100))
    });
    let cache = cache(provider);
    let began = now();
    for (at, calls) in [(0, 1), (89, 1), (90, 2)] {
        sleep_until(began + SECOND * at).await;
        refresh(&cache).await;
        assert_eq!(hook.calls(), calls, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_fetched_once_per_lifetime() {
    for mode in MODES {
        let (provider, requests) = lab(open);
        let hook = Hook::default();
        let provider = hook.on(provider, |token| good(token.expires_in(HOUR)));
        let (layer, _refresher) = mode.start(builder([provider]));
        for _ in 0..24 * 60 {
            list(&layer).await;
            sleep(MINUTE).await;
        }
        assert!(
            (22..=25).contains(&hook.calls()),
            "{mode:?}: {}",
            hook.calls()
        );
        assert!(requests.keys().len() > 200);
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_fetch_one_token() {
    let (provider, requests) = lab(open);
    let hook = Hook::default();
    let provider = hook.on(provider, |token| async {
        sleep(SECOND).await;
        Ok(token)
    });
    let layer = builder([provider]).build().unwrap();
    let callers = (0..100).map(|_| list(&layer));
    for listed in futures_util::future::join_all(callers).await {
        assert_eq!(listed, ["lab/a"]);
    }
    assert_eq!(
        (hook.calls(), requests.keys()),
        (1, vec!["Bearer t1".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn every_page_request_has_the_token() {
    let (provider, requests) = paged(|_, _| 200);
    let hook = Hook::default();
    let cache = cache(hook.on(provider, good));
    refresh(&cache).await;
    let expected = ["first", "a", "b"].map(|page| (page.to_owned(), "Bearer t1".to_owned()));
    assert_eq!(requests.pages(), expected);
    assert_eq!(cache.snapshot().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn token_replaces_key() {
    let (provider, requests) = lab(open);
    let provider = provider.bearer(Secret::new("sk-old"));
    let cache = cache(Hook::default().on(provider, good));
    refresh(&cache).await;
    assert_eq!(requests.keys(), ["Bearer t1"]);
}

// ===== Hooks that fail =====

#[tokio::test(start_paused = true)]
async fn failed_token_hook_keeps_list() {
    for mode in MODES {
        let (provider, requests) = lab(open);
        let hook = Hook::default();
        let works = Arc::new(Mutex::new(true));
        let is_up = Arc::clone(&works);
        let provider = hook.on(provider, move |token| {
            let up = *is_up.lock().unwrap();
            async move {
                let token = up.then_some(token).ok_or("the vault is sealed")?;
                Ok(token.expires_in(MINUTE))
            }
        });
        let (layer, _refresher) = mode.start(builder([provider]));
        assert_eq!(list(&layer).await, ["lab/a"]);
        *works.lock().unwrap() = false;
        sleep(MINUTE).await;
        let error = failure(&layer.cache()).await;
        assert_eq!(
            (error.kind(), error.retry_after()),
            (ListErrorKind::Credential, None)
        );
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.to_string(), "the vault is sealed");
        assert_eq!(layer.cache().snapshot().len(), 1);
        let now = status(&layer.cache());
        assert_eq!((now.failures, now.models), (1, 1));
        assert_eq!(
            requests.keys().len(),
            1,
            "no request is sent without a token"
        );

        *works.lock().unwrap() = true;
        refresh(&layer.cache()).await;
        assert_eq!(requests.keys(), [format!("Bearer t{}", hook.calls())]);
        assert_eq!(list(&layer).await, ["lab/a"], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_without_first_token() {
    let (provider, requests) = lab(open);
    let provider = provider.token(|| async { Err::<AccessToken, _>("no") });
    let cache = cache(provider);
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Credential);
    assert!(cache.snapshot().is_empty() && requests.keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn panicking_token_hook_is_called_again() {
    let (provider, requests) = lab(open);
    let hook = Hook::default();
    let calls = hook.clone();
    let provider = hook.on(provider, move |token| {
        assert!(calls.calls() != 1, "panic in the hook");
        good(token)
    });
    let cache = cache(provider);
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Panic);
    refresh(&cache).await;
    assert_eq!(requests.keys(), ["Bearer t2"]);
}

#[tokio::test(start_paused = true)]
async fn hung_token_hook_fails_at_fetch_deadline() {
    for (own, end) in [(None, SECOND * 15), (Some(SECOND * 3), SECOND * 3)] {
        let (mut provider, requests) = lab(open);
        if let Some(timeout) = own {
            provider = provider.timeout(timeout);
        }
        let hook = Hook::default();
        let calls = hook.clone();
        let provider = hook.on(provider, move |token| {
            let hangs = calls.calls() == 2;
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(token.expires_in(SECOND))
            }
        });
        let cache = cache(provider);
        refresh(&cache).await;
        sleep(SECOND).await;
        let (error, took) = timed(failure(&cache)).await;
        assert_eq!((error.kind(), took), (ListErrorKind::Timeout, end));
        assert_eq!(cache.snapshot().len(), 1);
        assert_eq!(requests.keys(), ["Bearer t1"]);
        refresh(&cache).await;
        assert_eq!(requests.keys(), ["Bearer t3"]);
    }
}

/// Regression: a token that is not a valid header value was never sent, so never refused, and
/// kept forever.
#[tokio::test(start_paused = true)]
async fn unsendable_token_is_not_kept() {
    for bad in ["", "t1\n", "t1\u{2014}"] {
        let (provider, requests) = lab(open);
        let hook = Hook::default();
        let calls = hook.clone();
        let provider = hook.on(provider, move |token| {
            good(if calls.calls() == 1 {
                AccessToken::new(bad)
            } else {
                token
            })
        });
        let cache = cache(provider);
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::Credential);
        assert!(requests.keys().is_empty());
        refresh(&cache).await;
        assert_eq!(requests.keys(), ["Bearer t2"]);
    }
}

// ===== Refused tokens =====

#[tokio::test(start_paused = true)]
async fn request_is_retried_with_new_token_after_401() {
    let (provider, requests) = lab(|key| if key == "Bearer t1" { 401 } else { 200 });
    let hook = Hook::default();
    let cache = cache(hook.on(provider, good));
    refresh(&cache).await;
    assert_eq!(requests.keys(), ["Bearer t1", "Bearer t2"]);
    // The new token is kept.
    refresh(&cache).await;
    assert_eq!(
        (requests.keys(), hook.calls()),
        (vec!["Bearer t2".to_owned()], 2)
    );
    assert_eq!(status(&cache).failures, 0);
}

#[tokio::test(start_paused = true)]
async fn persistent_401_is_retried_once() {
    let (provider, requests) = lab(|_| 401);
    let hook = Hook::default();
    let cache = cache(hook.on(provider, good));
    for fetch in 1..=3 {
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(401));
        assert_eq!(requests.keys().len(), 2, "fetch {fetch}");
        // A refused token is not sent again by the next fetch.
        assert_eq!(hook.calls(), 2 * fetch);
    }
}

#[tokio::test(start_paused = true)]
async fn provider_with_persistent_401_backs_off() {
    for mode in MODES {
        let (provider, requests) = lab(|_| 401);
        let (layer, _refresher) = mode.start(builder([Hook::default().on(provider, good)]));
        for _ in 0..3600 {
            support::send(&layer, support::get("/v1/models")).await;
            sleep(SECOND).await;
        }
        let requests = requests.keys().len();
        assert!((4..100).contains(&requests), "{mode:?}: {requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_statuses_keep_the_token() {
    for code in [400, 403, 404, 429, 500] {
        let (provider, requests) = lab(move |_| code);
        let hook = Hook::default();
        let cache = cache(hook.on(provider, good));
        for _ in 0..2 {
            assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(code));
        }
        assert_eq!((hook.calls(), requests.keys().len()), (1, 2), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn page_with_401_is_retried_alone() {
    // t1 is accepted for one page only.
    let (provider, requests) = paged(|page, key| match (page, key) {
        ("first", _) => 200,
        (_, "Bearer t1") => 401,
        _ => 200,
    });
    let hook = Hook::default();
    let cache = cache(hook.on(provider, good));
    refresh(&cache).await;
    let expected = [("first", "t1"), ("a", "t1"), ("a", "t2"), ("b", "t2")];
    let expected = expected.map(|(page, key)| (page.to_owned(), format!("Bearer {key}")));
    assert_eq!(requests.pages(), expected);
    assert_eq!((hook.calls(), cache.snapshot().len()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn every_page_may_be_retried_once() {
    // Every token is accepted for one page only.
    let used = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let (provider, requests) = paged(move |_, key| {
        let is_new = used.lock().unwrap().insert(key.to_owned());
        if is_new { 200 } else { 401 }
    });
    let hook = Hook::default();
    let cache = cache(hook.on(provider, good));
    refresh(&cache).await;
    let expected = [("first", 1), ("a", 1), ("a", 2), ("b", 2), ("b", 3)];
    let expected = expected.map(|(page, key)| (page.to_owned(), format!("Bearer t{key}")));
    assert_eq!(requests.pages(), expected);

    // A second refusal of the same page is a failure, and nothing is stored.
    let (provider, requests) = paged(|page, _| if page == "b" { 401 } else { 200 });
    let cache = self::cache(Hook::default().on(provider, good));
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(401));
    let pages: Vec<_> = requests.pages().into_iter().map(|(page, _)| page).collect();
    assert_eq!(pages, ["first", "a", "b", "b"]);
    assert!(cache.snapshot().is_empty());
}

#[tokio::test(start_paused = true)]
async fn failed_token_hook_after_401_is_reported() {
    let (provider, requests) = lab(|_| 401);
    let hook = Hook::default();
    let calls = hook.clone();
    let provider = hook.on(provider, move |token| {
        let first = calls.calls() == 1;
        async move { first.then_some(token).ok_or_else(|| "sealed".into()) }
    });
    let cache = cache(provider);
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Credential);
    assert_eq!(requests.keys(), ["Bearer t1"]);
}

#[tokio::test(start_paused = true)]
async fn refused_static_key_is_not_retried() {
    let (provider, requests) = lab(|_| 401);
    let cache = cache(provider.bearer(Secret::new("sk-1")));
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(401));
    assert_eq!(requests.keys(), ["Bearer sk-1"]);
}

// ===== Where tokens may be sent and shown =====

#[cfg(feature = "client")]
#[test]
fn token_over_plain_http_needs_opt_in() {
    let build = |url: &str, allow| {
        let provider = Provider::client("lab", url).allow_plain_http_key(allow);
        let provider = Hook::default().on(provider, good);
        builder([provider])
            .build()
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for url in [
        "http://10.0.0.1",
        "http://10.0.0.1:8080/v1",
        "http://lab.test",
        "http://[fd00::1]",
    ] {
        let error = build(url, false).unwrap_err();
        let expected = "providers.lab.base_url is plain http to another machine, while a key is \
                        set, expected https, a loopback host, or allow_plain_http_key";
        assert_eq!(error, expected);
        assert_eq!(build(url, true), Ok(()));
    }
    for url in [
        "https://10.0.0.1",
        "http://127.0.0.1:8000",
        "http://localhost",
        "http://[::1]",
    ] {
        assert_eq!(build(url, false), Ok(()), "{url}");
    }
}

const SECRET: &str = "ya29-hunter2";

/// The error of a hook that quotes the token.
struct LeakyError;

impl fmt::Debug for LeakyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LeakyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SECRET} has expired")
    }
}

impl std::error::Error for LeakyError {}

#[tokio::test]
async fn token_never_appears_in_output() {
    let log = &*LOG;

    let token = AccessToken::new(SECRET).expires_in(HOUR);
    let mut shown = format!("{token:?} {token:#?}");
    let hooks: [fn() -> Result<AccessToken, BoxError>; 4] = [
        || Ok(AccessToken::new(SECRET).expires_in(HOUR)),
        || Ok(AccessToken::new(SECRET)),
        || Ok(AccessToken::new(format!("{SECRET}\n"))),
        || Err(LeakyError.into()),
    ];
    let mut kinds = Vec::new();
    for hook in hooks {
        for code in [200, 401] {
            let seen = Arc::new(Mutex::new(String::new()));
            let sight = Arc::clone(&seen);
            // A service may log its requests.
            let service = service_fn(move |request: Request<Empty<Bytes>>| {
                *sight.lock().unwrap() += &format!("{request:?}");
                tracing::info!(?request, "asked");
                let body = Full::new(Bytes::from_static(br#"{"data":[{"id":"a"}]}"#));
                let response = Response::builder().status(code).body(body).unwrap();
                async { Ok::<_, Infallible>(response) }
            });
            let provider = Provider::http("lab", service);
            let provider = provider.token(move || std::future::ready(hook()));
            shown += &format!("{provider:?} {provider:#?}");
            let builder = builder([provider]);
            shown += &format!("{builder:?}");
            let layer = builder.build().unwrap();
            let cache = layer.cache();
            let outcome = cache.refresh_provider("lab").await;
            if let Err(error) = &outcome {
                shown += &format!("{error} {error:#?}");
            }
            kinds.push(outcome.err().map(|error| error.kind()));
            let status = cache.status();
            shown += &format!("{layer:?} {cache:?} {status:?} {:?}", cache.snapshot());
            shown += &serde_json::to_string(&status).unwrap();
            let answer = support::send(&layer, support::get("/v1/models")).await;
            shown += &format!("{answer:?}");
            shown += &seen.lock().unwrap();
        }
    }
    let (refused, none) = (
        Some(ListErrorKind::Status(401)),
        Some(ListErrorKind::Credential),
    );
    assert_eq!(
        kinds,
        [None, refused, None, refused, none, none, none, none]
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let log = log.text();
    assert!(log.contains("failed to fetch the model list"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
