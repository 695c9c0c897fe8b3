//! `OllamaShowLayer`: `POST /api/show` returns the known facts of a listed model.

use crate::support::net;
use std::time::Duration;

use crate::support::net::{Server, within};
use crate::support::{ScriptedSource, builder, timed};
use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use tower_models_cache::{
    Builder, ClientDialect, Model, Provider, View,
    model::{Capability, Modality},
};

fn models() -> Builder {
    let known = Model::new("qwen3:8b")
        .with_created(1_700_000_000)
        .with_display_name("Qwen 3")
        .with_context_length(40_960)
        .with_input([Modality::Text, Modality::Image])
        .with_output([Modality::Text])
        .with_capability(Capability::Tools, true)
        .with_family("qwen3")
        .with_extra("parameter_size", "8.2B");
    let provider = Provider::fixed("lab", [known, Model::new("unknown")]);
    builder([provider]).client_dialects([ClientDialect::OpenAi, ClientDialect::Ollama])
}

/// An app whose inner service echoes the request.
fn app(builder: Builder) -> Router {
    let layer = builder.build().unwrap();
    let echo =
        |method: Method, body: Bytes| async move { format!("inner {method} {}", body.len()) };
    Router::new()
        .fallback(echo)
        .layer(layer.ollama_show())
        .layer(layer)
}

async fn send_to(
    app: &Router,
    request: http::request::Builder,
    body: impl Into<Body>,
) -> (StatusCode, Bytes) {
    let request = request.body(body.into()).unwrap();
    let response: Response<Body> = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, body.collect().await.unwrap().to_bytes())
}

/// The response for one model.
async fn response(app: &Router, id: &str) -> (StatusCode, HeaderMap, String) {
    let body = Body::from(json!({ "model": id }).to_string());
    let request = Request::post("/api/show").body(body).unwrap();
    let response: Response<Body> = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status, head.headers, body.replace(id, "ID"))
}

async fn show(app: &Router, body: impl Into<Body>) -> (StatusCode, Value) {
    let (status, body) = send_to(app, Request::post("/api/show"), body).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn show_returns_known_facts_of_model() {
    let app = app(models());
    for body in [
        json!({ "model": "lab/qwen3:8b" }),
        json!({ "name": "lab/qwen3:8b", "verbose": true }),
        json!({ "model": "lab/qwen3:8b", "name": "another", "options": { "a": [1] } }),
    ] {
        let (status, shown) = show(&app, body.to_string()).await;
        assert_eq!(status, 200, "{body}");
        let expected = json!({
            "modelfile": "", "parameters": "num_ctx 40960", "template": "",
            "details": {
                "parent_model": "", "format": "", "family": "qwen3", "families": ["qwen3"],
                "parameter_size": "8.2B", "quantization_level": "",
            },
            "model_info": {
                "general.architecture": "qwen3", "general.basename": "Qwen 3",
                "qwen3.context_length": 40_960,
            },
            "capabilities": ["completion", "vision", "tools"],
            "modified_at": "2023-11-14T22:13:20Z",
        });
        assert_eq!(shown, expected);
    }
    let (status, shown) = show(&app, json!({ "model": "lab/unknown" }).to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(shown["capabilities"], json!(["completion"]));
    assert_eq!(shown["model_info"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn show_of_unknown_model_is_ollama_error() {
    let app = app(models());
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(64 * 1024));
    for (body, status, says) in [
        (
            json!({ "model": "lab/none" }).to_string(),
            404,
            "model 'lab/none' not found",
        ),
        (
            json!({ "model": "qwen3:8b" }).to_string(),
            404,
            "model 'qwen3:8b' not found",
        ),
        (json!({ "model": "" }).to_string(), 400, "model is required"),
        (json!({ "model": 7 }).to_string(), 400, "model is required"),
        ("[]".to_owned(), 400, "model is required"),
        (String::new(), 400, "model is required"),
        ("{\"model\":".to_owned(), 400, "model is required"),
        (long, 400, "model is required"),
    ] {
        let (got, error) = show(&app, body.clone()).await;
        assert_eq!(got, status, "{:.60}", body);
        assert_eq!(error, json!({ "error": says }));
    }
    // A body that is truncated.
    let broken = futures_util::stream::iter([
        Ok(Bytes::from_static(b"{\"model\":\"lab/qwen3:8b\"}")),
        Err(std::io::Error::other("broke off")),
    ]);
    let (status, _) = show(&app, Body::from_stream(broken)).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn show_of_hidden_model_is_404() {
    let view = View::named("few", |model| model.model().id() == "unknown");
    let app = app(models()
        .alias("fast", "lab/qwen3:8b")
        .views(move |_| Ok(view.clone())));
    let (status, _) = show(&app, json!({ "model": "lab/unknown" }).to_string()).await;
    assert_eq!(status, 200);
    for id in ["lab/qwen3:8b", "fast", "lab/none"] {
        let (status, error) = show(&app, json!({ "model": id }).to_string()).await;
        assert_eq!(status, 404);
        assert_eq!(error, json!({ "error": format!("model '{id}' not found") }));
    }
    for (view, expected) in [
        (Ok(View::denied(StatusCode::FORBIDDEN)), 403),
        (Err("no caller"), 500),
    ] {
        let hook = move |_: &http::request::Parts| view.clone().map_err(Into::into);
        let app = self::app(models().views(hook));
        let (status, _) = show(&app, json!({ "model": "lab/unknown" }).to_string()).await;
        assert_eq!(status, expected);
    }
}

/// Names of a hidden model, and unknown names of the same length.
const HIDDEN: [(&str, &str); 4] = [
    ("lab/qwen3:8b", "lab/qwen3:9b"),
    ("fast", "fasd"),
    ("claude-lab/qwen3:8b", "claude-lab/qwen3:9b"),
    ("claude-fast", "claude-fasd"),
];

fn few(builder: Builder) -> Builder {
    let view = View::named("few", |model| model.model().id() == "unknown");
    builder
        .alias("fast", "lab/qwen3:8b")
        .alias("odd", "lab/unknown")
        .claude_aliases(true)
        .views(move |_| Ok(view.clone()))
}

#[tokio::test(start_paused = true)]
async fn show_of_hidden_model_is_like_unknown() {
    let app = self::app(few(models()));
    for (hidden, unknown) in HIDDEN {
        let refused = response(&app, hidden).await;
        assert_eq!(refused.0, 404);
        assert_eq!(refused, response(&app, unknown).await, "{hidden}");
    }
    for seen in ["lab/unknown", "odd", "claude-lab/unknown", "claude-odd"] {
        assert_eq!(response(&app, seen).await.0, 200, "{seen}");
    }
    for id in HIDDEN
        .into_iter()
        .flat_map(|(hidden, unknown)| [hidden, unknown])
    {
        let slow = Provider::source("slow", ScriptedSource::hung());
        let app = self::app(few(models().provider(slow)));
        let ((status, ..), took) = timed(response(&app, "claude-odd")).await;
        assert_eq!((status.as_u16(), took), (200, Duration::ZERO));
        let ((status, ..), took) = timed(response(&app, id)).await;
        assert_eq!(status, 404);
        assert_eq!(took, Duration::from_millis(1500), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn show_is_503_while_view_is_empty() {
    let view = View::named("down", |model| model.provider() == "down");
    let app = self::app(
        models()
            .provider(Provider::source("down", ScriptedSource::failing()))
            .views({
                let view = view.clone();
                move |_| Ok(view.clone())
            }),
    );
    let hidden = response(&app, "lab/unknown").await;
    assert_eq!(hidden.0, 503);
    assert!(hidden.1.contains_key("retry-after"));
    assert_eq!(hidden, response(&app, "down/a").await);
    let (list, _) = send_to(&app, Request::get("/api/tags"), Body::empty()).await;
    assert_eq!(list, 503);
    // With all lists present, the view is known to be empty.
    let app = self::app(models().views(move |_| Ok(view.clone())));
    assert_eq!(response(&app, "lab/unknown").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn show_waits_for_first_fetch() {
    let dialects = [ClientDialect::OpenAi, ClientDialect::Ollama];
    let (held, gate) = ScriptedSource::held(["a"]);
    let slow = Provider::source("slow", held);
    let here = Provider::fixed("here", [Model::new("a")]);
    let app = self::app(builder([here, slow]).client_dialects(dialects));
    let model = |id: &str| json!({ "model": id }).to_string();
    let ((status, _), took) = timed(show(&app, model("here/a"))).await;
    assert_eq!((status.as_u16(), took), (200, Duration::ZERO));
    let open = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        gate.open(1);
    };
    let (((status, _), took), ()) = tokio::join!(timed(show(&app, model("slow/a"))), open);
    assert_eq!((status.as_u16(), took), (200, Duration::from_millis(300)));

    let down = Provider::source("down", ScriptedSource::failing());
    let app = self::app(builder([down]).client_dialects(dialects));
    let (status, error) = show(&app, model("down/a")).await;
    assert_eq!(status, 503);
    assert!(error["error"].is_string());
}

#[tokio::test]
async fn other_requests_pass_through_with_body() {
    let app = app(models());
    for (method, path) in [
        (Method::GET, "/api/show"),
        (Method::POST, "/api/show/"),
        (Method::POST, "/api/chat"),
        (Method::PUT, "/api/show"),
    ] {
        let request = Request::builder().method(method.clone()).uri(path);
        let (status, body) = send_to(&app, request, "x".repeat(100_000)).await;
        assert_eq!(
            (status.as_u16(), &body[..]),
            (200, format!("inner {method} 100000").as_bytes())
        );
    }
    // The layer does nothing when the dialect is disabled.
    let off = self::app(models().client_dialects([ClientDialect::OpenAi]));
    let (_, body) = send_to(&off, Request::post("/api/show"), "{}").await;
    assert_eq!(&body[..], b"inner POST 2");
    // It follows the configured paths.
    let moved = self::app(models().ollama_paths(["/local"]));
    let body = json!({ "model": "lab/unknown" }).to_string();
    let (_, at_old) = send_to(&moved, Request::post("/api/show"), body.clone()).await;
    assert!(at_old.starts_with(b"inner POST "));
    let (status, _) = send_to(&moved, Request::post("/local/show"), body).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn show_layer_works_beside_routes_over_http() {
    let layer = models().build().unwrap();
    let app = Router::new()
        .route("/api/chat", post(|| async { "chat" }))
        .layer(layer.ollama_show())
        .layer(layer);
    let server = Server::axum(app).await;
    let mut client = net::Client::connect(server.addr(), http::Version::HTTP_11).await;
    let body = json!({ "model": "lab/qwen3:8b" }).to_string();
    let request = Request::post("/api/show").body(net::full(body)).unwrap();
    let shown = within(client.send(request)).await;
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["content-type"], "application/json");
    assert_eq!(
        shown.headers()["content-length"],
        shown.body().len().to_string().as_str()
    );
    let tags = within(client.get("/api/tags")).await;
    assert_eq!(tags.status(), 200);
    let request = Request::post("/api/chat").body(net::full("{}")).unwrap();
    assert_eq!(within(client.send(request)).await.body(), "chat");
}
