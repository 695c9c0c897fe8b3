//! No secret leaves the process, and nothing of a client's request reaches a provider.

use crate::support;
use crate::support::net;
use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::log::LOG;
use crate::support::net::{Client, Server, empty, within};
use crate::support::{ScriptedSource, ids};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tower::{Layer, service_fn};
use tower_models_cache::{
    Model, Provider, Readiness, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
};

// ===== markers =====

const KEY: &str = "sk-provider-key-7c1f";
const PASSWORD: &str = "url-password-90ab";
const CLIENT_TOKEN: &str = "client-token-33e8";
const CLIENT_COOKIE: &str = "client-cookie-d4d4";
const CLIENT_QUERY: &str = "client-query-5150";
const CLIENT_HEADER: &str = "client-header-1ce9";

const SECRETS: [&str; 6] = [
    KEY,
    PASSWORD,
    CLIENT_TOKEN,
    CLIENT_COOKIE,
    CLIENT_QUERY,
    CLIENT_HEADER,
];

/// The secrets that occur in this text: in any case, as text or as a list of bytes.
fn leaks(text: &str) -> Vec<&'static str> {
    let text = text.to_ascii_lowercase();
    let written = |secret: &&&str| {
        let list: Vec<_> = secret.bytes().map(|byte| byte.to_string()).collect();
        text.contains(**secret) || text.contains(&list.join(", "))
    };
    SECRETS.iter().filter(written).copied().collect()
}

// ===== providers =====

/// A provider on its own socket: records its requests and responds as `answer` defines.
struct Upstream {
    addr: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    async fn start(response: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&received);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else {
                        break;
                    };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let response = response(&head);
                keep.lock().unwrap().push(head);
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        Self {
            addr,
            received,
            task,
        }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn with_body(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Providers that all know the key and leak it, each in its own way.
async fn leaky() -> Vec<(&'static str, Upstream)> {
    let echo_401 = Upstream::start(|received| {
        let head = format!("401 No {KEY}\r\nwww-authenticate: Bearer realm=\"{KEY}\"");
        with_body(&head, &format!("{{\"error\":{}}}", json(received)))
    });
    let refused = Upstream::start(|received| {
        with_body("200 OK", &format!("{{\"error\":{}}}", json(received)))
    });
    let redirect = Upstream::start(|_| {
        let to = format!("http://u:{PASSWORD}@127.0.0.1:1/?key={KEY}");
        with_body(&format!("302 Found\r\nlocation: {to}"), &to)
    });
    let garbage = Upstream::start(|received| with_body("200 OK", received));
    let not_a_list = Upstream::start(|received| with_body("200 OK", &json(received)));
    let bad_records = Upstream::start(|received| {
        let received = json(received);
        let records =
            format!("{{\"data\":[{received},{{\"id\":{received}}},{{\"id\":\"good\"}}]}}");
        with_body("200 OK", &records)
    });
    let html = Upstream::start(|received| {
        with_body(
            "200 OK\r\ncontent-type: text/html",
            &format!("<p>{received}"),
        )
    });
    let retry =
        Upstream::start(|received| with_body(&format!("429 Slow\r\nretry-after: {KEY}"), received));
    let coded = Upstream::start(|received| {
        with_body(&format!("200 OK\r\ncontent-encoding: {KEY}"), received)
    });
    let broken_off = Upstream::start(|received| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{received}")
    });
    let no_http = Upstream::start(|received| format!("{KEY} {received}"));
    let bad_head = Upstream::start(|_| format!("HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n"));
    let silent = Upstream::start(|_| String::new());
    vec![
        ("echo-401", echo_401.await),
        ("refused", refused.await),
        ("redirect", redirect.await),
        ("garbage", garbage.await),
        ("not-a-list", not_a_list.await),
        ("bad-records", bad_records.await),
        ("html", html.await),
        ("retry", retry.await),
        ("coded", coded.await),
        ("broken-off", broken_off.await),
        ("no-http", no_http.await),
        ("bad-head", bad_head.await),
        ("silent", silent.await),
    ]
}

/// A healthy HTTP provider, and the request that it gets.
async fn good() -> Upstream {
    let list = r#"{"object":"list","data":[{"id":"small"}]}"#;
    Upstream::start(|_| with_body("200 OK", list)).await
}

fn client() -> HttpClient<HttpConnector, Empty<Bytes>> {
    HttpClient::builder(TokioExecutor::new()).build_http()
}

fn provider(name: &str, upstream: &Upstream) -> Provider {
    Provider::http(name, client())
        .base_url(format!("http://{}/v1", upstream.addr))
        .header(
            header::AUTHORIZATION,
            format!("Bearer {KEY}").parse().unwrap(),
        )
        .header(HeaderName::from_static("x-api-key"), KEY.parse().unwrap())
}

/// An error whose `Display` and `Debug` leak everything.
struct LeakyError;

impl fmt::Debug for LeakyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LeakyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://u:{PASSWORD}@host.test refused {KEY}")
    }
}

impl std::error::Error for LeakyError {}

// ===== requests and responses of a client =====

/// Every request that the layer handles, with all kinds of confidential data.
fn client_requests() -> Vec<Request<net::RequestBody>> {
    let paths = [
        "/v1/models",
        "/v1/models/",
        "/v1/models/good/small",
        "/v1/models/unknown",
        "/v1/models/echo-401/x",
        "/v1/models/%zz",
    ];
    let mut requests = Vec::new();
    for path in paths {
        for method in [Method::GET, Method::HEAD] {
            let request = Request::builder()
                .method(method)
                .uri(format!("{path}?api_key={CLIENT_QUERY}"))
                .header(header::AUTHORIZATION, format!("Bearer {CLIENT_TOKEN}"))
                .header(header::COOKIE, format!("session={CLIENT_COOKIE}"))
                .header("x-api-key", CLIENT_HEADER)
                .header("x-custom", CLIENT_HEADER)
                .header(header::CACHE_CONTROL, "no-cache")
                .header(header::IF_NONE_MATCH, format!("\"{CLIENT_HEADER}\""))
                .header(header::USER_AGENT, CLIENT_HEADER);
            requests.push(request.body(empty()).unwrap());
        }
    }
    requests
}

/// Sends every request and returns everything received: status lines, headers and bodies.
async fn everything_sent_to_a_client(layer: &StaticModelsCacheLayer) -> String {
    let inner = service_fn(|request: Request<hyper::body::Incoming>| async move {
        Err::<http::Response<Empty<Bytes>>, _>(format!("{} reached it", request.uri().path()))
    });
    let server = Server::hyper(layer.layer(inner)).await;
    let mut all = String::new();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = Client::connect(server.addr(), version).await;
        for request in client_requests() {
            let response = client.send(request).await;
            all += &format!("{} {:?}", response.status(), response.headers());
            for value in response.headers().values() {
                // Not by `Debug`, which hides sensitive values.
                all += &String::from_utf8_lossy(value.as_bytes());
            }
            all += &String::from_utf8_lossy(response.body());
        }
    }
    all
}

// ===== tests =====

#[test]
fn search_finds_present_secret() {
    for secret in SECRETS {
        assert_eq!(leaks(&format!("a {secret}.")), [secret]);
        assert_eq!(leaks(&secret.to_uppercase()), [secret]);
        assert_eq!(leaks(&format!("{:?}", secret.as_bytes())), [secret]);
    }
    let mut headers = HeaderMap::new();
    headers.insert("x-key", KEY.parse().unwrap());
    assert_eq!(leaks(&format!("{headers:?}")), [KEY]);
    assert_eq!(leaks("nothing"), [] as [&str; 0]);
}

#[tokio::test]
async fn searched_log_contains_every_level() {
    let log = &*LOG;
    tracing::trace!(planted = "control-trace-a1", "of a test");
    tracing::error!("control-error-a2");
    tokio::spawn(async { tracing::debug!("control-task-a3") })
        .await
        .unwrap();
    // Events of other crates too: of the HTTP client of the providers.
    let upstream = good().await;
    let layer = StaticModelsCacheLayer::builder()
        .provider(provider("good", &upstream))
        .build()
        .unwrap();
    layer.cache().refresh().await.unwrap();
    let text = log.text();
    for part in [
        "control-trace-a1",
        "control-error-a2",
        "control-task-a3",
        "hyper_util",
        "tower_models_cache",
        "model list confirmed",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
}

#[tokio::test]
async fn secrets_never_appear_in_output() {
    let log = &*LOG;
    let upstreams = leaky().await;
    let good = good().await;
    let leaking = ScriptedSource::new(|_| async { Err(LeakyError) });
    let quoting = ScriptedSource::new(|_| async {
        let error = ListError::new(ListErrorKind::Refused).with_cause(LeakyError);
        assert_eq!(
            leaks(&format!("{error} {error:?} {error:#?}")),
            [] as [&str; 0]
        );
        Err(error)
    });
    // No server listens at this address.
    let dead = Provider::http("dead", client())
        .base_url("http://127.0.0.1:1/v1")
        .header(header::AUTHORIZATION, HeaderValue::from_static(KEY));
    // As Google's API accepts it.
    let by_query = provider("by-query", &good).models_path(format!("/v1/models?key={KEY}"));
    let builder = StaticModelsCacheLayer::builder()
        .providers(upstreams.iter().map(|(name, up)| provider(name, up)))
        .provider(
            provider("good", &good)
                .filter(|_| true)
                .fallback([Model::new("x")]),
        )
        .provider(by_query)
        .provider(dead)
        .provider(Provider::source("leaking", leaking))
        .provider(Provider::source("quoting", quoting))
        .miss_timeout(Duration::from_secs(20));
    let mut seen = format!("{builder:?} {builder:#?}");
    let (layer, refresher) = builder.spawn().unwrap();
    let cache = layer.cache();
    assert!(within(cache.ready(Readiness::Attempted)).await);
    let updates = cache.subscribe();

    seen += &everything_sent_to_a_client(&layer).await;

    // Each provider failed with the expected kind, so every intended case was run.
    let error = within(cache.refresh()).await.unwrap_err();
    let failed: Vec<_> = error.failures().iter().map(|it| it.provider()).collect();
    let every = upstreams.iter().map(|(name, _)| *name);
    let every = every.filter(|name| *name != "bad-records");
    let every: Vec<_> = every.chain(["dead", "leaking", "quoting"]).collect();
    assert_eq!(failed, every);
    seen += &format!("{error} {error:?} {error:#?}");
    for failure in error.failures() {
        seen += &format!("{failure} {failure:?} {failure:#?} {:?}", failure.kind());
    }
    let error = cache.refresh_provider("echo-401").await.unwrap_err();
    assert_eq!(error.kind(), ListErrorKind::Status(401));
    seen += &format!("{error} {error:?}");

    let status = cache.status();
    assert!(status.providers.iter().any(|it| it.skipped == 2));
    seen += &format!("{status:?} {status:#?}");
    seen += &serde_json::to_string(&status).unwrap();
    let snapshot = cache.snapshot();
    assert_eq!(
        ids(&snapshot.body()),
        ["bad-records/good", "good/small", "by-query/small"]
    );
    for model in snapshot.iter() {
        seen += &format!("{model:?} {:?}", model.model());
    }
    let service = layer.layer(());
    seen += &format!("{snapshot:?} {cache:?} {layer:?} {service:?} {refresher:?} {updates:?}");
    seen += &format!("{:?} {:?}", layer.service(), provider("p", &good));
    seen += &String::from_utf8_lossy(&snapshot.body());

    cache.set_providers([provider("new", &good)]).await.unwrap();
    seen += &everything_sent_to_a_client(&layer).await;
    seen += &format!("{:?}", cache.status());
    within(refresher.shutdown()).await;

    assert_eq!(leaks(&seen), [] as [&str; 0]);
    let log = log.text();
    for (name, _) in upstreams {
        assert!(log.contains(&format!("provider=\"{name}\"")), "{name}");
    }
    let leaked = log.lines().find(|line| !leaks(line).is_empty());
    assert_eq!(leaked, None);
}

#[tokio::test]
async fn error_for_invalid_setting_hides_secret() {
    let upstream = good().await;
    let provider = || provider("p", &upstream);
    let bad = [
        provider().base_url(format!("https://user:{PASSWORD}@host.test/v1")),
        provider().base_url(format!("{PASSWORD}://host.test")),
        provider().base_url(format!("https://host.test/v1?key={KEY}")),
        provider().base_url(format!("https://host.test:{KEY}/v1")),
        provider().base_url(KEY),
        provider().models_path(format!("/models?key={KEY} ")),
        provider().models_path(format!("models?key={KEY}")),
        provider().models_path(format!("https://user:{PASSWORD}@host.test/v1")),
        provider().timeout(Duration::ZERO),
    ];
    for bad in bad {
        let shown = format!("{bad:?}");
        let built = StaticModelsCacheLayer::builder()
            .provider(bad.clone())
            .build();
        let error = built.unwrap_err();
        let shown = format!("{shown} {error} {error:?} {}", error.field());
        assert_eq!(leaks(&shown), [] as [&str; 0], "{shown}");

        let empty = StaticModelsCacheLayer::builder().build().unwrap();
        let error = empty.cache().set_providers([bad]).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert_eq!(leaks(&shown), [] as [&str; 0], "{shown}");
    }
}

#[tokio::test]
async fn client_request_does_not_reach_provider() {
    let upstream = good().await;
    // By a waiting request, on demand and without a cache.
    let on_demand = StaticModelsCacheLayer::builder()
        .provider(provider("good", &upstream))
        .build();
    let without_cache = StaticModelsCacheLayer::builder()
        .provider(provider("good", &upstream))
        .without_cache()
        .build();
    for layer in [on_demand.unwrap(), without_cache.unwrap()] {
        everything_sent_to_a_client(&layer).await;
    }
    let received = upstream.received();
    assert!(received.len() > 2, "{received:?}");
    let expected = format!(
        "GET /v1/models HTTP/1.1\r\n\
         accept: application/json\r\n\
         authorization: Bearer {KEY}\r\n\
         host: {}\r\n\
         user-agent: tower-models-cache/{}\r\n\
         x-api-key: {KEY}\r\n",
        upstream.addr,
        env!("CARGO_PKG_VERSION"),
    );
    for head in received {
        let (line, headers) = head.trim_end().split_once("\r\n").unwrap();
        let mut headers: Vec<_> = headers.split("\r\n").collect();
        headers.sort_unstable();
        let sorted = format!("{line}\r\n{}\r\n", headers.join("\r\n"));
        assert_eq!(sorted, expected);
    }
}

#[tokio::test]
async fn client_request_does_not_reach_local_service() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Empty<Bytes>>| {
        keep.lock().unwrap().push(request);
        let body = http_body_util::Full::new(Bytes::from_static(br#"{"data":[{"id":"x"}]}"#));
        std::future::ready(Ok::<_, Infallible>(http::Response::new(body)))
    });
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http("lab", service))
        .build()
        .unwrap();
    let mut request = Request::get("/v1/models?q=client-query-5150")
        .header("x-custom", CLIENT_HEADER)
        .body(Empty::new())
        .unwrap();
    request.extensions_mut().insert(CLIENT_TOKEN);
    let response = support::send(&layer, request).await;
    assert_eq!(ids(response.body()), ["lab/x"]);
    let seen = seen.lock().unwrap();
    let [request] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(request.uri(), "/v1/models");
    assert_eq!(request.headers().len(), 2);
    assert!(request.extensions().is_empty());
}
