//! The layer and the service in axum routers, over real sockets.

use crate::support::net;
use std::{sync::Arc, time::Duration};

use crate::support::net::{Client, Server, dateless, empty, full, within};
use crate::support::{ScriptedSource, ids};
use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, Path, Request},
    routing::{get, post},
};
use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri, Version, header};
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

fn house() -> StaticModelsCacheLayer {
    at(["/v1/models"])
}

fn at<const N: usize>(paths: [&str; N]) -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", [Model::new("small")]))
        .provider(
            Provider::fixed("open", ["a/b c", "x:1", "ü", "50%"].map(Model::new)).prefix(false),
        )
        .paths(paths)
        .build()
        .unwrap()
}

const LISTED: [&str; 5] = ["house/small", "50%", "a/b c", "x:1", "ü"];

/// Every listed model, as a path segment.
const WRITTEN: [(&str, &str); 8] = [
    ("house/small", "house/small"),
    ("house%2Fsmall", "house/small"),
    ("a/b%20c", "a/b c"),
    ("a%2Fb%20c", "a/b c"),
    ("x:1", "x:1"),
    ("x%3A1", "x:1"),
    ("%C3%BC", "ü"),
    ("50%25", "50%"),
];

async fn completions(OriginalUri(uri): OriginalUri, uri_inside: Uri, body: Bytes) -> String {
    format!("{} {uri_inside} {}", uri.path(), body.len())
}

fn api() -> Router {
    Router::new().route("/v1/chat/completions", post(completions))
}

/// Checks that the whole list and every model are served at this path, over every HTTP version.
async fn serves_everything(server: &Server, at: &str) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = Client::connect(server.addr(), version).await;
        let got = client.get(at).await;
        assert_eq!(got.status(), StatusCode::OK, "{at}");
        assert_eq!(got.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(ids(got.body()), LISTED);
        let head = client.request(Method::HEAD, at).await;
        assert_eq!(dateless(head.headers()), dateless(got.headers()));
        assert!(head.body().is_empty());
        let again = Request::get(at).header(header::IF_NONE_MATCH, &got.headers()["etag"]);
        let again = client.send(again.body(empty()).unwrap()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let mut expected = dateless(got.headers());
        expected.remove(header::CONTENT_TYPE);
        expected.remove(header::CONTENT_LENGTH);
        let mut sent = dateless(again.headers());
        if version == Version::HTTP_2 {
            // axum adds the length of the empty body to the 304 of a route, and hyper removes it
            // over HTTP/1.1 only. We cannot prevent it: tower-http would compress a body of
            // unknown length.
            let length = sent.remove(header::CONTENT_LENGTH);
            assert!(length.is_none_or(|length| length == "0"));
        }
        assert_eq!(sent, expected, "{version:?}");
        assert!(again.body().is_empty());
        for (written, id) in WRITTEN {
            let path = format!("{at}/{written}");
            let got = client.get(&path).await;
            assert_eq!(got.status(), StatusCode::OK, "{path}");
            let model: serde_json::Value = serde_json::from_slice(got.body()).unwrap();
            assert_eq!(model["id"], id);
            let head = client.request(Method::HEAD, &path).await;
            assert_eq!(dateless(head.headers()), dateless(got.headers()));
        }
        let unknown = client.get(&format!("{at}/nothing")).await;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        assert!(unknown.body().starts_with(b"{\"error\":"));
    }
}

async fn serves_no_list(server: &Server, at: &str) {
    let got = net::get(server.addr(), at).await;
    assert_eq!(got.status(), StatusCode::NOT_FOUND, "{at}");
    assert!(!got.headers().contains_key(header::ETAG), "{at}");
}

async fn posts(server: &Server, at: &str) -> Response<Bytes> {
    let mut client = Client::connect(server.addr(), Version::HTTP_11).await;
    client
        .send(Request::post(at).body(full("12345")).unwrap())
        .await
}

#[tokio::test]
async fn router_layer_serves_list_beside_routes() {
    let app = api()
        .route("/v1/files", get(|| async { "files" }))
        .layer(house());
    let server = Server::axum(app).await;
    serves_everything(&server, "/v1/models").await;
    let slash = net::get(server.addr(), "/v1/models/").await;
    assert_eq!(ids(slash.body()), LISTED);
    serves_no_list(&server, "/v1/modelsx").await;
    serves_no_list(&server, "/v2/models").await;
    let post = posts(&server, "/v1/chat/completions").await;
    assert_eq!(post.body(), "/v1/chat/completions /v1/chat/completions 5");
    assert_eq!(net::get(server.addr(), "/v1/files").await.body(), "files");
    // No route matches, and the list is not a route.
    assert_eq!(posts(&server, "/v1/models").await.status(), 404);
}

#[tokio::test]
async fn app_route_on_list_path_keeps_other_methods() {
    let app = Router::new()
        .route(
            "/v1/models",
            get(|| async { "never" }).post(|| async { "created" }),
        )
        .route(
            "/v1/models/{*id}",
            axum::routing::delete(|Path(id): Path<String>| async move { id }),
        )
        .layer(house());
    let server = Server::axum(app).await;
    serves_everything(&server, "/v1/models").await;
    assert_eq!(posts(&server, "/v1/models").await.body(), "created");
    let mut client = Client::connect(server.addr(), Version::HTTP_2).await;
    let deleted = client.request(Method::DELETE, "/v1/models/a/b%20c").await;
    assert_eq!(deleted.body(), "a/b c");
    let put = client.request(Method::PUT, "/v1/models").await;
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn cloned_layers_share_one_cache() {
    let source = ScriptedSource::always(["x"]);
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", source.clone()))
        .spawn()
        .unwrap();
    let mut app = Router::new();
    for n in 0..20 {
        app = app.route(&format!("/{n}"), get(|| async {}));
    }
    let admin = Router::new()
        .route("/admin", get(|| async {}))
        .layer(layer.clone());
    let app = app.layer(layer.clone()).merge(admin).layer(layer.clone());
    let server = Server::axum(app).await;
    for _ in 0..5 {
        let got = net::get(server.addr(), "/v1/models").await;
        assert_eq!(ids(got.body()), ["lab/x"]);
    }
    assert_eq!(source.calls(), 1);
    refresher.shutdown().await;
}

#[tokio::test]
async fn nested_router_with_fallback_strips_prefix() {
    let inside = api()
        .fallback(|| async { (StatusCode::NOT_FOUND, "nested fallback") })
        .layer(house());
    let app = Router::new().nest("/api", inside);
    let server = Server::axum(app).await;
    serves_everything(&server, "/api/v1/models").await;
    serves_no_list(&server, "/v1/models").await;
    let post = posts(&server, "/api/v1/chat/completions").await;
    assert_eq!(
        post.body(),
        "/api/v1/chat/completions /v1/chat/completions 5"
    );
}

#[tokio::test]
async fn nested_router_without_fallback_needs_a_route() {
    // axum drops the layers of a nested router together with its default fallback.
    let without = Router::new().nest("/api", api().layer(house()));
    serves_no_list(&Server::axum(without).await, "/api/v1/models").await;

    let layer = house();
    let inside = api()
        .route_service("/v1/models", layer.service())
        .route_service("/v1/models/{*id}", layer.service());
    let with = Server::axum(Router::new().nest("/api", inside)).await;
    serves_everything(&with, "/api/v1/models").await;
    assert_eq!(
        posts(&with, "/api/v1/chat/completions").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn layer_around_nesting_router_sees_full_path() {
    let app = Router::new()
        .nest("/api", api())
        .layer(at(["/api/v1/models"]));
    let server = Server::axum(app).await;
    serves_everything(&server, "/api/v1/models").await;
    serves_no_list(&server, "/v1/models").await;
    let post = posts(&server, "/api/v1/chat/completions").await;
    assert_eq!(post.status(), StatusCode::OK);
}

#[tokio::test]
async fn several_paths_serve_the_same_list() {
    let mounts = ["/v1/models", "/api/v1/models", "/models"];
    let app = api().layer(at(mounts));
    let server = Server::axum(app).await;
    let mut etags = Vec::new();
    for mount in mounts {
        serves_everything(&server, mount).await;
        let got = net::get(server.addr(), mount).await;
        etags.push(got.headers()["etag"].clone());
    }
    etags.dedup();
    assert_eq!(etags.len(), 1);
    serves_no_list(&server, "/v1/models-mine").await;
    serves_no_list(&server, "/api/models").await;
}

#[tokio::test]
async fn standalone_service_serves_routes() {
    let models = house().service();
    let app = api()
        .route_service("/v1/models", models.clone())
        .route_service("/v1/models/", models.clone())
        .route_service("/v1/models/{*id}", models);
    let server = Server::axum(app).await;
    serves_everything(&server, "/v1/models").await;
    let slash = net::get(server.addr(), "/v1/models/").await;
    assert_eq!(ids(slash.body()), LISTED);
    serves_no_list(&server, "/v1/modelsx").await;
    let refused = posts(&server, "/v1/models").await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[header::ALLOW], "GET, HEAD");
    let post = posts(&server, "/v1/chat/completions").await;
    assert_eq!(post.status(), StatusCode::OK);
}

#[tokio::test]
async fn router_may_be_a_provider() {
    let upstream = Router::new().route(
        "/v1/models",
        get(|| async { r#"{"object":"list","data":[{"id":"x"}]}"# }),
    );
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http::<_, Body, _>("lab", upstream))
        .build()
        .unwrap();
    let request = Request::get("/v1/models").body(Body::empty()).unwrap();
    let Ok(got) = api().layer(layer).oneshot(request).await;
    let body = axum::body::to_bytes(got.into_body(), 1000).await.unwrap();
    assert_eq!(ids(&body), ["lab/x"]);
}

#[tokio::test]
async fn graceful_shutdown_finishes_pending_request() {
    let shutdown = CancellationToken::new();
    let hung = ScriptedSource::hung();
    let tracker = tokio_util::task::TaskTracker::new();
    let (layer, refresher) = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", [Model::new("small")]))
        .provider(Provider::source("hung", hung.clone()))
        .miss_timeout(Duration::from_secs(3600))
        .fetch_timeout(Duration::from_secs(3600))
        .cancellation_token(shutdown.child_token())
        .spawn_on(&tracker)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let arrived = Arc::new(Notify::new());
    let request_arrived = Arc::clone(&arrived);
    let notify = axum::middleware::map_request(move |request: Request| {
        arrived.notify_one();
        async { request }
    });
    let app = api().layer(layer).layer(notify);
    let serve = axum::serve(listener, app);
    let serve = serve.with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let served = tokio::spawn(async move { serve.await.unwrap() });

    // It waits for a provider that never responds.
    let in_hand = tokio::spawn(async move { net::get(addr, "/v1/models").await });
    within(request_arrived.notified()).await;
    shutdown.cancel();
    let response = within(in_hand).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(ids(response.body()), ["house/small"]);
    within(served).await.unwrap();
    within(refresher.shutdown()).await;
    tracker.close();
    within(tracker.wait()).await;
    assert_eq!(hung.calls(), 1);
}
