//! The layer on bare hyper, over real sockets, with HTTP/1.1 and HTTP/2.

use crate::support::net;
use std::convert::Infallible;

use crate::support::net::{Client, Server, dateless, empty, full, raw};
use crate::support::{ScriptedSource, ids, models};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tower::{Layer, ServiceExt, service_fn};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn house() -> StaticModelsCacheLayer {
    of([Model::new("small"), Model::new("a/b c")])
}

fn of(models: impl IntoIterator<Item = Model>) -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", models))
        .build()
        .unwrap()
}

/// The layer around a service that echoes the request body.
async fn serve(layer: &StaticModelsCacheLayer) -> Server {
    let echo = service_fn(|request: Request<Incoming>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    Server::hyper(layer.layer(echo)).await
}

#[tokio::test]
async fn connection_is_reused_for_every_response() {
    for version in VERSIONS {
        let layer = house();
        let server = serve(&layer).await;
        let mut client = Client::connect(server.addr(), version).await;
        for path in [
            "/v1/models",
            "/v1/models/",
            "/v1/models?x=1",
            "/v1/models/house/small",
            "/v1/models/house%2Fa%2Fb%20c",
            "/v1/models/nothing",
        ] {
            let got = client.get(path).await;
            assert_eq!(got.version(), version);
            assert!(!got.body().is_empty());
            let length = got.body().len().to_string();
            assert_eq!(got.headers()[header::CONTENT_LENGTH], length, "{path}");

            let head = client.request(Method::HEAD, path).await;
            assert_eq!(head.status(), got.status(), "{version:?} {path}");
            assert_eq!(dateless(head.headers()), dateless(got.headers()), "{path}");
            assert!(head.body().is_empty());

            let echoed = Request::post(path).body(full("echo")).unwrap();
            assert_eq!(client.send(echoed).await.body(), "echo", "{path}");

            let Some(etag) = got.headers().get(header::ETAG) else {
                assert_eq!(got.status(), StatusCode::NOT_FOUND, "{path}");
                continue;
            };
            for method in [Method::GET, Method::HEAD] {
                let request = Request::builder().method(method).uri(path);
                let request = request.header(header::IF_NONE_MATCH, etag);
                let same = client.send(request.body(empty()).unwrap()).await;
                assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{version:?}");
                assert!(same.body().is_empty());
                let mut expected = dateless(got.headers());
                expected.remove(header::CONTENT_TYPE);
                expected.remove(header::CONTENT_LENGTH);
                assert_eq!(dateless(same.headers()), expected, "{version:?} {path}");
            }
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn http1_head_and_304_have_no_body() {
    let layer = house();
    let etag = layer.cache().snapshot().etag().to_owned();
    let server = serve(&layer).await;
    let requests = format!(
        "HEAD /v1/models HTTP/1.1\r\nhost: x\r\n\r\n\
         GET /v1/models HTTP/1.1\r\nhost: x\r\nif-none-match: {etag}\r\n\r\n\
         HEAD /v1/models/nothing HTTP/1.1\r\nhost: x\r\n\r\n\
         GET /v1/models HTTP/1.0\r\n\r\n"
    );
    let responses = raw(server.addr(), &requests).await;
    let parts: Vec<_> = responses.splitn(5, "\r\n\r\n").collect();
    let [head, same, missing, old, body] = parts[..] else {
        panic!("{responses}");
    };
    let length = layer.cache().snapshot().body().len();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {length}\r\n")));
    assert!(same.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{same}");
    assert!(!same.contains("content-length") && !same.contains("transfer-encoding"));
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    assert_eq!(body.as_bytes(), layer.cache().snapshot().body());
}

#[tokio::test]
async fn body_of_get_is_not_read_as_next_request() {
    let layer = house();
    let server = serve(&layer).await;
    let requests = "GET /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 29\r\n\r\n\
                    DELETE /x HTTP/1.1\r\nhost: x\r\nPOST /x HTTP/1.1\r\nhost: x\r\n\
                    content-length: 5\r\nconnection: close\r\n\r\nafter";
    let responses = raw(server.addr(), requests).await;
    assert_eq!(responses.matches("HTTP/1.1 ").count(), 2, "{responses}");
    assert!(responses.ends_with("\r\n\r\nafter"), "{responses}");

    let mut client = Client::connect(server.addr(), Version::HTTP_2).await;
    let request = Request::get("/v1/models").body(full("unread")).unwrap();
    assert_eq!(client.send(request).await.status(), StatusCode::OK);
    assert_eq!(client.get("/v1/models").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn large_list_arrives_complete_repeatedly() {
    let layer = of((0..5000).map(|n| {
        Model::new(format!("family-{}/model-with-a-name-{n}", n % 40))
            .with_created(1_700_000_000)
            .with_owned_by("somebody")
            .with_context_length(131_072)
    }));
    let expected = layer.cache().snapshot().body();
    assert!(expected.len() > 500_000);
    for version in VERSIONS {
        let server = serve(&layer).await;
        let mut client = Client::connect(server.addr(), version).await;
        for _ in 0..3 {
            let got = client.get("/v1/models").await;
            assert!(got.body() == &expected, "{version:?}");
            assert_eq!(ids(got.body()).len(), 5000);
            let head = client.request(Method::HEAD, "/v1/models").await;
            assert_eq!(dateless(head.headers()), dateless(got.headers()));
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn stalled_reader_does_not_block_other_streams() {
    let layer = of((0..5000).map(|n| Model::new(format!("model-with-a-name-{n}"))));
    let expected = layer.cache().snapshot().body();
    let server = serve(&layer).await;
    let mut client = Client::connect(server.addr(), Version::HTTP_2).await;
    let list = || Request::get("/v1/models").body(empty()).unwrap();
    // The flow-control window fills, and the client does not read.
    let stalled = client.start(list()).await;
    drop(client.start(list()).await);
    let one = client.get("/v1/models/house/model-with-a-name-7").await;
    assert_eq!(one.status(), StatusCode::OK);
    let late = net::within(stalled.into_body().collect()).await.unwrap();
    assert!(late.to_bytes() == expected);
}

#[tokio::test]
async fn first_request_waits_for_list() {
    for version in VERSIONS {
        let (go, gate) = tokio::sync::oneshot::channel::<()>();
        let mut gate = Some(gate);
        let source = ScriptedSource::new(move |_| {
            let gate = gate.take();
            async move {
                if let Some(gate) = gate {
                    let _ = gate.await;
                }
                Ok::<_, Infallible>(models(["small"]))
            }
        });
        let layer = StaticModelsCacheLayer::builder()
            .provider(Provider::source("lab", source.clone()))
            .miss_timeout(std::time::Duration::from_secs(30))
            .fetch_timeout(std::time::Duration::from_secs(60))
            .build()
            .unwrap();
        let server = serve(&layer).await;
        let mut client = Client::connect(server.addr(), version).await;
        let let_go = async {
            while source.calls() == 0 {
                tokio::task::yield_now().await;
            }
            go.send(()).unwrap();
        };
        let (first, ()) = tokio::join!(client.get("/v1/models"), let_go);
        assert_eq!(ids(first.body()), ["lab/small"]);
        assert_eq!(
            first.headers()["cache-status"],
            "tower-models-cache; fwd=miss; stored"
        );
        let second = client.get("/v1/models").await;
        assert_eq!(second.headers()["cache-status"], "tower-models-cache; hit");
        assert_eq!(first.headers()["etag"], second.headers()["etag"]);
        assert_eq!((source.calls(), server.connections()), (1, 1));
    }
}

#[tokio::test]
async fn standalone_service_serves_connection() {
    let layer = house();
    let server = Server::hyper(layer.service()).await;
    for version in VERSIONS {
        let mut client = Client::connect(server.addr(), version).await;
        assert_eq!(
            ids(client.get("/v1/models").await.body()),
            ["house/a/b c", "house/small"]
        );
        let other = client.get("/v1/chat").await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND);
        let post = Request::post("/v1/models").body(full("x")).unwrap();
        let refused = client.send(post).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[header::ALLOW], "GET, HEAD");
        assert_eq!(client.get("/v1/models").await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn size_hint_matches_body() {
    use http_body::Body;
    let inner = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = house().layer(inner);
    for (method, path) in [
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/house/small"),
        (Method::HEAD, "/v1/models"),
        (Method::GET, "/v1/models/x"),
    ] {
        let request = Request::builder().method(&method).uri(path);
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let Ok(response) = service.clone().oneshot(request).await;
        let body = response.into_body();
        let said = body.size_hint().exact().unwrap();
        assert_eq!(body.is_end_stream(), method == Method::HEAD);
        let Ok(came) = body.collect().await;
        assert_eq!(said, came.to_bytes().len() as u64);
    }
}
