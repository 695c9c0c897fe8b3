//! The server of `benches/e2e.sh`: the layer on one port, and a constant handler with the
//! same bytes and headers on another.
//!
//! `e2e_server MODELS` prints `PORT-OF-CONSTANT PORT-OF-OURS ETAG`, and serves until it is
//! killed. The constant handler's paths are `/identity`, `/gzip`, `/br` and `/304`, the
//! layer's path is `/v1/models`.
#![allow(clippy::unwrap_used, reason = "a bench")]

mod support;

use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use support::{Incoming, get, with};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_models_cache::{ModelsService, StaticModelsCacheLayer};

/// The kinds of responses: the constant handler's path, and the header for the layer.
const KINDS: [(&str, Option<(header::HeaderName, &str)>); 4] = [
    ("/identity", None),
    ("/gzip", Some((header::ACCEPT_ENCODING, "gzip"))),
    ("/br", Some((header::ACCEPT_ENCODING, "br"))),
    ("/304", Some((header::IF_NONE_MATCH, "*"))),
];

#[tokio::main(worker_threads = 2)]
async fn main() {
    let models = std::env::args().nth(1).expect("e2e_server MODELS");
    let models = models.parse().expect("a number of models");
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .providers(support::providers(models))
        .spawn()
        .unwrap();
    refresher.detach();
    let constant = constant(&layer).await;
    let etag = layer.cache().snapshot().etag().to_owned();
    let ours = Router::new().layer(layer);

    let listen = || TcpListener::bind("127.0.0.1:0");
    let (constant_port, our_port) = (listen().await.unwrap(), listen().await.unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    println!("{} {} {etag}", port(&constant_port), port(&our_port));
    let constant = axum::serve(constant_port, constant);
    let ours = axum::serve(our_port, ours);
    let (constant, ours) = tokio::join!(constant.into_future(), ours.into_future());
    constant.and(ours).unwrap();
}

/// A route for each kind of response, copied from the layer's.
async fn constant(layer: &StaticModelsCacheLayer) -> Router {
    let mut router = Router::new();
    for (path, field) in KINDS {
        let request = || match field.clone() {
            Some((name, value)) => with(get("/v1/models"), name, value),
            None => get("/v1/models"),
        };
        let coding = path.trim_start_matches('/');
        let (status, head, body) = loop {
            let response = fetch(layer.service(), request()).await;
            let encoded = response.1.get(header::CONTENT_ENCODING);
            if !matches!(coding, "gzip" | "br") || encoded.is_some_and(|got| got == coding) {
                break response;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let handler = move || async move {
            let mut response = Response::new(Full::new(body));
            *response.status_mut() = status;
            *response.headers_mut() = head;
            response.map(axum::body::Body::new)
        };
        router = router.route(path, axum::routing::get(handler));
    }
    router
}

async fn fetch(service: ModelsService, request: Incoming) -> (StatusCode, HeaderMap, Bytes) {
    let Ok(response) = service.oneshot(request).await;
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    (head.status, head.headers, body.to_bytes())
}
