//! The HTTP client of the crate, against real servers on loopback.

use crate::support;
use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::list;
use crate::support::log::LOG;
use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_models_cache::{
    ModelsCache, Provider, Secret, StaticModelsCacheLayer, error::ListErrorKind,
};

const LIST: &str = r#"{"object":"list","data":[{"id":"large"},{"id":"meta/small"}]}"#;
const KEY: &str = "sk-hunter2";

/// A server on loopback that records its requests. It stops when it is dropped.
struct Server {
    host: String,
    seen: Arc<Mutex<Vec<(Uri, HeaderMap)>>>,
}

impl Server {
    async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<_>>> = Arc::default();
        let log = Arc::clone(&seen);
        let app = app.layer(middleware::from_fn(move |request: Request, next: Next| {
            let head = (request.uri().clone(), request.headers().clone());
            log.lock().unwrap().push(head);
            next.run(request)
        }));
        let _running = tokio::spawn(async { axum::serve(listener, app).await });
        Self { host, seen }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    fn seen(&self) -> Vec<(Uri, HeaderMap)> {
        self.seen.lock().unwrap().clone()
    }

    fn paths(&self) -> Vec<String> {
        let path = |(uri, _): &(Uri, HeaderMap)| uri.path().to_owned();
        self.seen.lock().unwrap().iter().map(path).collect()
    }
}

fn listing() -> Router {
    Router::new().route("/v1/models", get(LIST))
}

fn layer(provider: Provider) -> StaticModelsCacheLayer {
    let builder = StaticModelsCacheLayer::builder().provider(provider);
    builder.build().unwrap()
}

fn lab(url: impl Into<String>) -> Provider {
    Provider::openai("lab", url, Secret::new(KEY))
}

/// The error of a failed fetch.
async fn failure(cache: &ModelsCache) -> ListErrorKind {
    cache.refresh_provider("lab").await.unwrap_err().kind()
}

/// Turns a test that hangs into one that fails. The timeout is not a promise.
async fn in_time<F: Future>(test: F) -> F::Output {
    let end = Duration::from_secs(30);
    tokio::time::timeout(end, test)
        .await
        .expect("test timed out")
}

#[tokio::test]
async fn list_request_sends_only_the_key() {
    in_time(async {
        let server = Server::start(listing()).await;
        for path in ["", "/", "/v1", "/v1/"] {
            let layer = layer(lab(server.url(path)));
            layer.cache().refresh().await.unwrap();
            assert_eq!(list(&layer).await, ["lab/large", "lab/meta/small"]);
        }
        assert_eq!(server.paths(), ["/v1/models"; 4]);
        let (_, headers) = &server.seen()[0];
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "accept-encoding",
            "authorization",
            "host",
            "user-agent",
        ];
        assert_eq!(names, expected);
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(headers["accept-encoding"].to_str().unwrap(), "zstd,gzip,br");
    })
    .await;
}

#[tokio::test]
async fn key_is_sent_in_configured_header() {
    in_time(async {
        let server = Server::start(listing()).await;
        let provider = Provider::client("lab", server.url("/v1"))
            .secret_header(HeaderName::from_static("x-api-key"), Secret::new(KEY))
            .header(
                HeaderName::from_static("x-team"),
                HeaderValue::from_static("infra"),
            );
        layer(provider).cache().refresh().await.unwrap();
        let layer = layer(Provider::openai("lab", server.url(""), None));
        layer.cache().refresh().await.unwrap();
        let seen = server.seen();
        assert_eq!(seen[0].1["x-api-key"], KEY);
        assert_eq!(seen[0].1["x-team"], "infra");
        assert!(!seen[0].1.contains_key("authorization"));
        assert!(!seen[1].1.contains_key("authorization"));
    })
    .await;
}

#[tokio::test]
async fn gzip_br_and_zstd_responses_are_decoded() {
    in_time(async {
        for coding in ["gzip", "br", "zstd"] {
            // Too large to be sent uncompressed, and the coding is chosen by us.
            let data: Vec<_> = (0..500).map(|n| format!(r#"{{"id":"m{n:03}"}}"#)).collect();
            let body = format!(r#"{{"object":"list","data":[{}]}}"#, data.join(","));
            let bytes = compress(coding, body).await;
            let app = encoded(coding, bytes);
            let server = Server::start(app).await;
            let layer = layer(lab(server.url("")));
            layer.cache().refresh().await.unwrap();
            assert_eq!(list(&layer).await.len(), 500, "{coding}");
        }
    })
    .await;
}

/// An app whose list is sent as these bytes, under a content coding.
fn encoded(coding: &'static str, bytes: Bytes) -> Router {
    let list = move || async move { ([(header::CONTENT_ENCODING, coding)], bytes) };
    Router::new().route("/v1/models", get(list))
}

/// The body under a content coding.
async fn compress(coding: &'static str, body: String) -> Bytes {
    let app = Router::new()
        .route("/", get(move || async move { body }))
        .layer(CompressionLayer::new());
    let request = Request::get("/").header(header::ACCEPT_ENCODING, coding);
    let response = app
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], coding);
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn gzip_bomb_is_refused_by_decoded_size() {
    in_time(async {
        const BOUND: usize = 1024 * 1024;
        let body = format!("{}{LIST}", " ".repeat(4 * BOUND));
        let bytes = compress("gzip", body).await;
        assert!(
            bytes.len() < 64 * 1024,
            "{} bytes go over the wire",
            bytes.len()
        );
        let app = encoded("gzip", bytes);
        let server = Server::start(app).await;
        let bounded = |bytes| {
            let builder = StaticModelsCacheLayer::builder().max_bytes(bytes);
            let layer = builder.provider(lab(server.url(""))).build().unwrap();
            layer.cache()
        };
        assert_eq!(failure(&bounded(BOUND)).await, ListErrorKind::TooLarge);
        // Only the limit can have refused it.
        assert!(bounded(5 * BOUND).refresh().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn truncated_gzip_response_is_a_failure() {
    in_time(async {
        let mut bytes = compress("gzip", format!("{LIST}{}", " ".repeat(10_000))).await;
        bytes.truncate(bytes.len() - 12);
        let app = encoded("gzip", bytes);
        let server = Server::start(app).await;
        let layer = layer(lab(server.url("")));
        assert_eq!(failure(&layer.cache()).await, ListErrorKind::Transport);
    })
    .await;
}

#[tokio::test]
async fn same_origin_redirect_is_followed_with_key() {
    in_time(async {
        let app = listing()
            .route(
                "/old/models",
                get(|| async { Redirect::temporary("../new/models") }),
            )
            .route(
                "/new/models",
                get(|| async { Redirect::permanent("/v1/models") }),
            );
        let server = Server::start(app).await;
        let layer = layer(lab(server.url("/old")));
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await.len(), 2);
        assert_eq!(server.paths(), ["/old/models", "/new/models", "/v1/models"]);
        let keys = server.seen();
        assert!(
            keys.iter()
                .all(|(_, headers)| headers["authorization"] == format!("Bearer {KEY}"))
        );
    })
    .await;
}

#[tokio::test]
async fn redirect_to_another_origin_is_refused() {
    in_time(async {
        let elsewhere = Server::start(listing()).await;
        let port = elsewhere.host.rsplit_once(':').unwrap().1.to_owned();
        for target in [
            elsewhere.url("/v1/models"),
            format!("//{}/v1/models", elsewhere.host),
            format!("http://u:p@{}/v1/models", elsewhere.host),
            format!("http://localhost:{port}/v1/models"),
        ] {
            let away = target.clone();
            let app = Router::new().route(
                "/v1/models",
                get(|| async move { Redirect::temporary(&away) }),
            );
            let server = Server::start(app).await;
            let layer = layer(lab(server.url("")));
            assert_eq!(
                failure(&layer.cache()).await,
                ListErrorKind::Status(307),
                "{target}"
            );
            assert_eq!(server.paths(), ["/v1/models"]);
        }
        assert!(elsewhere.paths().is_empty(), "{:?}", elsewhere.paths());
    })
    .await;
}

#[tokio::test]
async fn scheme_and_host_name_define_the_origin() {
    in_time(async {
        let app = Router::new().route(
            "/v1/models",
            get(|request: Request| async move {
                let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
                let port = host.rsplit_once(':').unwrap().1.to_owned();
                let target = match request.uri().query() {
                    Some("tls") => format!("https://{host}/v1/models"),
                    _ => format!("http://localhost:{port}/v1/models"),
                };
                Redirect::temporary(&target)
            }),
        );
        let server = Server::start(app).await;
        for path in ["/v1/models?tls", "/v1/models?name"] {
            let layer = layer(lab(server.url("")).models_path(path));
            assert_eq!(
                failure(&layer.cache()).await,
                ListErrorKind::Status(307),
                "{path}"
            );
        }
        assert_eq!(server.seen().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn endless_redirects_are_abandoned() {
    in_time(async {
        let app = Router::new().route(
            "/v1/models",
            get(|| async { Redirect::temporary("/v1/models") }),
        );
        let server = Server::start(app).await;
        let layer = layer(lab(server.url("")));
        assert_eq!(failure(&layer.cache()).await, ListErrorKind::Status(307));
        assert_eq!(server.paths().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn hung_server_fails_at_deadline() {
    in_time(async {
        let app = Router::new()
            .route("/v1/models", get(std::future::pending::<String>))
            .route("/body/models", get(drip));
        let server = Server::start(app).await;
        // A server that accepts the connection and never sends a byte, not even for TLS.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = silent.local_addr().unwrap();
        for url in [
            server.url(""),
            server.url("/body"),
            format!("http://{silent}"),
            format!("https://{silent}"),
        ] {
            let layer = layer(lab(&*url).timeout(Duration::from_millis(100)));
            let kind = failure(&layer.cache()).await;
            assert_eq!(kind, ListErrorKind::Timeout, "{url}");
        }
    })
    .await;
}

#[tokio::test]
async fn shutdown_closes_connection_to_hung_server() {
    in_time(async {
        let (arrived, mut received) = tokio::sync::mpsc::channel::<()>(1);
        let (held, mut let_go) = tokio::sync::mpsc::channel::<()>(1);
        let hung = move || async move {
            let _held = held; // until the server finds the connection closed
            arrived.send(()).await.unwrap();
            std::future::pending::<String>().await
        };
        // The route keeps no copy of what its one call holds.
        let hung = Arc::new(Mutex::new(Some(hung)));
        let once = move || {
            let hung = hung.lock().unwrap().take().unwrap();
            hung()
        };
        let server = Server::start(Router::new().route("/v1/models", get(once))).await;
        let provider = lab(server.url("")).timeout(Duration::from_secs(3600));
        let builder = StaticModelsCacheLayer::builder().provider(provider);
        let (_layer, refresher) = builder.spawn().unwrap();
        received.recv().await.unwrap();
        refresher.shutdown().await;
        assert_eq!(let_go.recv().await, None);
    })
    .await;
}

/// Sends headers at once, and a byte now and then.
async fn drip() -> Response {
    let bytes = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, io::Error>(" "), ()))
    });
    Body::from_stream(bytes).into_response()
}

#[tokio::test]
async fn refused_connection_is_transport_error() {
    in_time(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let layer = layer(lab(url));
        assert_eq!(failure(&layer.cache()).await, ListErrorKind::Transport);
    })
    .await;
}

/// This also shows that TLS works, and without a process-wide crypto provider: with two compiled
/// in, as here, there is no other default.
#[tokio::test]
async fn self_signed_certificate_is_refused() {
    use rustls::{ServerConfig, ServerConnection, crypto::ring, pki_types::PrivateKeyDer};

    in_time(async {
        let certificate = include_bytes!("../support/tls/self-made.crt.der");
        let key = include_bytes!("../support/tls/self-made.key.der");
        let key = PrivateKeyDer::try_from(&key[..]).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.to_vec().into()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            while tls.is_handshaking() {
                if let Err(error) = tls.complete_io(&mut socket) {
                    return error.to_string();
                }
            }
            "the handshake went well".to_owned()
        });
        let layer = layer(lab(format!("https://localhost:{port}")));
        let error = layer.cache().refresh_provider("lab").await.unwrap_err();
        assert_eq!(error.kind(), ListErrorKind::Transport);
        let message = tokio::task::spawn_blocking(|| server.join().unwrap())
            .await
            .unwrap();
        assert!(message.contains("fatal alert: "), "{message}");
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    })
    .await;
}

#[tokio::test]
async fn plain_server_under_https_is_transport_error() {
    in_time(async {
        let server = Server::start(listing()).await;
        let layer = layer(lab(format!("https://{}", server.host)));
        assert_eq!(failure(&layer.cache()).await, ListErrorKind::Transport);
        assert!(server.paths().is_empty());
    })
    .await;
}

#[tokio::test]
async fn provider_rebuilt_from_settings_keeps_list() {
    in_time(async {
        let server = Server::start(listing()).await;
        let cache = layer(lab(server.url(""))).cache();
        cache.refresh().await.unwrap();
        let same = lab(server.url("")).timeout(Duration::from_secs(7));
        cache.set_providers([same]).await.unwrap();
        assert_eq!(cache.snapshot().len(), 2);
        let other_key = Provider::openai("lab", server.url(""), Secret::new("sk-other"));
        cache.set_providers([other_key]).await.unwrap();
        assert_eq!(cache.status().models, 2);
        assert!(cache.status().providers[0].superseded);
        assert_eq!(server.paths().len(), 1);
    })
    .await;
}

#[cfg(feature = "config")]
#[tokio::test]
async fn reloaded_file_keeps_lists_of_unchanged() {
    in_time(async {
        let server = Server::start(listing()).await;
        let read = |globs: &str| {
            let text = format!("name = 'lab'\nbase_url = '{}'\n{globs}", server.url(""));
            let config: tower_models_cache::config::ProviderConfig = toml::from_str(&text).unwrap();
            config.provider().unwrap()
        };
        let cache = layer(read("include = ['meta/*']")).cache();
        cache.refresh().await.unwrap();
        let again = read("include = ['meta/*']\nprefix = false");
        cache.set_providers([again]).await.unwrap();
        assert!(cache.snapshot().get("meta/small").is_some());
        let other_globs = read("include = ['large']");
        cache.set_providers([other_globs]).await.unwrap();
        assert!(cache.snapshot().is_empty());
        assert_eq!(server.paths().len(), 1);
    })
    .await;
}

#[test]
fn key_over_plain_http_needs_opt_in() {
    let build = |provider| {
        let builder = StaticModelsCacheLayer::builder().provider(provider);
        builder.build().map(drop).map_err(|error| error.to_string())
    };
    let url = "http://lab.test/hunter2";
    let error = build(lab(url)).unwrap_err();
    let expected = "providers.lab.base_url is plain http to another machine, while a key is set, \
                    expected https, a loopback host, or allow_plain_http_key";
    assert_eq!(error, expected);
    let named = HeaderName::from_static("x-odd");
    let other = || Provider::client("lab", url);
    assert!(build(other().secret_header(named.clone(), Secret::new(KEY))).is_err());
    let value = HeaderValue::from_static("hunter2");
    assert!(build(other().header(header::AUTHORIZATION, value.clone())).is_err());

    assert_eq!(build(lab(url).allow_plain_http_key(true)), Ok(()));
    assert_eq!(build(lab("https://lab.test")), Ok(()));
    assert_eq!(build(lab("http://localhost:8000")), Ok(()));
    assert_eq!(build(other()), Ok(()));
    assert_eq!(build(other().header(named, value)), Ok(()));
}

#[test]
fn error_for_invalid_key_names_the_header() {
    for key in ["", "hunter2\n", "hünter2"] {
        let provider = Provider::openai("lab", "https://lab.test", Secret::new(key));
        let error = StaticModelsCacheLayer::builder()
            .provider(provider)
            .build()
            .unwrap_err();
        assert_eq!(error.field(), "providers.lab.headers.authorization");
        let expected = "providers.lab.headers.authorization is not a header value, expected one or \
                        more visible ASCII characters";
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("nter2"));
    }
}

#[tokio::test]
async fn log_and_errors_hide_key_and_server_text() {
    let log = &*LOG;
    in_time(async {
        // A server that echoes the key in body, header and redirect.
        let echo = |request: Request| async move {
            let key = request.headers()["authorization"].clone();
            let text = key.to_str().unwrap().replace(' ', "-");
            let status = match request.uri().path() {
                "/error/models" => StatusCode::UNAUTHORIZED,
                "/away/models" => StatusCode::FOUND,
                _ => StatusCode::OK,
            };
            let location = format!("http://{text}.test/{text}");
            (status, [(header::LOCATION, location)], text)
        };
        let server = Server::start(Router::new().fallback(get(echo))).await;
        let mut shown = String::new();
        for path in ["/error", "/away", "/text"] {
            let provider = lab(server.url(path));
            shown += &format!("{provider:?} {provider:#?}");
            let builder = StaticModelsCacheLayer::builder().provider(provider);
            shown += &format!("{builder:?}");
            let layer = builder.build().unwrap();
            let error = layer.cache().refresh_provider("lab").await.unwrap_err();
            shown += &format!("{error} {error:?} {layer:?} {:?}", layer.cache().status());
            let response = support::send(&layer, support::get("/v1/models")).await;
            shown += &format!("{response:?}");
        }
        assert_eq!(server.paths().len(), 3);
        assert!(!shown.contains("hunter2"), "{shown}");
    })
    .await;
    let log = log.text();
    assert!(log.contains("failed to fetch the model list"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
