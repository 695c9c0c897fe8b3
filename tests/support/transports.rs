//! Sends each request in process, over HTTP/1.1 and over HTTP/2, and checks that all three
//! responses are the same.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part of it, and tests unwrap"
)]

use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::Empty;
use tower::Layer;
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

use super::{
    Unreachable,
    net::{Client, Server, dateless, empty, within},
    send,
};

/// A layer, and a server in front of it with one connection per HTTP version.
pub struct Transports {
    pub layer: StaticModelsCacheLayer,
    pub server: Server,
    http1: Client,
    http2: Client,
}

impl Transports {
    pub async fn of(layer: &StaticModelsCacheLayer) -> Self {
        let server = Server::hyper(layer.layer(Unreachable)).await;
        Self {
            layer: layer.clone(),
            http1: Client::connect(server.addr(), Version::HTTP_11).await,
            http2: Client::connect(server.addr(), Version::HTTP_2).await,
            server,
        }
    }

    /// Sends the request over every transport and returns the common response.
    pub async fn send(&mut self, request: &Request<()>) -> Response<Bytes> {
        let response = send(&self.layer, with_body(request, Empty::new())).await;
        for client in [&mut self.http1, &mut self.http2] {
            let other = client.send(with_body(request, empty())).await;
            let way = other.version();
            assert_eq!(other.status(), response.status(), "{way:?} {request:?}");
            let headers = dateless(other.headers());
            assert_eq!(&headers, response.headers(), "{way:?} {request:?}");
            assert!(other.body() == response.body(), "{way:?} {request:?}");
        }
        response
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &[u8])]) -> Response<Bytes> {
        self.send(&request(Method::GET, path, headers)).await
    }

    /// The response to a `GET`; the one to a `HEAD` is the same without a body.
    pub async fn get_and_head(&mut self, path: &str, headers: &[(&str, &[u8])]) -> Response<Bytes> {
        let got = self.get(path, headers).await;
        let head = self.send(&request(Method::HEAD, path, headers)).await;
        assert_eq!(head.status(), got.status(), "{path} {headers:?}");
        assert_eq!(head.headers(), got.headers(), "{path} {headers:?}");
        assert!(head.body().is_empty());
        got
    }
}

fn with_body<B>(request: &Request<()>, body: B) -> Request<B> {
    request.clone().map(|()| body)
}

/// Builds a request. The path may hold any bytes that are valid in a URI, and the header values
/// any bytes that are valid in a header.
pub fn request(method: Method, path: impl AsRef<[u8]>, headers: &[(&str, &[u8])]) -> Request<()> {
    let path = path.as_ref();
    let uri = Uri::try_from(path).unwrap_or_else(|_| panic!("{}", path.escape_ascii()));
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

// ===== A list that is long enough to be compressed =====

/// The content codings, identity last.
pub const CODINGS: [&str; 4] = ["br", "zstd", "gzip", "identity"];

/// A layer whose list is compressed. `house/small` is one of its models.
pub fn house() -> StaticModelsCacheLayer {
    let more = (0..40).map(|n| Model::new(format!("model-{n}")).with_created(1_700_000_000));
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed(
            "house",
            more.chain([Model::new("small"), Model::new("large")]),
        ))
        .build()
        .unwrap()
}

/// The list as a client gets it that accepts only this coding.
pub async fn list_under(layer: &StaticModelsCacheLayer, coding: &str) -> Response<Bytes> {
    let headers = [("accept-encoding", coding.as_bytes())];
    let request = request(Method::GET, "/v1/models", &headers);
    send(layer, with_body(&request, Empty::new())).await
}

/// Completes when the list is served compressed.
pub async fn encoded(layer: &StaticModelsCacheLayer) {
    within(async {
        while coding(list_under(layer, "gzip").await.headers()) == "identity" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// `Vary` of the list, and of responses that are never compressed.
pub const VARY: &str = "accept-encoding, anthropic-version, x-goog-api-key";
pub const VARY_BY_DIALECT: &str = "anthropic-version, x-goog-api-key";

/// The content coding of a response.
pub fn coding(headers: &HeaderMap) -> &str {
    let lines: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
    match lines[..] {
        [] => "identity",
        [one] => {
            let one = one.to_str().unwrap();
            assert_ne!(one, "identity", "identity is never sent as a coding");
            one
        }
        _ => panic!("{lines:?}"),
    }
}

pub fn decode(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    match coding {
        "identity" => decoded.extend_from_slice(body),
        "gzip" => {
            let mut from = flate2::read::MultiGzDecoder::new(body);
            from.read_to_end(&mut decoded).unwrap();
        }
        "zstd" => decoded = zstd::decode_all(body).unwrap(),
        "br" => {
            let mut rest = body;
            brotli::BrotliDecompress(&mut rest, &mut decoded).unwrap();
            assert!(rest.is_empty(), "trailing bytes after the stream");
        }
        other => panic!("unknown coding {other:?}"),
    }
    decoded
}

/// Checks the headers of a 200 against its body and returns the decoded body.
pub fn decoded(response: &Response<Bytes>) -> Vec<u8> {
    assert_eq!(response.status(), StatusCode::OK);
    let length = response.body().len().to_string();
    assert_eq!(only(response.headers(), "content-length"), length);
    assert_eq!(only(response.headers(), "content-type"), "application/json");
    let etag = only(response.headers(), "etag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2);
    decode(coding(response.headers()), response.body())
}

/// The value of a header that occurs once.
pub fn only<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    let [one] = lines[..] else {
        panic!("{name}: {lines:?}");
    };
    one.to_str().unwrap()
}

/// Checks the headers of an error response and returns its code.
pub fn error_code(response: &Response<Bytes>) -> String {
    let headers = response.headers();
    assert_eq!(only(headers, "content-type"), "application/json");
    let length = response.body().len().to_string();
    assert_eq!(only(headers, "content-length"), length);
    assert_eq!(only(headers, "cache-control"), "no-store");
    assert!(!headers.contains_key("etag") && !headers.contains_key("content-encoding"));
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let error = &body["error"];
    assert!(error["message"].is_string() && error["type"].is_string());
    error["code"].as_str().unwrap().to_owned()
}
