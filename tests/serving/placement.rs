//! The README's advice on axum: where to add the layer, with which `paths`, and which layers go
//! around it.

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::{
    cors::{Any, CorsLayer},
    map_response_body::MapResponseBodyLayer,
};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

use crate::support::{
    ids,
    net::{self, Server},
};

fn models(path: &str) -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", [Model::new("small")]))
        .paths([path])
        .build()
        .unwrap()
}

fn api() -> Router {
    Router::new().route("/v1/chat/completions", post(|| async { "chat" }))
}

async fn send<S>(app: S, request: http::request::Builder) -> http::Response<Bytes>
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible>,
{
    let Ok(response) = app.oneshot(request.body(Body::empty()).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    http::Response::from_parts(head, body)
}

/// The paths at which the list is served, out of the possible ones.
async fn served_at(app: Router) -> Vec<&'static str> {
    let mut found = Vec::new();
    for path in ["/v1/models", "/api/v1/models"] {
        let list = send(app.clone(), http::Request::get(path)).await;
        let one = send(
            app.clone(),
            http::Request::get(format!("{path}/house/small")),
        );
        assert_eq!(list.status(), one.await.status(), "{path}");
        if list.status() == StatusCode::OK {
            assert_eq!(ids(list.body()), ["house/small"]);
            found.push(path);
        }
    }
    let chat = ["/v1/chat/completions", "/api/v1/chat/completions"];
    let chat = chat.map(|path| send(app.clone(), http::Request::post(path)));
    let [top, nested] = futures_util::future::join_all(chat)
        .await
        .try_into()
        .unwrap();
    assert!(top.body() == "chat" || nested.body() == "chat");
    found
}

#[tokio::test]
async fn list_is_served_where_readme_says() {
    let (short, long) = ("/v1/models", "/api/v1/models");

    // Router::layer
    assert_eq!(served_at(api().layer(models(short))).await, [short]);

    // `Router::route_layer` runs for matched routes, and the list is not a route.
    assert_eq!(served_at(api().route_layer(models(short))).await, [""; 0]);

    // Around a router that nests another one
    let app = Router::new().nest("/api", api()).layer(models(long));
    assert_eq!(served_at(app).await, [long]);

    // On a nested router: only together with a fallback on that router
    let inside = api().layer(models(short));
    assert_eq!(served_at(Router::new().nest("/api", inside)).await, [""; 0]);
    let inside = api()
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(models(short));
    assert_eq!(served_at(Router::new().nest("/api", inside)).await, [long]);

    // nest_service
    let app = Router::new().nest_service("/api", models(short).layer(api()));
    assert_eq!(served_at(app).await, [long]);

    // fallback_service
    let app = Router::new().fallback_service(models(short).layer(api()));
    assert_eq!(served_at(app).await, [short]);

    // Routes of the service, also nested
    let service = models(short).service();
    let routes = api()
        .route_service("/v1/models", service.clone())
        .route_service("/v1/models/{*id}", service);
    assert_eq!(served_at(routes.clone()).await, [short]);
    assert_eq!(served_at(Router::new().nest("/api", routes)).await, [long]);
}

async fn authenticate(request: Request, next: Next) -> Response {
    match request.headers().contains_key(header::AUTHORIZATION) {
        true => next.run(request).await,
        false => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[tokio::test]
async fn auth_guards_list_only_when_outside() {
    let auth = || middleware::from_fn(authenticate);
    let right = api().layer(models("/v1/models")).layer(auth());
    let wrong = api().layer(auth()).layer(models("/v1/models"));
    let list = || http::Request::get("/v1/models");
    assert_eq!(send(right.clone(), list()).await.status(), 401);
    assert_eq!(send(wrong, list()).await.status(), 200);
    let with_key = list().header(header::AUTHORIZATION, "Bearer key");
    assert_eq!(send(right, with_key).await.status(), 200);
}

#[tokio::test]
async fn cors_allows_preflight_and_exposes_etags() {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::ETAG, HeaderName::from_static("x-models-etag")]);
    let app = api()
        .layer(models("/v1/models"))
        .layer(middleware::from_fn(authenticate))
        .layer(cors);
    let from = |method| {
        let request = http::Request::builder().method(method).uri("/v1/models");
        request.header(header::ORIGIN, "https://chat.test")
    };
    // A preflight request carries no credentials.
    let preflight = from(Method::OPTIONS)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization");
    let preflight = send(app.clone(), preflight).await;
    assert_eq!(preflight.status(), 200);
    let allowed = &preflight.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS];
    assert_eq!(allowed, "authorization,content-type");

    // A script can read the status of a refusal, and the tags of a response.
    let refused = send(app.clone(), from(Method::GET)).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let list = from(Method::GET).header(header::AUTHORIZATION, "Bearer key");
    let list = send(app, list).await;
    assert_eq!(list.status(), 200);
    let exposed = &list.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS];
    assert_eq!(exposed, "etag,x-models-etag");
    assert!(list.headers().contains_key(header::ETAG));
}

#[tokio::test]
async fn axum_serves_layer_around_router() {
    let app = ServiceBuilder::new()
        .layer(MapResponseBodyLayer::new(Body::new))
        .layer(models("/v1/models"))
        .service(api());
    let list = send(app.clone(), http::Request::get("/v1/models")).await;
    assert_eq!(ids(list.body()), ["house/small"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = axum::serve(listener, tower::make::Shared::new(app));
    let server = tokio::spawn(async { server.await.unwrap() });
    assert_eq!(
        ids(net::get(addr, "/v1/models").await.body()),
        ["house/small"]
    );
    server.abort();
}

#[tokio::test]
async fn reqwest_client_is_a_provider_service() {
    let upstream = Router::new().route(
        "/v1/models",
        get(|| async { r#"{"object":"list","data":[{"id":"x"}]}"# }),
    );
    let server = Server::axum(upstream).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let service = ServiceBuilder::new()
        .map_request(|request: http::Request<reqwest::Body>| {
            reqwest::Request::try_from(request).expect("an absolute URL")
        })
        .map_response(http::Response::<reqwest::Body>::from)
        .service(client);
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http("lab", service).base_url(format!("{}/v1", server.url())))
        .build()
        .unwrap();
    let list = send(api().layer(layer), http::Request::get("/v1/models")).await;
    assert_eq!(ids(list.body()), ["lab/x"]);
}

#[test]
fn readme_program_equals_example() {
    let readme = include_str!("../../README.md");
    let (_, code) = readme.split_once("```rust,no_run\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let example = include_str!("../../examples/axum.rs");
    let (_doc, example) = example.split_once("\n\n").unwrap();
    assert_eq!(code, example);
}
