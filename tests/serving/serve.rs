//! The list and its models, as clients get them.

use crate::support::{ScriptedSource, get, list, send};
use http::{Request, StatusCode};
use http_body_util::Empty;
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

fn house() -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed(
            "house",
            [
                Model::new("small")
                    .with_created(1_700_000_000)
                    .with_owned_by("us"),
                Model::new("large:1").with_context_length(8192),
            ],
        ))
        .provider(Provider::fixed("open", [Model::new("a/b c"), Model::new("ü")]).prefix(false))
        .build()
        .unwrap()
}

#[tokio::test]
async fn list_envelope_and_order_are_exact() {
    let response = send(&house(), get("/v1/models")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "private, no-cache");
    assert_eq!(
        response.headers()["cache-status"],
        "tower-models-cache; hit"
    );
    let expected = concat!(
        r#"{"object":"list","data":["#,
        r#"{"id":"house/large:1","object":"model","created":0,"owned_by":"house","context_length":8192,"max_input_tokens":8192},"#,
        r#"{"id":"house/small","object":"model","created":1700000000,"owned_by":"us"},"#,
        r#"{"id":"a/b c","object":"model","created":0,"owned_by":"open"},"#,
        r#"{"id":"ü","object":"model","created":0,"owned_by":"open"}"#,
        "]}"
    );
    assert_eq!(response.body(), expected);
    assert_eq!(
        response.headers()["content-length"],
        expected.len().to_string()
    );
}

#[tokio::test]
async fn model_has_bytes_of_list_record() {
    let layer = house();
    let all = send(&layer, get("/v1/models")).await.into_body();
    for path in [
        "house/small",
        "house%2Fsmall",
        "house/large:1",
        "house/large%3A1",
        "a/b%20c",
        "a%2Fb%20c",
        "%C3%BC",
        "house/small/",
    ] {
        let response = send(&layer, get(&format!("/v1/models/{path}"))).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let body = response.body();
        assert!(all.windows(body.len()).any(|part| part == body), "{path}");
        assert_eq!(response.headers()["content-length"], body.len().to_string());
        let etag = response.headers()["etag"].clone();
        let again = Request::get(format!("/v1/models/{path}"))
            .header("if-none-match", etag)
            .body(Empty::new())
            .unwrap();
        assert_eq!(send(&layer, again).await.status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn unknown_model_is_openai_404() {
    for path in [
        "small",
        "house/smal",
        "house/",
        "house",
        "x%zz",
        "%FF",
        "open/ü",
    ] {
        let path = path.replace('ü', "%C3%BC");
        let response = send(&house(), get(&format!("/v1/models/{path}"))).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["error"]["code"], "model_not_found");
    }
}

#[tokio::test]
async fn head_has_headers_of_get_without_body() {
    for path in ["/v1/models", "/v1/models/house/small", "/v1/models/nothing"] {
        let layer = house();
        let got = send(&layer, get(path)).await;
        let head = Request::head(path).body(Empty::new()).unwrap();
        let head = send(&layer, head).await;
        assert_eq!(head.status(), got.status());
        assert_eq!(head.headers(), got.headers());
        assert!(head.body().is_empty() && !got.body().is_empty());
    }
}

#[tokio::test]
async fn list_is_empty_without_providers_else_503() {
    let none = StaticModelsCacheLayer::builder().build().unwrap();
    assert!(list(&none).await.is_empty());

    let failing = ScriptedSource::new(|_| async { Err("down") });
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", failing))
        .build()
        .unwrap();
    for path in ["/v1/models", "/v1/models/lab/x"] {
        let response = send(&layer, get(path)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        assert!(!response.headers().contains_key("etag"));
    }
}

#[tokio::test]
async fn first_declared_model_wins_duplicate_id() {
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("a", [Model::new("x")]))
        .provider(Provider::fixed("router", [Model::new("a/x"), Model::new("b/y")]).prefix(false))
        .provider(Provider::fixed("b", [Model::new("y"), Model::new("z")]))
        .build()
        .unwrap();
    assert_eq!(list(&layer).await, ["a/x", "b/y", "b/z"]);
    let snapshot = layer.cache().snapshot();
    let route = |id| {
        let model = snapshot.get(id).unwrap();
        (model.provider(), model.upstream_id())
    };
    assert_eq!(route("a/x"), ("a", "x"));
    assert_eq!(route("b/y"), ("router", "b/y"));
    assert_eq!(route("b/z"), ("b", "z"));
    let shadowed: Vec<_> = layer
        .cache()
        .status()
        .providers
        .iter()
        .map(|p| p.shadowed)
        .collect();
    assert_eq!(shadowed, [0, 1, 1]);
}
