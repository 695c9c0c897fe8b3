//! Whatever a client sends, a response agrees with its own headers.

use crate::support;
use crate::support::net;
use crate::support::transports;
use std::{cell::RefCell, collections::HashMap};

use crate::support::net::{Server, within};
use crate::support::transports::{coding, decoded, encoded, error_code};
use crate::support::{Unreachable, send};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};
use tower::Layer;
use tower_models_cache::{ClientDialect, Model, Provider, StaticModelsCacheLayer};

/// Layers with published lists: compressed, uncompressed, and without models.
struct World {
    runtime: Runtime,
    layers: Vec<StaticModelsCacheLayer>,
    /// Every known tag, for use in requests.
    tags: Vec<Vec<u8>>,
    /// The body of each tag, over the whole run.
    seen: RefCell<HashMap<Vec<u8>, (Bytes, String)>>,
}

const PATHS: [&str; 5] = [
    "/v1/models",
    "/v1/models/",
    "/v1/models/p/model-1",
    "/v1/models/p%2Fmodel-2",
    "/v1/models/p/model-39/",
];

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let layers: Vec<_> = [(40, "x"), (40, "y"), (2, "x"), (0, "x")]
            .map(|(count, owner)| {
                let model = |n| Model::new(format!("model-{n}")).with_owned_by(owner);
                StaticModelsCacheLayer::builder()
                    .provider(Provider::fixed("p", (0..count).map(model)))
                    .client_dialects([ClientDialect::OpenAi])
                    .build()
                    .unwrap()
            })
            .into();
        let mut tags = vec![b"\"\"".to_vec(), b"\"x\"".to_vec()];
        runtime.block_on(async {
            for (number, layer) in layers.iter().enumerate() {
                if number < 2 {
                    encoded(layer).await;
                }
                for coding in transports::CODINGS {
                    let list = transports::list_under(layer, coding).await;
                    tags.push(list.headers()["etag"].as_bytes().to_owned());
                }
                let model = send(layer, support::get("/v1/models/p/model-1")).await;
                tags.extend(
                    model
                        .headers()
                        .get("etag")
                        .map(|tag| tag.as_bytes().to_owned()),
                );
            }
        });
        Self {
            runtime,
            layers,
            tags,
            seen: RefCell::default(),
        }
    }

    fn send(
        &self,
        layer: usize,
        method: &Method,
        uri: Uri,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers.clone();
        self.runtime.block_on(send(&self.layers[layer], request))
    }

    /// Checks a response against its own headers and against all previous responses, and that its
    /// status is an expected one.
    fn check(&self, layer: usize, headers: &HeaderMap, response: &Response<Bytes>) {
        let list = self.layers[layer].cache().snapshot().body();
        match response.status() {
            StatusCode::OK => {
                let decoded = decoded(response);
                let is_part = list.windows(decoded.len()).any(|part| part == decoded);
                let is_model = is_part && decoded.starts_with(b"{\"id\":");
                assert!(decoded == list || is_model, "unexpected body");
                let etag = response.headers()["etag"].as_bytes().to_owned();
                let this = (
                    response.body().clone(),
                    coding(response.headers()).to_owned(),
                );
                let mut seen = self.seen.borrow_mut();
                let first = seen.entry(etag).or_insert_with(|| this.clone());
                assert!(first == &this, "one tag, two representations");
            }
            StatusCode::NOT_MODIFIED => {
                assert!(response.body().is_empty());
                for name in ["content-length", "content-type", "content-encoding"] {
                    assert!(!response.headers().contains_key(name), "{name}");
                }
                let etag = response.headers()["etag"].as_bytes();
                let mut lines = headers.get_all("if-none-match").iter();
                assert!(
                    lines.any(|line| {
                        let line = line.as_bytes();
                        line.windows(etag.len()).any(|part| part == etag)
                            || line.trim_ascii() == b"*"
                    }),
                    "the client has no such tag"
                );
            }
            StatusCode::NOT_ACCEPTABLE => {
                assert_eq!(error_code(response), "not_acceptable");
                assert_eq!(response.headers()["vary"], "accept-encoding");
                let mut lines = headers.get_all("accept-encoding").iter();
                assert!(
                    lines.any(|line| line.as_bytes().contains(&b'0')),
                    "every coding is refused"
                );
                assert!(layer < 2, "no coding to choose from");
            }
            StatusCode::NOT_FOUND => assert_eq!(error_code(response), "model_not_found"),
            other => panic!("{other}"),
        }
    }
}

thread_local! {
    static WORLD: World = World::new();
}

// ===== Requests =====

const NAMES: [&str; 14] = [
    "if-none-match",
    "accept-encoding",
    "accept",
    "range",
    "if-range",
    "if-match",
    "if-modified-since",
    "if-unmodified-since",
    "cache-control",
    "pragma",
    "authorization",
    "cookie",
    "anthropic-version",
    "x-http-method-override",
];

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 0x20..=0x7E_u8, 0x80..=0xFF_u8];
    vec(byte, 0..60)
}

/// A value made of pieces that are significant in some header, including valid tags.
fn significant_value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = select(vec![
        "\"",
        ",",
        ", ",
        " ",
        "\t",
        "W/",
        "*",
        ";q=",
        ";q=0",
        "0",
        "1",
        ".",
        "0.5",
        "0.001",
        "br",
        "gzip",
        "zstd",
        "identity",
        "identity;q=0",
        "*;q=0",
        "x-gzip",
        "bytes=0-",
        "no-cache",
        "no-store",
        "max-age=0",
        "text/html",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "\u{e9}",
    ]);
    let piece = prop_oneof![
        4 => pieces.prop_map(|piece| piece.as_bytes().to_owned()),
        1 => any::<prop::sample::Index>()
            .prop_map(|index| WORLD.with(|world| index.get(&world.tags).clone())),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        3 => Just("if-none-match"),
        3 => Just("accept-encoding"),
        4 => select(&NAMES[..]),
    ];
    let line = (
        name,
        prop_oneof![any_value(), significant_value(), significant_value()],
    );
    vec(line, 0..6).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        headers
    })
}

fn method() -> impl Strategy<Value = Method> {
    select(vec![Method::GET, Method::HEAD])
}

/// Paths below the list path, as bytes on the wire. Some are not valid URIs.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => select(vec![
            "/", "//", "p", "p/", "model-1", "model-39", "%2F", "%2f", "%70", "%", "%2", "%zz", "%FF",
            "%C3%BC", "%C3", "%00", "%25", "..", ".", "./", "+", "%20", ":", "@", "~", ";", "=", "&",
            "?", "?x", "\u{fc}", "\u{6a21}",
        ])
        .prop_map(|piece| piece.as_bytes().to_owned()),
        1 => vec(any::<u8>(), 0..6),
        1 => (any::<u8>(), 1..1000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    vec(piece, 0..8).prop_map(|pieces| [b"/v1/models/", &pieces.concat()[..]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_request_headers_get_valid_response(
        layer in 0..4_usize,
        path in select(&PATHS[..]),
        headers in headers(),
    ) {
        WORLD.with(|world| {
            let uri = || path.parse().unwrap();
            let got = world.send(layer, &Method::GET, uri(), &headers);
            world.check(layer, &headers, &got);
            let head = world.send(layer, &Method::HEAD, uri(), &headers);
            assert_eq!(head.status(), got.status());
            assert_eq!(head.headers(), got.headers());
            assert!(head.body().is_empty());
        });
    }

    #[test]
    fn arbitrary_path_is_a_model_or_404(
        layer in 0..4_usize,
        method in method(),
        path in path(),
        headers in headers(),
    ) {
        let Ok(uri) = Uri::try_from(&path[..]) else {
            return Ok(());
        };
        WORLD.with(|world| {
            let response = world.send(layer, &method, uri, &headers);
            if method == Method::GET {
                world.check(layer, &headers, &response);
            } else {
                assert!(response.status().as_u16() < 500, "{}", response.status());
                assert!(response.body().is_empty());
            }
        });
    }
}

/// Writes these bytes and reads until the server closes the connection.
async fn wire(server: &Server, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut response = Vec::new();
    // A server may close the connection before it has read everything.
    let _ = within(stream.read_to_end(&mut response)).await;
    response
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The bytes are written without a client library, which would send only valid URIs.
    #[test]
    fn arbitrary_bytes_never_cause_5xx(
        paths in vec(path(), 4),
        value in any_value(),
    ) {
        WORLD.with(|world| world.runtime.block_on(async {
            let server = Server::hyper(world.layers[0].layer(Unreachable)).await;
            for path in &paths {
                let request = [
                    b"GET ", &path[..], b" HTTP/1.1\r\nhost: x\r\nif-none-match: ", &value,
                    b"\r\naccept-encoding: ", &value, b"\r\nconnection: close\r\n\r\n",
                ]
                .concat();
                let response = wire(&server, &request).await;
                assert!(!response.starts_with(b"HTTP/1.1 5"), "{}", request.escape_ascii());
            }
            let good = net::get(server.addr(), "/v1/models").await;
            assert_eq!(good.status(), StatusCode::OK);
        }));
    }
}
