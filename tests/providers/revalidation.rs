//! A list with a validator (RFC 9110, section 13) is fetched conditionally and confirmed by a
//! 304: only from the same address, for the same credential, for the same list.

use crate::support;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use crate::support::{MODES, builder, get, list, send, settle};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request};
use http_body::{Body, Frame};
use http_body_util::Empty;
use tokio::time::sleep;
use tower::Service;
use tower_models_cache::{
    ModelsCache, Provider, Secret, StaticModelsCacheLayer,
    error::{BoxError, ListErrorKind, ProviderError},
    provider::{AccessToken, Dialect},
    status::ProviderStatus,
};

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(300);
/// Longer than an interval with its jitter.
const DUE: Duration = Duration::from_secs(331);

const A: &str = r#"{"object":"list","data":[{"id":"a"}]}"#;
const B: &str = r#"{"object":"list","data":[{"id":"b"}]}"#;
const NONE: &str = r#"{"object":"list","data":[]}"#;

// ===== A provider with scripted responses =====

/// A response of the provider, and its delay.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    validators: Vec<(HeaderName, &'static str)>,
    body: &'static str,
    after: Duration,
}

fn reply(status: u16, body: &'static str) -> Reply {
    Reply {
        status,
        validators: Vec::new(),
        body,
        after: Duration::ZERO,
    }
}

fn ok(body: &'static str) -> Reply {
    reply(200, body)
}

fn unchanged() -> Reply {
    reply(304, "")
}

impl Reply {
    fn etag(mut self, tag: &'static str) -> Self {
        self.validators.push((header::ETAG, tag));
        self
    }

    fn modified(mut self, date: &'static str) -> Self {
        self.validators.push((header::LAST_MODIFIED, date));
        self
    }

    fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

/// A service that sends a list of responses and records its requests.
#[derive(Clone, Default)]
struct Upstream {
    replies: Arc<Mutex<Vec<Reply>>>,
    requests: Arc<Mutex<Vec<request::Parts>>>,
}

impl Upstream {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let upstream = Self::default();
        upstream.then(replies);
        upstream
    }

    fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<request::Parts> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    /// The conditions of all requests since the last call.
    fn all_conditions(&self) -> Vec<Conditions> {
        let requests = self.requests();
        let of = |head: &request::Parts| conditions(&head.headers);
        requests.iter().map(of).collect()
    }

    /// The conditions of the only request since the last call.
    fn conditions(&self) -> Conditions {
        let [one] = <[_; 1]>::try_from(self.all_conditions())
            .unwrap_or_else(|all| panic!("{} requests", all.len()));
        one
    }

    fn provider(&self) -> Provider {
        Provider::http("lab", self.clone())
    }

    fn layer(&self) -> StaticModelsCacheLayer {
        builder([self.provider()]).build().unwrap()
    }
}

/// `If-None-Match` and `If-Modified-Since`.
type Conditions = (Option<String>, Option<String>);

fn conditions(headers: &HeaderMap) -> Conditions {
    let one = |name: HeaderName| {
        let lines: Vec<_> = headers.get_all(&name).iter().collect();
        assert!(lines.len() < 2, "{lines:?}");
        let text = |line: &&HeaderValue| String::from_utf8(line.as_bytes().to_vec()).unwrap();
        lines.first().map(text)
    };
    for other in ["if-match", "if-unmodified-since", "if-range", "range"] {
        assert!(!headers.contains_key(other), "{headers:?}");
    }
    (one(header::IF_NONE_MATCH), one(header::IF_MODIFIED_SINCE))
}

fn unconditional() -> Conditions {
    (None, None)
}

fn by_tag(tag: &str) -> Conditions {
    (Some(tag.to_owned()), None)
}

impl Service<Request<Empty<Bytes>>> for Upstream {
    type Response = Response<Once>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        self.requests.lock().unwrap().push(request.into_parts().0);
        let mut replies = self.replies.lock().unwrap();
        assert!(!replies.is_empty(), "unexpected request");
        let reply = replies.remove(0);
        Box::pin(async move {
            sleep(reply.after).await;
            let mut response = Response::new(Once {
                text: Some(reply.body),
                is_forbidden: reply.status == 304,
            });
            *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
            for (name, value) in reply.validators {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                response.headers_mut().append(name, value);
            }
            Ok(response)
        })
    }
}

/// A body that must not be read under a 304.
struct Once {
    text: Option<&'static str>,
    is_forbidden: bool,
}

impl Body for Once {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert!(!self.is_forbidden, "the body of a 304 was polled");
        let text = self.text.take().map(Bytes::from);
        Poll::Ready(text.map(|text| Ok(Frame::data(text))))
    }
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

// ===== Conditional requests =====

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[tokio::test(start_paused = true)]
async fn next_fetch_sends_validators_unchanged() {
    for (etag, modified) in [
        (Some(r#""5d8c72a5""#), None),
        (Some(r#"W/"5d8c72a5""#), None),
        (Some(r#""5d8c72a5""#), Some(DATE)),
        (Some(r#"W/"""#), Some(DATE)),
        (None, Some(DATE)),
        (Some(r#""a,b'c\ü""#), None),
    ] {
        let mut first = ok(A);
        if let Some(tag) = etag {
            first = first.etag(tag);
        }
        if let Some(date) = modified {
            first = first.modified(date);
        }
        let upstream = Upstream::new([first, unchanged(), unchanged()]);
        let cache = upstream.layer().cache();
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), unconditional());
        let expected = (etag.map(str::to_owned), modified.map(str::to_owned));
        for _ in 0..2 {
            refresh(&cache).await;
            assert_eq!(upstream.conditions(), expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fetch_without_validators_is_unconditional() {
    let upstream = Upstream::new([ok(A), ok(A), ok(B)]);
    let cache = upstream.layer().cache();
    for _ in 0..3 {
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), unconditional());
    }
}

#[tokio::test(start_paused = true)]
async fn validator_is_of_last_response() {
    let upstream = Upstream::new([
        ok(A).etag("\"1\"").modified(DATE),
        ok(A).etag("\"2\""),
        ok(B).etag("\"3\""),
        ok(B),
        ok(B).modified(DATE),
        unchanged(),
    ]);
    let cache = upstream.layer().cache();
    for expected in [
        unconditional(),
        (Some("\"1\"".to_owned()), Some(DATE.to_owned())),
        by_tag("\"2\""),
        by_tag("\"3\""),
        unconditional(),
        (None, Some(DATE.to_owned())),
    ] {
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), expected);
    }
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/b"]);
}

// ===== Effects of a 304 =====

#[tokio::test(start_paused = true)]
async fn not_modified_confirms_list_without_publishing() {
    for mode in MODES {
        let upstream = Upstream::new([ok(A).etag("\"1\"")]);
        let (layer, _refresher) = mode.start(builder([upstream.provider()]));
        let cache = layer.cache();
        assert_eq!(list(&layer).await, ["lab/a"]);
        let before = cache.snapshot();
        let mut updates = cache.subscribe();
        for _ in 0..5 {
            upstream.then([unchanged()]);
            sleep(status(&cache).next_attempt.unwrap()).await;
            // Without a refresher, this triggers the fetch.
            let response = send(&layer, get("/v1/models")).await;
            settle().await;
            assert_eq!(response.headers()["etag"], before.etag());
            let now = status(&cache);
            assert!(now.confirmed.unwrap() < SECOND, "{now:?}");
            assert_eq!((now.models, now.failures, now.skipped), (1, 0, 0));
            assert!(now.last_attempt.unwrap().error.is_none());
            assert!(
                now.next_attempt.unwrap() > INTERVAL.mul_f64(0.7),
                "{mode:?}"
            );
        }
        assert!(updates.next().now_or_never().is_none(), "{mode:?}");
        assert_eq!(cache.snapshot().body(), before.body());
        let sent = upstream.all_conditions();
        assert_eq!(sent[0], unconditional());
        assert_eq!(sent[1..], [(); 5].map(|()| by_tag("\"1\"")), "{mode:?}");
    }
}

/// The counts of malformed records are those of the last response with a body.
#[tokio::test(start_paused = true)]
async fn not_modified_keeps_record_counts() {
    const FLAWED: &str = r#"{"object":"list","data":[{"id":"a"},{"id":7}]}"#;
    let upstream = Upstream::new([ok(A).etag("\"1\""), ok(FLAWED).etag("\"2\""), unchanged()]);
    let cache = upstream.layer().cache();
    for skipped in [0, 1, 1] {
        refresh(&cache).await;
        assert_eq!(status(&cache).skipped, skipped);
    }
}

#[tokio::test(start_paused = true)]
async fn not_modified_ends_failure() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), reply(500, ""), unchanged()]);
    let layer = upstream.layer();
    let cache = layer.cache();
    refresh(&cache).await;
    sleep(SECOND).await;
    failure(&cache).await;
    assert_eq!(status(&cache).failures, 1);
    refresh(&cache).await;
    let now = status(&cache);
    assert_eq!((now.failures, now.confirmed), (0, Some(Duration::ZERO)));
    assert!(now.next_attempt.unwrap() >= INTERVAL.mul_f64(0.9));
    let response = send(&layer, get("/v1/models")).await;
    let status_header = response.headers()["cache-status"].to_str().unwrap();
    assert!(!status_header.contains("stale"), "{status_header}");
}

#[tokio::test(start_paused = true)]
async fn every_uncached_request_revalidates() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), unchanged(), unchanged(), ok(B)]);
    let layer = builder([upstream.provider()])
        .without_cache()
        .build()
        .unwrap();
    for (id, expected) in [
        ("lab/a", unconditional()),
        ("lab/a", by_tag("\"1\"")),
        ("lab/a", by_tag("\"1\"")),
        ("lab/b", by_tag("\"1\"")),
    ] {
        assert_eq!(list(&layer).await, [id]);
        assert_eq!(upstream.conditions(), expected);
    }
}

/// The list must not expire while the provider confirms it.
#[tokio::test(start_paused = true)]
async fn list_expiring_during_304_is_kept() {
    for mode in MODES {
        let upstream = Upstream::new([
            ok(A).etag("\"1\""),
            unchanged().after(SECOND * 150),
            unchanged(),
        ]);
        let builder = builder([upstream.provider().timeout(SECOND * 200)]);
        let (layer, _refresher) = mode.start(builder.max_stale(SECOND * 400));
        let cache = layer.cache();
        list(&layer).await;
        let before = cache.snapshot();
        sleep(DUE).await;
        list(&layer).await;
        settle().await;
        assert_eq!(upstream.requests().len(), 2, "{mode:?}");
        sleep(SECOND * 400 - DUE + SECOND).await;
        // Expired, while the confirmation is in flight.
        let response = send(&layer, get("/v1/models")).await;
        assert_eq!(response.status(), 503, "{mode:?}");
        sleep(SECOND * 100).await;
        assert_eq!(list(&layer).await, ["lab/a"], "{mode:?}");
        assert_eq!(cache.snapshot().etag(), before.etag());
        assert!(status(&cache).last_attempt.unwrap().error.is_none());
        assert!(upstream.requests().is_empty());
        // With its validator.
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), by_tag("\"1\""));
    }
}

#[tokio::test(start_paused = true)]
async fn expired_list_is_fetched_unconditionally() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), ok(A).etag("\"1\"")]);
    let builder = builder([upstream.provider()]).max_stale(SECOND * 400);
    let layer = builder.build().unwrap();
    for _ in 0..2 {
        assert_eq!(list(&layer).await, ["lab/a"]);
        assert_eq!(upstream.conditions(), unconditional());
        sleep(SECOND * 401).await;
    }
}

// ===== Validators that are not sent, and 304s that are refused =====

#[tokio::test(start_paused = true)]
async fn unsolicited_304_is_a_failure() {
    let upstream = Upstream::new([unchanged().etag("\"1\""), ok(A), unchanged().etag("\"1\"")]);
    let cache = upstream.layer().cache();
    let not_modified = ListErrorKind::Status(304);
    assert_eq!(failure(&cache).await.kind(), not_modified);
    assert!(cache.snapshot().is_empty());
    refresh(&cache).await;
    assert_eq!(failure(&cache).await.kind(), not_modified);
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/a"]);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    for head in requests {
        assert_eq!(conditions(&head.headers), unconditional());
    }
}

#[tokio::test(start_paused = true)]
async fn changed_address_or_key_drops_validator() {
    let base = |provider: Provider| {
        let provider = provider.base_url("https://one.test/v1");
        provider.bearer(Secret::new("sk-one"))
    };
    type Other = fn(Provider) -> Provider;
    // And whether the list is kept meanwhile, as it is for the same address.
    let others: [(usize, Other); 8] = [
        (0, |provider| provider.base_url("https://two.test/v1")),
        (0, |provider| provider.base_url("http://one.test/v1")),
        (0, |provider| provider.models_path("/v1/models?all=true")),
        (1, |provider| provider.bearer(Secret::new("sk-two"))),
        (1, |provider| {
            let name = HeaderName::from_static("openai-organization");
            provider.header(name, HeaderValue::from_static("org-two"))
        }),
        // It is unknown whether its tokens are for the same account.
        (1, |provider| {
            provider.token(|| async { Ok::<_, BoxError>(AccessToken::new("sk-one")) })
        }),
        (1, |provider| provider.dialect(Dialect::OpenRouter)),
        (1, |provider| provider.filter(|_| true)),
    ];
    for (kept, other) in others {
        let upstream = Upstream::new([ok(A).etag("\"1\""), unchanged(), ok(A).etag("\"1\"")]);
        // All use the same service: only the settings differ.
        let provider = upstream.provider();
        let cache = builder([base(provider.clone())]).build().unwrap().cache();
        refresh(&cache).await;
        let other = other(base(provider.clone()));
        cache.set_providers([other]).await.unwrap();
        assert_eq!(cache.status().models, kept);
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(304));
        assert_eq!(cache.status().models, kept);
        refresh(&cache).await;
        for head in upstream.requests() {
            assert_eq!(conditions(&head.headers), unconditional());
        }
        // And back again: nothing of the first provider is left.
        upstream.then([ok(A)]);
        cache.set_providers([base(provider.clone())]).await.unwrap();
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), unconditional());
    }
}

#[tokio::test(start_paused = true)]
async fn changed_listing_options_keep_validator() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), unchanged()]);
    let provider = upstream.provider();
    let cache = builder([provider.clone()]).build().unwrap().cache();
    refresh(&cache).await;
    let bare = provider.prefix(false).timeout(SECOND);
    cache.set_providers([bare]).await.unwrap();
    upstream.requests();
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"1\""));
    assert_eq!(support::ids(&cache.snapshot().body()), ["a"]);
}

/// A new token each hour.
fn rotating(provider: Provider) -> Provider {
    let hours = Arc::new(Mutex::new(0));
    provider.token(move || {
        *hours.lock().unwrap() += 1;
        let token = AccessToken::new(format!("hour-{}", hours.lock().unwrap()));
        async move { Ok::<_, BoxError>(token.expires_in(SECOND * 3600)) }
    })
}

#[tokio::test(start_paused = true)]
async fn changed_token_drops_validator() {
    let upstream = Upstream::new([
        ok(A).etag("\"1\""),
        unchanged(),
        ok(A).etag("\"1\""),
        unchanged(),
        unchanged(), // unsolicited
    ]);
    let cache = builder([rotating(upstream.provider())])
        .build()
        .unwrap()
        .cache();
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), unconditional());
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"1\""));
    sleep(SECOND * 3600).await;
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), unconditional());
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"1\""));
    sleep(SECOND * 3600).await;
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(304));
    assert_eq!(upstream.conditions(), unconditional());
}

#[tokio::test(start_paused = true)]
async fn refused_token_drops_validator() {
    let upstream = Upstream::new([
        ok(A).etag("\"1\""),
        reply(401, "").etag("\"2\""),
        ok(B).etag("\"3\""),
        unchanged(),
    ]);
    let cache = builder([rotating(upstream.provider())])
        .build()
        .unwrap()
        .cache();
    refresh(&cache).await;
    upstream.requests();
    refresh(&cache).await;
    let sent = upstream.all_conditions();
    assert_eq!(sent, [by_tag("\"1\""), unconditional()]);
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"3\""));
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/b"]);
}

/// The same token, fetched again.
#[tokio::test(start_paused = true)]
async fn unchanged_token_keeps_validator() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), unchanged()]);
    let provider = upstream
        .provider()
        .token(|| async { Ok::<_, BoxError>(AccessToken::new("same").expires_in(Duration::ZERO)) });
    let cache = builder([provider]).build().unwrap().cache();
    refresh(&cache).await;
    upstream.requests();
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"1\""));
}

#[tokio::test(start_paused = true)]
async fn paged_list_has_no_validator() {
    const FIRST: &str = r#"{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}"#;
    const LAST: &str = r#"{"data":[{"id":"b"}],"has_more":false,"last_id":"b"}"#;
    let paged = [ok(FIRST).etag("\"1\""), ok(LAST).etag("\"2\"")];
    let upstream = Upstream::new(paged.clone());
    upstream.then(paged.clone());
    upstream.then([ok(LAST).etag("\"3\""), unchanged()]); // a list of one page
    upstream.then(paged); // two pages again
    upstream.then([ok(LAST)]);
    let provider = upstream.provider().dialect(Dialect::Anthropic);
    let cache = builder([provider]).build().unwrap().cache();
    let none = unconditional;
    for expected in [
        vec![none(), none()],
        vec![none(), none()],
        vec![none()],
        vec![by_tag("\"3\"")],
        // Fetched with the validator of the single page, and only once.
        vec![by_tag("\"3\""), none()],
        vec![none()],
    ] {
        refresh(&cache).await;
        let sent = upstream.all_conditions();
        assert_eq!(sent, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn not_modified_later_page_is_a_failure() {
    const FIRST: &str = r#"{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}"#;
    const LAST: &str = r#"{"data":[{"id":"b"}],"has_more":false}"#;
    let upstream = Upstream::new([ok(LAST).etag("\"1\""), ok(FIRST), unchanged(), unchanged()]);
    let provider = upstream.provider().dialect(Dialect::Anthropic);
    let cache = builder([provider]).build().unwrap().cache();
    refresh(&cache).await;
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(304));
    upstream.requests();
    refresh(&cache).await;
    assert_eq!(upstream.conditions(), by_tag("\"1\""));
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/b"]);
}

#[tokio::test(start_paused = true)]
async fn refused_list_keeps_previous_validator() {
    for (bad, kind) in [
        (reply(500, A), ListErrorKind::Status(500)),
        (reply(412, ""), ListErrorKind::Status(412)),
        // A part of the list, and responses that are not the list.
        (reply(206, B), ListErrorKind::Status(206)),
        (reply(201, B), ListErrorKind::Status(201)),
        (reply(202, B), ListErrorKind::Status(202)),
        (reply(204, ""), ListErrorKind::Status(204)),
        (reply(207, B), ListErrorKind::Status(207)),
        (ok("<html>"), ListErrorKind::NotJson),
        (ok("{}"), ListErrorKind::NotAList),
        (ok(r#"{"error":"no"}"#), ListErrorKind::Refused),
        (ok(A).after(SECOND * 60), ListErrorKind::Timeout),
        // An empty list after a full one.
        (ok(NONE), ListErrorKind::Empty),
    ] {
        let bad = bad.etag("\"bad\"").modified(DATE);
        let upstream = Upstream::new([ok(A).etag("\"1\""), bad.clone(), bad, unchanged()]);
        let cache = upstream.layer().cache();
        refresh(&cache).await;
        let before = cache.snapshot();
        upstream.requests();
        for _ in 0..2 {
            assert_eq!(failure(&cache).await.kind(), kind);
            assert_eq!(upstream.conditions(), by_tag("\"1\""), "{kind:?}");
        }
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), by_tag("\"1\""), "{kind:?}");
        assert_eq!(cache.snapshot().etag(), before.etag());
        assert_eq!(status(&cache).failures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn accepted_empty_list_has_validator() {
    let upstream = Upstream::new([ok(A).etag("\"1\""), ok(NONE).etag("\"2\""), unchanged()]);
    let builder = builder([upstream.provider()]).accept_empty(true);
    let cache = builder.build().unwrap().cache();
    for expected in [unconditional(), by_tag("\"1\""), by_tag("\"2\"")] {
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), expected);
    }
    assert!(cache.snapshot().is_empty());
    assert_eq!(status(&cache).failures, 0);
}

#[tokio::test(start_paused = true)]
async fn fallback_has_no_validator() {
    let upstream = Upstream::new([reply(404, "").etag("\"404\""), unchanged()]);
    let house = [tower_models_cache::Model::new("house")];
    let provider = upstream.provider().fallback(house);
    let cache = builder([provider]).build().unwrap().cache();
    refresh(&cache).await;
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/house"]);
    upstream.requests();
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(304));
    assert_eq!(upstream.conditions(), unconditional());
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/house"]);
}

#[tokio::test(start_paused = true)]
async fn validators_do_not_cross_the_cache() {
    let upstream = Upstream::new([ok(A).etag("\"upstream-5d8c\""), unchanged()]);
    let layer = upstream.layer();
    let request = || {
        let request = Request::get("/v1/models").header(header::IF_NONE_MATCH, "\"client\"");
        request.body(Empty::new()).unwrap()
    };
    let response = send(&layer, request()).await;
    assert_ne!(response.headers()["etag"], "\"upstream-5d8c\"");
    sleep(DUE).await;
    send(&layer, request()).await;
    settle().await;
    let sent = upstream.all_conditions();
    assert_eq!(sent, [unconditional(), by_tag("\"upstream-5d8c\"")]);
    let cache = layer.cache();
    let shown = format!(
        "{layer:?} {cache:?} {:?} {:?}",
        cache.status(),
        cache.snapshot()
    );
    assert!(!shown.contains("5d8c"), "{shown}");
}

/// Regression: `ETag: *` was sent back as `If-None-Match: *`, which matches every list.
#[tokio::test(start_paused = true)]
async fn invalid_validator_is_never_sent() {
    for (tag, date) in [
        ("*", DATE),
        ("unquoted", DATE),
        ("\"a\", \"b\"", DATE),
        ("\"a", DATE),
        ("\"1\"", "yesterday"),
        ("\"1\"", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let valid = |text: &'static str, is: bool| is.then(|| text.to_owned());
        let expected = (valid(tag, tag == "\"1\""), valid(date, date == DATE));
        let upstream = Upstream::new([ok(A).etag(tag).modified(date), ok(B)]);
        let cache = upstream.layer().cache();
        refresh(&cache).await;
        upstream.requests();
        refresh(&cache).await;
        assert_eq!(upstream.conditions(), expected, "{tag} {date}");
        assert_eq!(support::ids(&cache.snapshot().body()), ["lab/b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn response_transformed_by_proxy_is_accepted() {
    let upstream = Upstream::new([reply(203, A)]);
    let cache = upstream.layer().cache();
    refresh(&cache).await;
    assert_eq!(support::ids(&cache.snapshot().body()), ["lab/a"]);
}

/// Regression: a number with too many digits, and a list of values, counted as no `Retry-After`.
#[tokio::test(start_paused = true)]
async fn overlong_retry_after_is_capped() {
    for value in [
        "99999999999999999999999999",
        "1, 99999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let mut busy = reply(429, "");
        busy.validators.push((header::RETRY_AFTER, value));
        let cache = Upstream::new([busy]).layer().cache();
        let error = failure(&cache).await;
        assert!(
            error.retry_after() > Some(Duration::from_secs(3600)),
            "{value}"
        );
        let pause = status(&cache).next_attempt.unwrap();
        assert_eq!(pause, Duration::from_secs(3600), "{value}");
    }
}

// ===== Recent models =====

/// A model that was just released has no date at first, because its date may be that of the
/// request. If the list were confirmed forever, it would never get the date and would differ from
/// that of a replica started later.
#[tokio::test(start_paused = true)]
async fn list_with_doubtful_date_has_no_validator() {
    for (age, conditional) in [(600, false), (3 * 3600, true)] {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let body = format!(r#"{{"data":[{{"id":"a","created":{}}}]}}"#, now - age);
        let conditions = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&conditions);
        let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let is_conditional = request.headers().contains_key("if-none-match");
            requests.lock().unwrap().push(is_conditional);
            let mut response = Response::new(http_body_util::Full::<Bytes>::from(body.clone()));
            let tag = http::HeaderValue::from_static("\"1\"");
            response.headers_mut().insert("etag", tag);
            async { Ok::<_, std::convert::Infallible>(response) }
        });
        let provider = Provider::http("lab", service);
        let layer = support::builder([provider]).build().unwrap();
        for _ in 0..2 {
            layer.cache().refresh().await.unwrap();
        }
        assert_eq!(
            *conditions.lock().unwrap(),
            [false, conditional],
            "{age} s old"
        );
    }
}
