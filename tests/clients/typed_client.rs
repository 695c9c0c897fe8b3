//! `async-openai`, whose types are strict, over real HTTP.

use crate::support::net::{Server, within};
use async_openai::{Client, config::OpenAIConfig, error::OpenAIError};
use axum::{Router, body::Body, routing::get};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

/// Ids of real providers, and more difficult ones.
const IDS: [&str; 21] = [
    "gpt-5.2",
    "ft:gpt-4o-mini-2024-07-18:acme::AbC123",
    "llama3.2:3b-instruct-q4_K_M",
    "meta-llama/Llama-3.3-70B-Instruct:free",
    "accounts/fireworks/models/deepseek-v3",
    "@cf/meta/llama-3.1-8b-instruct",
    "hf.co/bartowski/Qwen_QwQ-32B-GGUF:Q4_K_M",
    "publishers/google/models/gemini-2.5-pro@default",
    "My Finetune v2 (final) [copy]",
    "Qwen2.5 Küche/größer",
    "通义千问-Max",
    "модель",
    "🦙",
    "a+b=c&d",
    "it's;ok,then!*$",
    "tilde~_-.",
    "back\\slash",
    "quote\"d",
    "{braces}|<angles>^`",
    "trailing.",
    "models",
];

fn client(server: &Server, key: &str) -> Client<OpenAIConfig> {
    let config = OpenAIConfig::new()
        .with_api_base(format!("{}/v1", server.url()))
        .with_api_key(key);
    Client::with_config(config)
}

/// A gateway with a list from an HTTP provider, under bare ids and under prefixed ones.
async fn gateway() -> Server {
    let records = IDS.map(|id| serde_json::json!({ "id": id }));
    let list = serde_json::json!({ "object": "list", "data": records }).to_string();
    let upstream = Router::new().route("/v1/models", get(move || async { list }));
    let house = Model::new("small")
        .with_created(u32::MAX)
        .with_owned_by("us")
        .with_display_name("Small")
        .with_context_length(8192)
        .with_max_output_tokens(1024);
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::http::<_, Body, _>("lab", upstream.clone()))
        .provider(Provider::http::<_, Body, _>("bare", upstream).prefix(false))
        .provider(Provider::fixed("house", [house]))
        .build()
        .unwrap();
    Server::axum(Router::new().layer(layer)).await
}

#[tokio::test]
async fn strict_client_lists_and_retrieves_models() {
    let server = gateway().await;
    let client = client(&server, "a-client's-key");
    let list = within(client.models().list()).await.unwrap();
    assert_eq!(list.object, "list");
    assert_eq!(list.data.len(), 2 * IDS.len() + 1);

    let mut ids: Vec<_> = IDS.iter().map(|id| format!("lab/{id}")).collect();
    ids.extend(IDS.map(str::to_owned));
    ids.push("house/small".to_owned());
    for id in &ids {
        let listed = list.data.iter().find(|model| model.id == *id).expect(id);
        assert_eq!(listed.object, "model");
        // It puts the id into the path unescaped, and its URL library escapes what it must,
        // except a backslash, which it reads as a slash.
        let written = id.replace('\\', "%5C");
        let model = within(client.models().retrieve(&written)).await;
        assert_eq!(model.expect(id), *listed);
        // A client that escapes the whole id.
        let model = within(client.models().retrieve(&escaped(id))).await;
        assert_eq!(model.expect(id), *listed);
    }
    let house = list.data.last().unwrap();
    assert_eq!((house.created, house.owned_by.as_str()), (u32::MAX, "us"));
    assert_eq!(list.data[0].created, 0);
    assert_eq!(list.data[0].owned_by, "lab");
}

fn escaped(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn ids_with_url_delimiters_are_retrieved() {
    let ids = [
        "what?", "no#1", "100%", "a%2Fb", "a/../b", "./a", "a//b", "/",
    ];
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", ids.map(Model::new)))
        .build()
        .unwrap();
    let server = Server::axum(Router::new().layer(layer)).await;
    let client = client(&server, "x");
    let list = within(client.models().list()).await.unwrap();
    for id in ids.map(|id| format!("house/{id}")) {
        let listed = list.data.iter().find(|model| model.id == id).expect(&id);
        let model = within(client.models().retrieve(&escaped(&id))).await;
        assert_eq!(model.expect(&id), *listed);
    }
}

#[tokio::test]
async fn unknown_id_is_typed_client_error() {
    let server = gateway().await;
    let client = client(&server, "x");
    for id in [
        "gpt-6",
        "lab",
        "lab/gpt-5",
        "small",
        "nobody/gpt-5.2",
        "x%zz",
    ] {
        let error = within(client.models().retrieve(id)).await.unwrap_err();
        let OpenAIError::ApiError(error) = error else {
            panic!("{id}: {error:?}");
        };
        assert_eq!(error.status_code, 404);
        assert_eq!(error.api_error.code.as_deref(), Some("model_not_found"));
        assert_eq!(error.api_error.param.as_deref(), Some("model"));
        let kind = error.api_error.r#type.as_deref();
        assert_eq!(kind, Some("invalid_request_error"));
        if id != "x%zz" {
            assert!(error.api_error.message.contains(&format!("`{id}`")));
        }
    }
}
