//! A paged list is fetched completely or not at all, for every way of paging and at every point
//! of failure: over real sockets, with the HTTP client of the crate.

use crate::support;
use crate::support::paged;
use std::{
    convert::Infallible,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::net::{RequestBody as Body, Server, full, within};
use crate::support::paged::Style;
use crate::support::{builder, timed};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response, Uri, header, request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use tokio::{sync::mpsc, time::sleep};
use tower::service_fn;
use tower_models_cache::{
    Builder, ModelsCache, Provider, Secret, StaticModelsCacheLayer,
    error::{BoxError, ListErrorKind, ProviderError},
    provider::Dialect,
    status::ProviderStatus,
};

const KEY: &str = "sk-hunter2";
const PATH: &str = "/v1/list";
const SECOND: Duration = Duration::from_secs(1);

// ===== A server that records its requests =====

enum Reply {
    Answer(Response<Body>),
    Silence,
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Self {
        Self::Answer(response)
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(full(body))
        .unwrap()
}

fn page(body: impl Into<Bytes>) -> Reply {
    reply(200, body).into()
}

/// A server on a socket that records its requests in order.
struct Upstream {
    server: Server,
    requests: Arc<Mutex<Vec<request::Parts>>>,
}

impl Upstream {
    async fn start(answer: impl Fn(&Uri) -> Reply + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&requests);
        let service = service_fn(move |request: Request<Incoming>| {
            let (head, _) = request.into_parts();
            let reply = answer(&head.uri);
            keep.lock().unwrap().push(head);
            async {
                match reply {
                    Reply::Answer(response) => Ok::<_, Infallible>(response),
                    Reply::Silence => std::future::pending().await,
                }
            }
        });
        let server = Server::hyper(service).await;
        Self { server, requests }
    }

    /// A server that responds to each page by its number.
    async fn paging(
        style: &'static Style,
        answer: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |uri| match style.requested_page(uri, 100) {
            Some(number) => answer(number),
            None => reply(400, "{}").into(),
        })
        .await
    }

    /// A server with these pages.
    async fn having(style: &'static Style, pages: &'static [&[&str]]) -> Self {
        Self::paging(style, move |number| leaf(style, pages, number)).await
    }

    /// The URIs requested since the last call, each with the key.
    fn uris(&self) -> Vec<Uri> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        let uri = |head: request::Parts| {
            assert_eq!(head.method, "GET");
            let keys: Vec<_> = head.headers.get_all("authorization").iter().collect();
            assert_eq!(keys, [&format!("Bearer {KEY}")], "{}", head.uri);
            head.uri
        };
        requests.into_iter().map(uri).collect()
    }

    /// The page numbers requested since the last call.
    fn requested_pages(&self, style: &Style) -> Vec<usize> {
        let number = |uri: Uri| {
            assert_eq!(uri.path(), PATH);
            let number = style.requested_page(&uri, 100);
            number.unwrap_or_else(|| panic!("unexpected request for {uri}"))
        };
        self.uris().into_iter().map(number).collect()
    }

    fn provider(&self, dialect: Dialect) -> Provider {
        Provider::client("lab", self.server.url())
            .models_path(PATH)
            .dialect(dialect)
            .bearer(Secret::new(KEY))
    }

    fn layer(&self, style: &Style, set: impl Fn(Builder) -> Builder) -> StaticModelsCacheLayer {
        let builder = builder([self.provider(style.dialect())]);
        set(builder).build().unwrap()
    }
}

fn leaf(style: &Style, pages: &[&[&str]], number: usize) -> Reply {
    let next = (number < pages.len()).then_some(number + 1);
    page(style.page(number, pages[number - 1], next))
}

fn as_it_is(builder: Builder) -> Builder {
    builder
}

async fn failure(cache: &ModelsCache) -> ProviderError {
    cache.refresh_provider("lab").await.unwrap_err()
}

/// The last segment of each listed id.
fn names(cache: &ModelsCache) -> Vec<String> {
    let snapshot = cache.snapshot();
    let name = |id: &str| id.rsplit('/').next().unwrap().to_owned();
    snapshot.iter().map(|model| name(&model.id())).collect()
}

fn status(cache: &ModelsCache) -> ProviderStatus {
    cache.status().providers.remove(0)
}

// ===== Truncated, missing and endless bodies =====

fn streamed(
    head: http::response::Builder,
    chunks: impl stream::Stream<Item = Result<Bytes, BoxError>> + Send + Sync + 'static,
) -> Response<Body> {
    let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data)));
    head.body(BodyExt::boxed(body)).unwrap()
}

/// Sends the first half of a body and closes the connection.
fn cut(body: String) -> Response<Body> {
    let half = Bytes::from(body).split_to(20);
    let chunks = stream::iter([Ok(half), Err("cut".into())]);
    // Only after the half has been sent.
    let chunks = chunks.then(|chunk| async {
        tokio::task::yield_now().await;
        chunk
    });
    streamed(Response::builder(), chunks)
}

fn cut_by_length(body: String) -> Response<Body> {
    let length = body.len();
    let mut response = cut(body);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    response
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zipped(body: impl Into<Bytes>) -> Response<Body> {
    let mut response = reply(200, body);
    let gzip = header::HeaderValue::from_static("gzip");
    response
        .headers_mut()
        .insert(header::CONTENT_ENCODING, gzip);
    response
}

// ===== Every style of paging =====

async fn whole(style: &'static Style) {
    let upstream = Upstream::having(style, &[&["m1", "m2"], &["m3"], &["m4", "m5"], &["m6"]]).await;
    let cache = upstream.layer(style, as_it_is).cache();
    cache.refresh().await.unwrap();
    assert_eq!(names(&cache), ["m1", "m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(upstream.requested_pages(style), [1, 2, 3, 4]);
    let status = status(&cache);
    assert_eq!((status.models, status.skipped), (6, 0));
    // The next refresh starts from the first page again.
    cache.refresh().await.unwrap();
    assert_eq!(upstream.requested_pages(style), [1, 2, 3, 4]);
}

async fn loops(style: &'static Style) {
    /// The next page that a page names.
    type Names = fn(usize) -> usize;
    let itself: Names = |_| 2;
    let alternating: Names = |number| if number == 2 { 3 } else { 2 };
    for (names_next, expected) in [(itself, &[1, 2][..]), (alternating, &[1, 2, 3])] {
        let upstream = Upstream::paging(style, move |number| {
            let name = format!("m{number}");
            page(style.page(number, &[&name], names_next(number)))
        })
        .await;
        let cache = upstream.layer(style, as_it_is).cache();
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::PageLoop);
        assert_eq!(upstream.requested_pages(style), expected);
        assert!(cache.snapshot().is_empty());
    }
}

/// A proxy that drops the query, or a server that does not know the parameter.
async fn ignored(style: &'static Style) {
    let upstream = Upstream::paging(style, |_| page(style.page(1, &["m1"], 2))).await;
    let cache = upstream.layer(style, as_it_is).cache();
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::PageLoop);
    assert_eq!(upstream.requested_pages(style), [1, 2]);
    assert!(cache.snapshot().is_empty());
}

async fn cut_off(style: &'static Style) {
    let (last, why) = style.cut_off(2, &["m2"]);
    let upstream = Upstream::paging(style, move |number| match number {
        1 => page(style.page(1, &["m1"], 2)),
        _ => page(last.clone()),
    })
    .await;
    let cache = upstream.layer(style, as_it_is).cache();
    let outcome = cache.refresh_provider("lab").await;
    assert_eq!(outcome.err().map(|error| error.kind()), why);
    assert_eq!(upstream.requested_pages(style), [1, 2]);
    match why {
        None => assert_eq!(names(&cache), ["m1", "m2"]),
        Some(_) => assert!(cache.snapshot().is_empty()),
    }
}

async fn empty_page(style: &'static Style) {
    let upstream = Upstream::having(style, &[&[], &["m1"], &[], &["m2"], &[]]).await;
    let cache = upstream.layer(style, as_it_is).cache();
    cache.refresh().await.unwrap();
    assert_eq!(names(&cache), ["m1", "m2"]);
    assert_eq!(upstream.requested_pages(style), [1, 2, 3, 4, 5]);
}

async fn endless(style: &'static Style) {
    let upstream = Upstream::paging(style, |number| {
        let name = format!("m{number}");
        page(style.page(number, &[&name], number + 1))
    })
    .await;
    let cache = upstream
        .layer(style, |builder| builder.max_pages(7))
        .cache();
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::TooManyPages);
    assert_eq!(upstream.requested_pages(style), [1, 2, 3, 4, 5, 6, 7]);
    assert!(cache.snapshot().is_empty());

    let just = Upstream::having(style, &[&["m1"], &["m2"], &["m3"]]).await;
    let cache = just.layer(style, |builder| builder.max_pages(3)).cache();
    cache.refresh().await.unwrap();
    assert_eq!(names(&cache), ["m1", "m2", "m3"]);
}

async fn too_large(style: &'static Style) {
    let pages: &[&[&str]] = &[&["m1"], &["m2"], &["m3"]];
    let upstream = Upstream::paging(style, move |number| {
        let next = (number < 3).then_some(number + 1);
        let mut body = style.page(number, pages[number - 1], next).into_bytes();
        body.resize(600, b' ');
        page(body)
    })
    .await;
    for (most, expected) in [(599, &[1][..]), (1199, &[1, 2]), (1799, &[1, 2, 3])] {
        let cache = upstream
            .layer(style, |builder| builder.max_bytes(most))
            .cache();
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::TooLarge);
        assert_eq!(upstream.requested_pages(style), expected);
        assert!(cache.snapshot().is_empty());
    }
    let cache = upstream
        .layer(style, |builder| builder.max_bytes(1800))
        .cache();
    cache.refresh().await.unwrap();
    assert_eq!(names(&cache), ["m1", "m2", "m3"]);
}

async fn too_many_models(style: &'static Style) {
    let pages: &[&[&str]] = &[&["m1", "m2"], &["m3", "m4"], &["m5", "m6"]];
    let upstream = Upstream::having(style, pages).await;
    for (most, expected) in [(1, &[1][..]), (3, &[1, 2]), (5, &[1, 2, 3])] {
        let cache = upstream
            .layer(style, |builder| builder.max_models(most))
            .cache();
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::TooManyModels);
        assert_eq!(upstream.requested_pages(style), expected);
        assert!(cache.snapshot().is_empty());
    }
    let cache = upstream
        .layer(style, |builder| builder.max_models(6))
        .cache();
    cache.refresh().await.unwrap();
    assert_eq!(cache.snapshot().len(), 6);
}

/// A few KB on the wire, and far more than the limit when decoded.
async fn bomb(style: &'static Style) {
    const BOUND: usize = 64 * 1024;
    let last = style.page(2, &["m2"], None);
    let bytes = gzip(&format!("{}{last}", " ".repeat(64 * BOUND)));
    assert!(bytes.len() < BOUND / 8, "{} bytes", bytes.len());
    let upstream = Upstream::paging(style, move |number| match number {
        1 => page(style.page(1, &["m1"], 2)),
        _ => zipped(bytes.clone()).into(),
    })
    .await;
    let cache = upstream
        .layer(style, |builder| builder.max_bytes(BOUND))
        .cache();
    assert_eq!(failure(&cache).await.kind(), ListErrorKind::TooLarge);
    assert_eq!(upstream.requested_pages(style), [1, 2]);
    assert!(cache.snapshot().is_empty());
    // Only the limit can have refused it.
    let cache = upstream
        .layer(style, |builder| builder.max_bytes(65 * BOUND))
        .cache();
    cache.refresh().await.unwrap();
    assert_eq!(names(&cache), ["m1", "m2"]);
}

/// Page two as given, and the error of the list.
type Midway = (fn(String) -> Reply, ListErrorKind);

const MIDWAY: [Midway; 11] = [
    (|_| reply(500, "{}").into(), ListErrorKind::Status(500)),
    (|_| reply(503, "{}").into(), ListErrorKind::Status(503)),
    (|_| reply(404, "{}").into(), ListErrorKind::Status(404)),
    (|_| reply(401, "{}").into(), ListErrorKind::Status(401)),
    // No request was sent that it could respond to.
    (|_| reply(304, "").into(), ListErrorKind::Status(304)),
    (|body| cut(body).into(), ListErrorKind::Transport),
    (|body| cut_by_length(body).into(), ListErrorKind::Transport),
    (
        |body| {
            let mut bytes = gzip(&format!("{body}{}", " ".repeat(10_000)));
            bytes.truncate(bytes.len() - 12);
            zipped(bytes).into()
        },
        ListErrorKind::Transport,
    ),
    (
        |body| page(body[..body.len() / 2].to_owned()),
        ListErrorKind::NotJson,
    ),
    (|_| page(r#"{"error":"slow down"}"#), ListErrorKind::Refused),
    // An empty object is a page of Google's APIs, which omit empty fields.
    (|_| page(r#"{"ok":true}"#), ListErrorKind::NotAList),
];

async fn midway(style: &'static Style) {
    const GOOD: usize = usize::MAX;
    let stage = Arc::new(AtomicUsize::new(GOOD));
    let now = Arc::clone(&stage);
    let upstream = Upstream::paging(style, move |number| {
        let stage = now.load(Ordering::SeqCst);
        match (stage, number) {
            (GOOD, _) => leaf(style, &[&["m1"], &["m2"], &["m3"]], number),
            (_, 1) => page(style.page(1, &["other1"], 2)),
            (_, 2) => (MIDWAY[stage].0)(style.page(2, &["other2"], 3)),
            _ => page(style.page(number, &["other3"], None)),
        }
    })
    .await;
    let cache = upstream.layer(style, as_it_is).cache();
    cache.refresh().await.unwrap();
    assert_eq!(upstream.requested_pages(style), [1, 2, 3]);
    let mut updates = cache.subscribe();
    let body = cache.snapshot().body();
    for (index, (_, kind)) in MIDWAY.into_iter().enumerate() {
        stage.store(index, Ordering::SeqCst);
        let error = failure(&cache).await;
        assert_eq!((error.kind(), error.retry_after()), (kind, None));
        assert_eq!(upstream.requested_pages(style), [1, 2], "{kind:?}");
        assert_eq!(cache.snapshot().body(), body, "{kind:?}");
        assert_eq!(status(&cache).failures as usize, index + 1);
    }
    assert!(updates.next().now_or_never().is_none());

    stage.store(GOOD, Ordering::SeqCst);
    cache.refresh().await.unwrap();
    assert_eq!(upstream.requested_pages(style), [1, 2, 3]);
    assert_eq!(status(&cache).failures, 0);
}

async fn retry_after(style: &'static Style) {
    let patient = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&patient);
    let upstream = Upstream::paging(style, move |number| {
        match (calls.fetch_add(1, Ordering::SeqCst), number) {
            (3.., 2) => {
                let mut response = reply(429, "{}");
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, 3000.into());
                response.into()
            }
            (3.., _) => page(style.page(number, &["other"], number + 1)),
            _ => leaf(style, &[&["m1"], &["m2"], &["m3"]], number),
        }
    })
    .await;
    let layer = upstream.layer(style, as_it_is);
    let cache = layer.cache();
    cache.refresh().await.unwrap();
    let before = cache.snapshot();
    let error = failure(&cache).await;
    assert_eq!(error.kind(), ListErrorKind::Status(429));
    assert_eq!(error.retry_after(), Some(SECOND * 3000));
    let pause = status(&cache).next_attempt.unwrap();
    assert!(pause > SECOND * 2000 && pause <= SECOND * 3000, "{pause:?}");
    assert_eq!(upstream.requested_pages(style), [1, 2, 3, 1, 2]);
    // No request is sent before that, and every client request gets the complete list.
    for _ in 0..10 {
        let answer = support::send(&layer, support::get("/v1/models")).await;
        assert_eq!(*answer.body(), before.body());
    }
    assert!(upstream.requested_pages(style).is_empty());
    assert_eq!(cache.snapshot().etag(), before.etag());
}

macro_rules! styles {
    ($($name:ident: $style:ident,)*) => { $(
        mod $name {
            use super::{paged, within};

            #[tokio::test]
            async fn each_page_is_fetched_once_with_key() {
                within(super::whole(&paged::$style)).await;
            }

            #[tokio::test]
            async fn page_loop_is_a_failure() {
                within(super::loops(&paged::$style)).await;
            }

            #[tokio::test]
            async fn ignored_cursor_is_a_loop() {
                within(super::ignored(&paged::$style)).await;
            }

            #[tokio::test]
            async fn page_without_cursor_is_last_or_failure() {
                within(super::cut_off(&paged::$style)).await;
            }

            #[tokio::test]
            async fn empty_page_with_cursor_continues() {
                within(super::empty_page(&paged::$style)).await;
            }

            #[tokio::test]
            async fn endless_list_stops_at_page_limit() {
                within(super::endless(&paged::$style)).await;
            }

            #[tokio::test]
            async fn total_size_over_limit_is_a_failure() {
                within(super::too_large(&paged::$style)).await;
            }

            #[tokio::test]
            async fn total_model_count_over_limit_is_a_failure() {
                within(super::too_many_models(&paged::$style)).await;
            }

            #[tokio::test]
            async fn gzip_bomb_page_is_too_large() {
                within(super::bomb(&paged::$style)).await;
            }

            #[tokio::test]
            async fn failure_between_pages_keeps_list() {
                within(super::midway(&paged::$style)).await;
            }

            #[tokio::test]
            async fn retry_after_of_later_page_is_honored() {
                within(super::retry_after(&paged::$style)).await;
            }
        }
    )* };
}

styles! {
    anthropic: ANTHROPIC,
    auto: AUTO,
    bedrock_profiles: BEDROCK_PROFILES,
    cloudflare: CLOUDFLARE,
    cohere: COHERE,
    fireworks: FIREWORKS,
    gemini: GEMINI,
    gpustack: GPUSTACK,
    openrouter: OPENROUTER,
    vertex: VERTEX,
}

// ===== Particular dialects =====

#[tokio::test]
async fn more_pages_without_cursor_is_a_failure() {
    within(async {
        for (dialect, more) in [
            (Dialect::OpenAi, r#""has_more":true"#),
            (Dialect::OpenRouter, r#""has_more":true"#),
            (
                Dialect::OpenRouter,
                r#""has_more":true,"links":{"next":null}"#,
            ),
            (Dialect::Anthropic, r#""has_more":true"#),
            (Dialect::Anthropic, r#""has_more":true,"last_id":null"#),
            (Dialect::Anthropic, r#""has_more":true,"last_id":"""#),
            (Dialect::Anthropic, r#""has_more":true,"last_id":7"#),
        ] {
            let body = format!(r#"{{"object":"list","data":[{{"id":"m1"}}],{more}}}"#);
            let upstream = Upstream::start(move |_| page(body.clone())).await;
            let layer = builder([upstream.provider(dialect)]).build().unwrap();
            let cache = layer.cache();
            assert_eq!(
                failure(&cache).await.kind(),
                ListErrorKind::NextPage,
                "{more}"
            );
            assert_eq!(upstream.uris().len(), 1);
            assert!(cache.snapshot().is_empty());
        }
    })
    .await;
}

/// When the dialect is detected: a later page may not show which one it is.
#[tokio::test]
async fn later_pages_use_dialect_of_first_page() {
    within(async {
        let upstream = Upstream::paging(&paged::AUTO, |number| match number {
            1 => page(paged::AUTO.page(1, &["m1"], 2)),
            2 => {
                let last = (paged::AUTO.cursor)(3);
                let body = serde_json::json!({
                    "object": "list",
                    "data": [{ "id": "m2", "object": "model" }],
                    "has_more": true,
                    "last_id": last,
                });
                page(body.to_string())
            }
            _ => page(r#"{"data":[]}"#),
        })
        .await;
        let cache = upstream.layer(&paged::AUTO, as_it_is).cache();
        cache.refresh().await.unwrap();
        assert_eq!(names(&cache), ["m1", "m2"]);
        assert_eq!(upstream.requested_pages(&paged::AUTO), [1, 2, 3]);
        assert_eq!(status(&cache).dialect, Some("anthropic"));
    })
    .await;
}

/// A list whose first page has this link, and whose second page is the last.
async fn linking(link: impl Fn(&str) -> String + Send + Sync + 'static) -> Upstream {
    let own = Arc::new(Mutex::new(String::new()));
    let host = Arc::clone(&own);
    let upstream = Upstream::start(move |uri| {
        let next = match uri.to_string().as_str() {
            "/v1/list" => link(&host.lock().unwrap()).into(),
            "/v1/list?offset=2" => serde_json::Value::Null,
            _ => return reply(400, "{}").into(),
        };
        let id = format!("m-{}", uri.query().unwrap_or("first").replace('=', "-"));
        let body = serde_json::json!({ "data": [{ "id": id }], "links": { "next": next } });
        page(body.to_string())
    })
    .await;
    *own.lock().unwrap() = upstream.server.addr().to_string();
    upstream
}

#[tokio::test]
async fn same_origin_link_is_followed() {
    within(async {
        let links: [fn(&str) -> String; 7] = [
            |_| "?offset=2".to_owned(),
            |_| "list?offset=2".to_owned(),
            |_| "/v1/list?offset=2#more".to_owned(),
            |_| " /v1/list?offset=2\n".to_owned(),
            |own| format!("//{own}/v1/list?offset=2"),
            |own| format!("http://{own}/v1/list?offset=2"),
            |own| format!("HTTP://{own}/v1/list?offset=2"),
        ];
        for link in links {
            let upstream = linking(link).await;
            let cache = upstream.layer(&paged::OPENROUTER, as_it_is).cache();
            cache.refresh().await.unwrap();
            assert_eq!(names(&cache), ["m-first", "m-offset-2"]);
            assert_eq!(upstream.uris(), ["/v1/list", "/v1/list?offset=2"]);
        }
    })
    .await;
}

#[tokio::test]
async fn link_to_another_origin_is_refused() {
    within(async {
        let elsewhere = Upstream::start(|_| page(r#"{"data":[{"id":"evil"}]}"#)).await;
        let other = elsewhere.server.addr();
        let away = |form: &'static str| {
            move |own: &str| {
                let port = own.rsplit_once(':').unwrap().1;
                form.replace("OTHER", &other.to_string())
                    .replace("OWN", own)
                    .replace("PORT", port)
            }
        };
        for form in [
            "http://OTHER/v1/list?offset=2",
            "HTTP://OTHER/v1/list?offset=2",
            "http://OTHER",
            "//OTHER/v1/list?offset=2",
            " \t//OTHER/v1/list?offset=2",
            "///OTHER/v1/list?offset=2",
            "https://OWN/v1/list?offset=2",
            "http://localhost:PORT/v1/list?offset=2",
            "http://127.0.0.1/v1/list?offset=2",
            "http://u:p@OWN/v1/list?offset=2",
            "http://OWN@OTHER/v1/list?offset=2",
            "http://OTHER#@OWN/v1/list?offset=2",
            "http://OTHER\\@OWN/v1/list?offset=2",
            "http:OTHER/v1/list?offset=2",
            "http:\\\\OTHER\\v1\\list?offset=2",
            "\\\\OTHER/v1/list?offset=2",
            "h\nttp://OTHER/v1/list",
            "ftp://OWN/v1/list?offset=2",
            "javascript:alert(1)",
            "data:application/json,{}",
            "#",
        ] {
            let upstream = linking(away(form)).await;
            let cache = upstream.layer(&paged::OPENROUTER, as_it_is).cache();
            assert_eq!(
                failure(&cache).await.kind(),
                ListErrorKind::NextPage,
                "{form:?}"
            );
            assert_eq!(upstream.uris(), ["/v1/list"], "{form:?}");
            assert!(cache.snapshot().is_empty());
        }
        // A path of the same origin that looks like another one.
        for form in ["/\\OTHER/v1/list", "/.//OTHER/v1/list", "/v1/@OTHER"] {
            let upstream = linking(away(form)).await;
            let cache = upstream.layer(&paged::OPENROUTER, as_it_is).cache();
            assert_eq!(
                failure(&cache).await.kind(),
                ListErrorKind::Status(400),
                "{form:?}"
            );
            assert_eq!(upstream.uris().len(), 2, "{form:?}");
        }
        // A redirect of page two is refused too.
        for code in [301, 302, 303, 307, 308] {
            let upstream = Upstream::paging(&paged::ANTHROPIC, move |number| match number {
                1 => page(paged::ANTHROPIC.page(1, &["m1"], 2)),
                _ => {
                    let mut response = reply(code, "{}");
                    let location = format!("http://{other}/v1/list").parse().unwrap();
                    response.headers_mut().insert(header::LOCATION, location);
                    response.into()
                }
            })
            .await;
            let cache = upstream.layer(&paged::ANTHROPIC, as_it_is).cache();
            assert_eq!(failure(&cache).await.kind(), ListErrorKind::Status(code));
            assert_eq!(upstream.requested_pages(&paged::ANTHROPIC), [1, 2]);
        }
        assert_eq!(elsewhere.server.connections(), 0);
        assert!(elsewhere.requests.lock().unwrap().is_empty());
    })
    .await;
}

/// The bomb is endless: waiting for it, or storing it, would never complete.
#[tokio::test]
async fn endless_gzip_bomb_is_abandoned_at_limit() {
    within(async {
        let (held, mut let_go) = mpsc::channel::<()>(1);
        let upstream = Upstream::paging(&paged::ANTHROPIC, move |number| {
            if number == 1 {
                return page(paged::ANTHROPIC.page(1, &["m1"], 2));
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let mut chunk = move || {
                encoder.write_all(&[b' '; 1 << 18]).unwrap();
                encoder.flush().unwrap();
                Bytes::from(std::mem::take(encoder.get_mut()))
            };
            let held = held.clone(); // until the server finds the connection closed
            let chunks = stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, BoxError>(chunk())
            });
            // The server never yields otherwise: client and server share a thread.
            let chunks = chunks.then(|chunk| async {
                tokio::task::yield_now().await;
                chunk
            });
            let head = Response::builder().header(header::CONTENT_ENCODING, "gzip");
            streamed(head, chunks).into()
        })
        .await;
        let cache = upstream
            .layer(&paged::ANTHROPIC, |builder| builder.max_bytes(1 << 20))
            .cache();
        assert_eq!(failure(&cache).await.kind(), ListErrorKind::TooLarge);
        assert_eq!(upstream.requested_pages(&paged::ANTHROPIC), [1, 2]);
        drop(upstream);
        assert_eq!(let_go.recv().await, None);
    })
    .await;
}

#[tokio::test]
async fn hung_second_page_fails_at_deadline() {
    within(async {
        let hangs: [fn() -> Reply; 2] = [
            || Reply::Silence,
            || {
                let half = stream::iter([Ok(Bytes::from_static(b"{\"data\":["))]);
                let body = half.chain(stream::pending());
                streamed(Response::builder(), body).into()
            },
        ];
        for hang in hangs {
            let calls = AtomicUsize::new(0);
            let upstream = Upstream::paging(&paged::ANTHROPIC, move |number| {
                match (calls.fetch_add(1, Ordering::SeqCst), number) {
                    (3.., 2) => hang(),
                    _ => leaf(&paged::ANTHROPIC, &[&["m1"], &["m2"], &["m3"]], number),
                }
            })
            .await;
            let cache = upstream.layer(&paged::ANTHROPIC, as_it_is).cache();
            cache.refresh().await.unwrap();
            let hasty = upstream.provider(Dialect::Anthropic).timeout(SECOND / 2);
            cache.set_providers([hasty]).await.unwrap();
            assert_eq!(failure(&cache).await.kind(), ListErrorKind::Timeout);
            assert_eq!(upstream.requested_pages(&paged::ANTHROPIC), [1, 2, 3, 1, 2]);
            assert_eq!(names(&cache), ["m1", "m2", "m3"]);
        }
    })
    .await;
}

/// One deadline covers all pages: it does not start again with each page.
#[tokio::test(start_paused = true)]
async fn deadline_covers_all_pages() {
    /// The delays of the headers and of the body of page two, and the expected end.
    const FOREVER: Duration = Duration::from_secs(1 << 20);
    for (pause, (head, body), end) in [
        (SECOND * 4, (FOREVER, FOREVER), SECOND * 9),
        (SECOND * 4, (SECOND * 4, FOREVER), SECOND * 15),
        (SECOND * 4, (SECOND * 4, SECOND * 4), SECOND * 15), // on page three
    ] {
        let service = service_fn(move |request: Request<Empty<Bytes>>| async move {
            let number = paged::ANTHROPIC.requested_page(request.uri(), 100).unwrap();
            let (head, body) = match number {
                1 => (pause, Duration::ZERO),
                _ => (head, body),
            };
            sleep(head).await;
            let name = format!("m{number}");
            let text = Bytes::from(paged::ANTHROPIC.page(number, &[&name], number + 1));
            let body = stream::once(async move {
                sleep(body).await;
                Ok::<_, Infallible>(Frame::data(text))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(body)))
        });
        let provider = Provider::http("lab", service).dialect(Dialect::Anthropic);
        let cache = builder([provider]).build().unwrap().cache();
        let (error, took) = timed(failure(&cache)).await;
        assert_eq!((error.kind(), took), (ListErrorKind::Timeout, end));
    }
}
