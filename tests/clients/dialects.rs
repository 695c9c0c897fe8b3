//! The list in each client dialect: how a dialect is selected, and its exact content.

use crate::support::dialects;
use crate::support::transports;
use std::time::Duration;

use crate::support::dialects::{error, ids, json, records, with_all_dialects};
use crate::support::transports::{Transports, only};
use crate::support::{MODES, ScriptedSource, SharedList, builder, get, send, settle, timed};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_models_cache::{
    ClientDialect, Model, Provider, StaticModelsCacheLayer,
    error::ListErrorKind,
    model::{Capability, Modality},
};

use ClientDialect::{Anthropic, Codex, Gemini, Ollama, OpenAi};

/// A model with all facts known, and one with none.
fn known_and_unknown() -> [Model; 2] {
    let known = Model::new("known")
        .with_created(1_700_000_000)
        .with_owned_by("its owner")
        .with_display_name("Known \"1\"")
        .with_context_length(200_000)
        .with_max_output_tokens(64_000)
        .with_input([Modality::Text, Modality::Image])
        .with_output([Modality::Text])
        .with_capability(Capability::Tools, true)
        .with_capability(Capability::Reasoning, true);
    [known, Model::new("unknown")]
}

fn layer() -> StaticModelsCacheLayer {
    let provider = Provider::fixed("house", known_and_unknown());
    with_all_dialects(builder([provider])).build().unwrap()
}

/// The list as a JSON value, with its records in the order of the dialect.
async fn list_in(dialect: ClientDialect) -> Value {
    let response = send(&layer(), dialects::list(dialect, "")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(only(response.headers(), "content-type"), "application/json");
    json(&response)
}

// ===== Content of each dialect =====

#[tokio::test]
async fn envelope_is_exact_in_every_dialect() {
    let openai = json!({ "object": "list", "data": [
        {
            "id": "house/known", "object": "model", "created": 1_700_000_000, "owned_by": "its owner",
            "name": "Known \"1\"", "context_length": 200_000, "max_input_tokens": 200_000,
            "max_output_tokens": 64_000,
            "architecture": { "input_modalities": ["text", "image"], "output_modalities": ["text"] },
            "capabilities": { "tools": true, "reasoning": true },
        },
        { "id": "house/unknown", "object": "model", "created": 0, "owned_by": "house" },
    ]});
    let anthropic = json!({
        "first_id": "house/known", "last_id": "house/unknown", "has_more": false, "data": [
        {
            "type": "model", "id": "house/known", "display_name": "Known \"1\"",
            "created_at": "2023-11-14T22:13:20Z",
            "max_input_tokens": 200_000, "max_tokens": 64_000, "lifecycle": "active",
        },
        {
            "type": "model", "id": "house/unknown", "display_name": "house/unknown",
            "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        },
    ]});
    let gemini = json!({ "models": [
        {
            "name": "models/house/known", "version": "", "displayName": "Known \"1\"",
            "inputTokenLimit": 200_000, "outputTokenLimit": 64_000,
            "supportedGenerationMethods": ["generateContent", "countTokens"], "thinking": true,
        },
        {
            "name": "models/house/unknown", "version": "", "displayName": "house/unknown",
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        },
    ]});
    let details = json!({
        "parent_model": "", "format": "", "family": "", "families": [],
        "parameter_size": "", "quantization_level": "",
    });
    let ollama = json!({ "models": [
        {
            "name": "house/known", "model": "house/known", "modified_at": "2023-11-14T22:13:20Z",
            "size": 0, "digest": "", "details": details,
            "capabilities": ["completion", "vision", "tools", "thinking"],
        },
        {
            "name": "house/unknown", "model": "house/unknown", "modified_at": "1970-01-01T00:00:00Z",
            "size": 0, "digest": "", "details": details, "capabilities": ["completion"],
        },
    ]});
    for (dialect, expected) in [
        (OpenAi, openai),
        (Anthropic, anthropic),
        (Gemini, gemini),
        (Ollama, ollama),
    ] {
        assert_eq!(list_in(dialect).await, expected, "{dialect:?}");
    }
}

#[tokio::test]
async fn codex_envelope_has_every_required_field() {
    let list = list_in(Codex).await;
    assert_eq!(list.as_object().unwrap().len(), 1);
    for (model, slug, window, input) in [
        (
            &list["models"][0],
            "house/known",
            json!(200_000),
            json!(["text", "image"]),
        ),
        (
            &list["models"][1],
            "house/unknown",
            json!(null),
            json!(["text"]),
        ),
    ] {
        let mut model = model.clone();
        let instructions = model["base_instructions"].take();
        assert!(instructions.as_str().unwrap().len() > 20);
        let name = if slug == "house/known" {
            "Known \"1\""
        } else {
            slug
        };
        let expected = json!({
            "slug": slug, "display_name": name, "description": null,
            "supported_reasoning_levels": [], "shell_type": "default", "visibility": "list",
            "supported_in_api": true, "priority": 99, "upgrade": null,
            "base_instructions": null, "supports_reasoning_summaries": false,
            "supports_reasoning_summary_parameter": false, "support_verbosity": false,
            "default_verbosity": null, "apply_patch_tool_type": null,
            "truncation_policy": { "mode": "bytes", "limit": 10_000 },
            "supports_parallel_tool_calls": false, "context_window": window,
            "experimental_supported_tools": [], "input_modalities": input,
        });
        assert_eq!(model, expected);
    }
}

#[tokio::test]
async fn codex_gets_instructions_and_hides_non_text() {
    let painter = Model::new("painter").with_output([Modality::Image]);
    let layer = with_all_dialects(builder([Provider::fixed("house", [painter])]))
        .codex_instructions("Be brief.")
        .build()
        .unwrap();
    let list = json(&send(&layer, dialects::list(Codex, "")).await);
    assert_eq!(list["models"][0]["base_instructions"], "Be brief.");
    assert_eq!(list["models"][0]["visibility"], "hide");
}

#[tokio::test]
async fn gemini_fields_are_passed_through() {
    let stated = Model::new("gemini-x")
        .with_extra("supported_generation_methods", ["bidiGenerateContent"])
        .with_extra("version", "001");
    let embedder = Model::new("embedder").with_output([Modality::Embeddings]);
    let provider = Provider::fixed("house", [stated, embedder]);
    let layer = with_all_dialects(builder([provider])).build().unwrap();
    let list = json(&send(&layer, dialects::list(Gemini, "")).await);
    let methods = "supportedGenerationMethods";
    assert_eq!(list["models"][0][methods], json!(["embedContent"]));
    assert_eq!(list["models"][1][methods], json!(["bidiGenerateContent"]));
    assert_eq!(list["models"][1]["version"], "001");
}

#[tokio::test]
async fn list_without_providers_is_empty_per_dialect() {
    let layer = with_all_dialects(builder([])).build().unwrap();
    for (dialect, expected) in [
        (OpenAi, json!({ "object": "list", "data": [] })),
        (
            Anthropic,
            json!({ "first_id": null, "last_id": null, "has_more": false, "data": [] }),
        ),
        (Gemini, json!({ "models": [] })),
        (Ollama, json!({ "models": [] })),
        (Codex, json!({ "models": [] })),
    ] {
        let response = send(&layer, dialects::whole_list(dialect)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(json(&response), expected, "{dialect:?}");
    }
}

// ===== Selection of the dialect =====

/// Reports the request that reached it.
fn inner() -> axum::Router {
    axum::Router::new().fallback(|request: axum::extract::Request| async move {
        format!("inner {} {}", request.method(), request.uri())
    })
}

async fn through(
    layer: &StaticModelsCacheLayer,
    request: Request<Empty<Bytes>>,
) -> Response<Bytes> {
    let service = layer.layer(inner());
    let response = service
        .oneshot(request.map(axum::body::Body::new))
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// The key of the records in a list of this dialect.
fn form_of(body: &[u8]) -> Option<ClientDialect> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let has = |list: &Value, field: &str| list[0].get(field).is_some();
    let (data, models) = (&list["data"], &list["models"]);
    Some(match () {
        () if list["object"] == "list" => OpenAi,
        () if has(data, "created_at") => Anthropic,
        () if has(models, "displayName") => Gemini,
        () if has(models, "digest") => Ollama,
        () if has(models, "slug") => Codex,
        () => return None,
    })
}

#[tokio::test]
async fn dialect_is_chosen_by_path_query_headers() {
    const CLAUDE: (&str, &str) = ("anthropic-version", "2026-10-21");
    const GOOGLE: (&str, &str) = ("x-goog-api-key", "k");
    let layer = layer();
    for (uri, headers, expected) in [
        ("/v1/models", &[][..], OpenAi),
        (
            "/v1/models",
            &[("x-api-key", "k"), ("authorization", "Bearer k")],
            OpenAi,
        ),
        ("/v1/models", &[CLAUDE], Anthropic),
        (
            "/v1/models",
            &[CLAUDE, ("authorization", "Bearer k")],
            Anthropic,
        ),
        (
            "/v1/models/?beta=true",
            &[CLAUDE, ("x-api-key", "k")],
            Anthropic,
        ),
        ("/v1/models", &[GOOGLE], Gemini),
        ("/v1/models", &[GOOGLE, CLAUDE], Anthropic),
        (
            "/v1/models?client_version=0.169.0",
            &[GOOGLE, CLAUDE],
            Codex,
        ),
        ("/v1/models?a=b&client_version=", &[], Codex),
        ("/v1/models?xclient_version=1", &[], OpenAi),
        ("/v1beta/models", &[], Gemini),
        ("/v1beta/models/", &[CLAUDE], Gemini),
        ("/v1beta/models?client_version=1", &[], Gemini),
        ("/api/tags", &[CLAUDE], Ollama),
        ("/api/tags/", &[GOOGLE], Ollama),
    ] {
        let mut request = get(uri);
        for &(name, value) in headers {
            let value = http::HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        let response = through(&layer, request).await;
        assert_eq!(
            form_of(response.body()),
            Some(expected),
            "{uri} {headers:?}"
        );
    }
}

#[tokio::test]
async fn disabled_dialect_is_skipped() {
    let requests = dialects::ALL.map(|dialect| (dialect, dialects::whole_list(dialect)));
    for on in dialects::ALL {
        let layer = builder([Provider::fixed("house", known_and_unknown())])
            .client_dialects([on])
            .build()
            .unwrap();
        for (requested, request) in &requests {
            let response = through(&layer, request.clone()).await;
            let got = form_of(response.body());
            let expected = match (requested, on) {
                _ if *requested == on => Some(on),
                // Only a header or a query parameter distinguishes these from OpenAI's.
                (Anthropic | Codex, OpenAi) => Some(OpenAi),
                _ => None,
            };
            assert_eq!(got, expected, "{requested:?} where {on:?} is on");
            if expected.is_none() {
                assert!(
                    response.body().starts_with(b"inner GET /"),
                    "{requested:?} {on:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn markers_of_disabled_dialect_are_ignored() {
    let layer = builder([Provider::fixed("house", known_and_unknown())])
        .client_dialects([OpenAi])
        .build()
        .unwrap();
    for (uri, header) in [
        ("/v1/models", "anthropic-version"),
        ("/v1/models", "x-goog-api-key"),
        ("/v1/models?client_version=1", "accept"),
    ] {
        let mut request = get(uri);
        let value = http::HeaderValue::from_static("x");
        request.headers_mut().insert(header, value);
        let response = through(&layer, request).await;
        assert_eq!(form_of(response.body()), Some(OpenAi), "{uri} {header}");
        assert!(
            !response.headers().contains_key("vary"),
            "no `Vary` without selecting headers"
        );
    }
}

#[tokio::test]
async fn other_requests_reach_inner_service() {
    let layer = layer();
    for (method, uri) in [
        (Method::GET, "/api/ps"),
        (Method::POST, "/api/show"),
        (Method::POST, "/api/tags"),
        (Method::GET, "/api/tags/a"),
        (Method::GET, "/api/version/a"),
        (Method::POST, "/api/chat"),
        (Method::POST, "/v1beta/models/house/known:generateContent"),
        (Method::DELETE, "/v1/models/house/known"),
        (Method::OPTIONS, "/v1beta/models"),
        (Method::GET, "/v1beta/modelsx"),
    ] {
        let mut request = get(uri);
        *request.method_mut() = method.clone();
        let response = through(&layer, request).await;
        assert_eq!(response.body(), &format!("inner {method} {uri}"));
    }
    let version = json(&through(&layer, get("/api/version")).await);
    let parts: Vec<_> = version["version"].as_str().unwrap().split('.').collect();
    assert!(parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok()));
}

#[tokio::test]
async fn dialect_paths_are_configurable() {
    let layer = with_all_dialects(builder([Provider::fixed("house", known_and_unknown())]))
        .paths(["/models"])
        .gemini_paths(["/gemini/v1/models", "/v1beta/models"])
        .ollama_paths(["/local/"])
        .build()
        .unwrap();
    for (uri, expected) in [
        ("/models", Some(OpenAi)),
        ("/gemini/v1/models", Some(Gemini)),
        ("/v1beta/models", Some(Gemini)),
        ("/local/tags", Some(Ollama)),
        ("/v1/models", None),
        ("/api/tags", None),
    ] {
        let response = through(&layer, get(uri)).await;
        assert_eq!(form_of(response.body()), expected, "{uri}");
    }
}

// ===== HTTP =====

#[tokio::test]
async fn each_dialect_has_own_etag() {
    let layer = layer();
    let mut transports = Transports::of(&layer).await;
    let mut etags = Vec::new();
    for dialect in dialects::ALL {
        let request = dialects::whole_list(dialect);
        let path = request.uri().to_string();
        let headers: Vec<_> = request.headers().iter().collect();
        let mut headers: Vec<_> = (headers.iter())
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let got = transports.get_and_head(&path, &headers).await;
        assert_eq!(got.status(), 200);
        let length = got.body().len().to_string();
        assert_eq!(only(got.headers(), "content-length"), length);
        assert_eq!(only(got.headers(), "cache-control"), "private, no-cache");
        assert_eq!(
            only(got.headers(), "cache-status"),
            "tower-models-cache; hit"
        );
        let by_headers = matches!(dialect, OpenAi | Anthropic | Codex) || path.starts_with("/v1b");
        assert!(by_headers || dialect == Ollama);
        let etag = only(got.headers(), "etag").to_owned();
        for (tag, status) in [(etag.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
            headers.push(("if-none-match", tag.as_bytes()));
            let again = transports.get_and_head(&path, &headers).await;
            headers.pop();
            assert_eq!(again.status(), status, "{dialect:?} {tag}");
            assert_eq!(only(again.headers(), "etag"), etag);
            let vary = |response: &Response<Bytes>| response.headers().get("vary").cloned();
            assert_eq!(vary(&again), vary(&got), "{dialect:?}");
        }
        etags.push(etag);
    }
    etags.sort();
    etags.dedup();
    assert_eq!(
        etags.len(),
        dialects::ALL.len(),
        "the tag of one list does not match another"
    );
}

#[tokio::test]
async fn vary_is_sent_when_headers_select_dialect() {
    let layer = layer();
    for (dialect, expected) in [
        (OpenAi, Some(transports::VARY_BY_DIALECT)),
        (Anthropic, Some(transports::VARY_BY_DIALECT)),
        (Ollama, None),
    ] {
        let response = send(&layer, dialects::whole_list(dialect)).await;
        let vary = response.headers().get("vary");
        assert_eq!(
            vary.map(|vary| vary.to_str().unwrap()),
            expected,
            "{dialect:?}"
        );
    }
}

#[tokio::test]
async fn model_has_bytes_of_list_and_own_etag() {
    let layer = layer();
    for dialect in dialects::WITH_MODELS {
        let list = send(&layer, dialects::whole_list(dialect)).await;
        let list_etag = only(list.headers(), "etag");
        for record in records(dialect, list.body()) {
            let id = dialects::id_of(dialect, &record);
            let mut request = dialects::model(dialect, &id);
            let one = send(&layer, request.clone()).await;
            assert_eq!(one.body(), record.as_bytes(), "{dialect:?} {id}");
            let etag = one.headers()["etag"].clone();
            assert_ne!(etag, list_etag);
            request.headers_mut().insert("if-none-match", etag.clone());
            let again = send(&layer, request).await;
            assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
            assert_eq!(again.headers()["etag"], etag);
        }
    }
}

#[tokio::test]
async fn errors_follow_the_dialect() {
    let down = Provider::source("lab", ScriptedSource::failing());
    let layer = layer();
    let empty = with_all_dialects(builder([down])).build().unwrap();
    let _ = empty.cache().refresh().await;
    for (dialect, not_found, unavailable) in [
        (OpenAi, "model_not_found", "models_unavailable"),
        (Anthropic, "not_found_error", "overloaded_error"),
        (Gemini, "NOT_FOUND", "UNAVAILABLE"),
    ] {
        let response = send(&layer, dialects::model(dialect, "house/no \"such\"")).await;
        assert_eq!(response.status(), 404);
        assert_eq!(only(response.headers(), "content-type"), "application/json");
        assert_eq!(only(response.headers(), "cache-control"), "no-store");
        assert!(!response.headers().contains_key("etag"));
        let (message, name) = error(dialect, &response);
        assert!(message.contains("house/no \"such\""), "{message}");
        assert_eq!(name, not_found, "{dialect:?}");
        for request in [
            dialects::whole_list(dialect),
            dialects::model(dialect, "house/known"),
        ] {
            let response = send(&empty, request).await;
            assert_eq!(response.status(), 503);
            let seconds: u64 = only(response.headers(), "retry-after").parse().unwrap();
            assert!((1..=60).contains(&seconds));
            let (_, name) = error(dialect, &response);
            assert_eq!(name, unavailable, "{dialect:?}");
        }
    }
    for dialect in [Ollama, Codex] {
        let response = send(&empty, dialects::whole_list(dialect)).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        error(dialect, &response);
    }
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn codex_list_has_one_etag_for_all_codings() {
    use crate::support::net;
    use tower_models_cache::View;

    let many = (0..200).map(|n| Model::new(format!("model-{n}")));
    let layer = with_all_dialects(builder([Provider::fixed("house", many)]))
        .views(|request| {
            let is_one = request.headers.contains_key("x-one");
            let one = || View::named("one", |_| true);
            Ok(if is_one { one() } else { View::all() })
        })
        .build()
        .unwrap();
    send(&layer, dialects::whole_list(Codex)).await;
    // Lists of views are compressed last.
    let mut last = dialects::whole_list(OpenAi);
    for (name, value) in [("x-one", "1"), ("accept-encoding", "gzip")] {
        let value = http::HeaderValue::from_static(value);
        last.headers_mut().insert(name, value);
    }
    net::within(async {
        while transports::coding(send(&layer, last.clone()).await.headers()) == "identity" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let under = |coding: &'static str| {
        let mut request = dialects::whole_list(Codex);
        let coding = http::HeaderValue::from_static(coding);
        request.headers_mut().insert("accept-encoding", coding);
        send(&layer, request)
    };
    let plain = under("identity").await;
    for coding in ["br", "gzip", "zstd", "br, *;q=0.1"] {
        let other = under(coding).await;
        assert!(
            !other.headers().contains_key("content-encoding"),
            "{coding}"
        );
        assert_eq!(other.headers()["etag"], plain.headers()["etag"]);
        assert_eq!(other.body(), plain.body());
    }
    // Other dialects are compressed after their first request.
    for dialect in [Anthropic, Gemini, Ollama] {
        send(&layer, dialects::whole_list(dialect)).await;
        let mut request = dialects::whole_list(dialect);
        let coding = http::HeaderValue::from_static("gzip");
        request.headers_mut().insert("accept-encoding", coding);
        let got = net::within(async {
            loop {
                let got = send(&layer, request.clone()).await;
                if got.headers().contains_key("content-encoding") {
                    break got;
                }
                tokio::task::yield_now().await;
            }
        });
        let got = got.await;
        let plain = send(&layer, dialects::whole_list(dialect)).await;
        assert_eq!(transports::decoded(&got), *plain.body(), "{dialect:?}");
        assert_ne!(got.headers()["etag"], plain.headers()["etag"]);
    }
}

// ===== Upstream calls =====

#[tokio::test(start_paused = true)]
async fn query_and_headers_never_trigger_fetch() {
    for mode in MODES {
        let source = ScriptedSource::always(["a"]);
        let provider = Provider::source("lab", source.clone());
        let (layer, _refresher) = mode.start(with_all_dialects(builder([provider])));
        for dialect in dialects::ALL {
            let plain = send(&layer, dialects::whole_list(dialect)).await;
            for query in [
                "refresh=true",
                "x=%FF&y",
                "limit=1000&pageSize=1000&lifecycle[]=active",
            ] {
                let query = format!("{query}&{}", dialects::limit(dialect, 1000));
                let mut request = dialects::list(dialect, &query);
                let no_cache = http::HeaderValue::from_static("no-cache");
                request.headers_mut().insert("cache-control", no_cache);
                let response = send(&layer, request).await;
                assert_eq!(response.body(), plain.body(), "{dialect:?} {query}");
            }
        }
        settle().await;
        assert_eq!(source.calls(), 1, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_fetch_is_awaited_in_every_dialect() {
    for dialect in dialects::ALL {
        let (held, gate) = ScriptedSource::held(["a"]);
        let provider = Provider::source("lab", held);
        let layer = with_all_dialects(builder([provider])).build().unwrap();
        let open = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gate.open(1);
        };
        let ((response, took), ()) =
            tokio::join!(timed(send(&layer, dialects::whole_list(dialect))), open);
        assert_eq!(ids(dialect, response.body()), ["lab/a"]);
        assert_eq!(took, Duration::from_millis(300), "{dialect:?}");
        let status = only(response.headers(), "cache-status");
        assert_eq!(
            status, "tower-models-cache; fwd=miss; stored",
            "{dialect:?}"
        );
        // Later requests do not wait again.
        let (_, took) = timed(send(&layer, dialects::whole_list(dialect))).await;
        assert_eq!(took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_fetch_is_awaited_in_no_dialect() {
    let shared = SharedList::new(["a"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let layer = with_all_dialects(builder([provider])).build().unwrap();
    layer.cache().refresh().await.unwrap();
    shared.set(Err(ListErrorKind::Status(500)));
    layer.cache().refresh().await.unwrap_err();
    for dialect in dialects::ALL {
        let (response, took) = timed(send(&layer, dialects::whole_list(dialect))).await;
        assert_eq!(ids(dialect, response.body()), ["lab/a"]);
        assert_eq!(took, Duration::ZERO);
        let status = only(response.headers(), "cache-status");
        assert_eq!(status, "tower-models-cache; hit; detail=stale");
    }
}
