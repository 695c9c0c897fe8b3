//! The records of a provider: which are listed, which facts are kept, what is counted, and which
//! responses are not lists.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use crate::support::builder;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};
use tower_models_cache::{
    Provider, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
    model::{FlawCount, RecordFlaw},
    provider::{CustomDialect, Dialect, ExtraFields, ModelPage},
    status::ProviderStatus,
};

/// The current response of a provider, page by page.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Answers {
    fn set<const N: usize>(&self, pages: [&[u8]; N]) {
        *self.0.lock().unwrap() = pages.map(<[u8]>::to_vec).into();
    }

    fn provider(&self) -> Provider {
        let responses = self.clone();
        let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let query = request.uri().query().unwrap_or_default();
            let page = query
                .split('&')
                .find_map(|one| one.strip_prefix("after_id="));
            let page: usize = page.map_or(0, |page| page.parse().unwrap());
            let body = Bytes::from(responses.0.lock().unwrap()[page].clone());
            async { Ok::<_, Infallible>(Response::new(Full::new(body))) }
        });
        Provider::http("lab", service)
    }
}

async fn fed(provider: Provider) -> (StaticModelsCacheLayer, ProviderStatus) {
    let layer = builder([provider]).build().unwrap();
    layer.cache().refresh().await.unwrap();
    let status = layer.cache().status().providers.remove(0);
    (layer, status)
}

/// The list of a provider with this response.
async fn listed(answer: &[u8]) -> (StaticModelsCacheLayer, ProviderStatus) {
    let responses = Answers::default();
    responses.set([answer]);
    fed(responses.provider()).await
}

fn data(layer: &StaticModelsCacheLayer) -> Vec<Value> {
    let body: Value = serde_json::from_slice(&layer.cache().snapshot().body()).unwrap();
    body["data"].as_array().unwrap().clone()
}

fn ids(layer: &StaticModelsCacheLayer) -> Vec<String> {
    let snapshot = layer.cache().snapshot();
    snapshot
        .iter()
        .map(|model| model.model().id().to_owned())
        .collect()
}

fn counts(status: &ProviderStatus) -> Vec<(RecordFlaw, usize, Option<usize>)> {
    let count = |of: &FlawCount| (of.flaw, of.records, of.first);
    status.flaws.iter().map(count).collect()
}

// ===== Pages =====

#[tokio::test]
async fn missing_later_page_is_a_failure() {
    let service = tower::service_fn(|request: Request<Empty<Bytes>>| async move {
        let mut response = Response::new(Full::<Bytes>::from(
            r#"{"data":[{"id":"a"}],"has_more":true,"last_id":"1"}"#,
        ));
        if request
            .uri()
            .query()
            .is_some_and(|query| query.contains("after_id"))
        {
            *response.status_mut() = http::StatusCode::NOT_FOUND;
        }
        Ok::<_, Infallible>(response)
    });
    let provider = Provider::http("lab", service)
        .dialect(Dialect::Anthropic)
        .fallback([tower_models_cache::Model::new("declared")]);
    let layer = builder([provider]).build().unwrap();
    let error = layer.cache().refresh().await.unwrap_err();
    // This is a failure, not a provider without a list.
    assert_eq!(error.failures()[0].kind(), ListErrorKind::Status(404));
    assert_eq!(layer.cache().status().providers[0].failures, 1);
}

#[tokio::test]
async fn wrapping_custom_dialect_reads_later_pages() {
    struct Wrapped;
    impl CustomDialect for Wrapped {
        fn name(&self) -> &'static str {
            "wrapped"
        }
        fn path(&self) -> &str {
            "/list"
        }
        fn read(&self, body: &[u8]) -> Result<ModelPage, ListError> {
            let body = body
                .strip_prefix(b"wrapped:")
                .ok_or(ListErrorKind::NotAList)?;
            Dialect::Auto.read(body)
        }
    }
    let responses = Answers::default();
    responses.set([
        br#"wrapped:{"data":[{"type":"model","id":"a"}],"has_more":true,"last_id":"1"}"#,
        br#"wrapped:{"data":[{"type":"model","id":"b"}],"has_more":false}"#,
    ]);
    let (layer, status) = fed(responses.provider().dialect(Dialect::custom(Wrapped))).await;
    assert_eq!(ids(&layer), ["a", "b"]);
    assert_eq!(status.dialect, Some("wrapped"));
}

// ===== Malformed records =====

#[tokio::test]
async fn malformed_records_are_skipped_and_counted() {
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let records = [
        r#"{"id":"a"}"#,
        "7",
        "null",
        r#"{"object":"model"}"#,
        r#"{"id":7}"#,
        r#"{"id":" "}"#,
        &format!(r#"{{"id":"deep","x":{deep}}}"#),
        &format!(r#"{{"id":"{}"}}"#, "i".repeat(513)),
        r#"{"id":"\u0007"}"#,
        "{\"id\":\"a\u{202e}b\"}",
        &format!(
            r#"{{"id":"b","owned_by":"o\nwner","display_name":"{}"}}"#,
            "n".repeat(513)
        ),
        &format!(r#"{{"id":"{}"}}"#, "j".repeat(512)),
    ];
    let body = format!(r#"{{"object":"list","data":[{}]}}"#, records.join(","));
    let (layer, status) = listed(body.as_bytes()).await;
    assert_eq!(ids(&layer), ["a", "b", &"j".repeat(512)]);
    assert_eq!(status.skipped, 9);
    assert_eq!(
        counts(&status),
        [
            (RecordFlaw::Unreadable, 2, Some(1)),
            (RecordFlaw::NoId, 3, Some(3)),
            (RecordFlaw::TooDeep, 1, Some(6)),
            (RecordFlaw::IdTooLong, 1, None),
            (RecordFlaw::IdCharacters, 2, None),
            (RecordFlaw::Name, 1, None),
        ]
    );
    let b = &data(&layer)[1];
    assert_eq!((&b["owned_by"], &b["name"]), (&json!("lab"), &Value::Null));
    let shown = serde_json::to_value(&status).unwrap();
    let first = json!({ "flaw": "unreadable", "records": 2, "first": 1 });
    assert_eq!(shown["flaws"][0], first);
}

#[tokio::test]
async fn record_positions_count_over_all_pages() {
    let responses = Answers::default();
    responses.set([
        br#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true,"last_id":"1"}"#,
        br#"{"data":[{"id":"c"},3],"has_more":true,"last_id":"2"}"#,
        br#"{"data":[4,{"id":"d"}],"has_more":false}"#,
    ]);
    let (layer, status) = fed(responses.provider().dialect(Dialect::Anthropic)).await;
    assert_eq!(ids(&layer), ["a", "b", "c", "d"]);
    assert_eq!(counts(&status), [(RecordFlaw::Unreadable, 2, Some(3))]);
    assert_eq!(status.dialect, Some("anthropic"));
}

#[tokio::test]
async fn response_without_valid_record_is_a_failure() {
    let responses = Answers::default();
    let layer = builder([responses.provider()]).build().unwrap();
    for (body, kind) in [
        (
            &br#"{"data":[7,{"name":"a"}]}"#[..],
            ListErrorKind::NotAList,
        ),
        (br#"{"data":[{"id":"\u0007"}]}"#, ListErrorKind::NotAList),
    ] {
        responses.set([body]);
        let error = layer.cache().refresh().await.unwrap_err();
        assert_eq!(error.failures()[0].kind(), kind);
    }
}

#[tokio::test]
async fn invalid_utf8_drops_only_its_text() {
    let body = b"\xef\xbb\xbf{\"data\":[{\"id\":\"a\",\"display_name\":\"caf\xe9\"},{\"id\":\"b\xff\"},{\"id\":\"c\"}]}";
    let (layer, status) = listed(body).await;
    assert_eq!(ids(&layer), ["a", "c"]);
    assert_eq!(data(&layer)[0].get("name"), None);
    assert_eq!(
        counts(&status),
        [
            (RecordFlaw::IdCharacters, 1, None),
            (RecordFlaw::Name, 1, None)
        ]
    );
}

#[tokio::test]
async fn too_many_flawed_records_are_a_failure() {
    let responses = Answers::default();
    let provider = responses.provider().dialect(Dialect::Anthropic);
    let layer = builder([provider]).max_models(10).build().unwrap();
    let flawed = vec!["{}"; 1000].join(",");
    let models: Vec<_> = (0..10).map(|at| format!(r#"{{"id":"m{at}"}}"#)).collect();
    let good = format!(r#"{{"data":[{flawed},{}]}}"#, models.join(","));
    responses.set([good.as_bytes()]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(layer.cache().snapshot().len(), 10);
    for endless in [
        format!(r#"{{"data":[{flawed},{flawed}]}}"#),
        format!(r#"{{"data":[],"more":[{flawed},{flawed}]}}"#),
        format!("[{flawed},{flawed}]"),
    ] {
        responses.set([endless.as_bytes()]);
        let error = layer.cache().refresh().await.unwrap_err();
        assert_eq!(error.failures()[0].kind(), ListErrorKind::TooManyModels);
        assert_eq!(layer.cache().snapshot().len(), 10);
    }
}

#[tokio::test]
async fn record_with_too_many_fields_is_skipped() {
    let fields = vec![r#""a":0"#; 5000].join(",");
    let body = format!(r#"{{"data":[{{"id":"b",{fields}}},{{"id":"c","meta":{{{fields}}}}}]}}"#);
    let (layer, status) = listed(body.as_bytes()).await;
    assert_eq!(ids(&layer), ["c"]);
    assert_eq!(counts(&status), [(RecordFlaw::Unreadable, 1, Some(0))]);
    let responses = Answers::default();
    responses.set([format!("{{{fields}}}").as_bytes()]);
    let layer = builder([responses.provider()]).build().unwrap();
    let error = layer.cache().refresh().await.unwrap_err();
    assert_eq!(error.failures()[0].kind(), ListErrorKind::NotAList);
}

#[tokio::test]
async fn extra_field_with_bidi_controls_is_dropped() {
    let body = "{\"data\":[{\"id\":\"a\",\"b\u{202e}\":1,\"aliases\":[\"b\u{202e}c\"],\"family\":\"é\",\"license\":\"\u{85}\"}]}";
    let responses = Answers::default();
    responses.set([body.as_bytes()]);
    let (layer, _) = fed(responses.provider().extra_fields(ExtraFields::All)).await;
    let model = &data(&layer)[0];
    assert!(
        model
            .as_object()
            .unwrap()
            .keys()
            .all(|name| !name.starts_with('b'))
    );
    let (layer, _) = listed(body.as_bytes()).await;
    let model = &data(&layer)[0];
    assert_eq!(model["family"], "é");
    assert_eq!((model.get("aliases"), model.get("license")), (None, None));
}

// ===== Responses that are not lists =====

#[tokio::test]
async fn non_list_response_keeps_list() {
    use ListErrorKind::*;
    let responses = Answers::default();
    responses.set([br#"{"data":[{"id":"a"}]}"#]);
    let layer = builder([responses.provider()]).build().unwrap();
    layer.cache().refresh().await.unwrap();
    let etag = layer.cache().snapshot().etag().to_owned();
    for (body, kind) in [
        ("", NotJson),
        ("<html><body>Just a moment...</body></html>", NotJson),
        (r#"{"data":[{"id":"a"}"#, NotJson),
        (r#"{"data":[{"id":"a"},{"id":"b"#, NotJson),
        ("Unauthorized", NotJson),
        ("7", NotAList),
        (r#""list""#, NotAList),
        (r#"{"data":{}}"#, NotAList),
        (r#"{"data":null}"#, NotAList),
        (r#"{"stt":[{"id":"a"}],"tts":[]}"#, NotAList),
        (r#"{"a":{"models":{}},"b":{"models":{}}}"#, NotAList),
        (r#"[{"id":"a"}]"#, NotAList),
        (r#"{"error":{"message":"no"},"data":[{"id":"b"}]}"#, Refused),
        (r#"{"error":"no"}"#, Refused),
        (r#"{"error":["no"]}"#, Refused),
        (r#"{"error":true,"data":[{"id":"b"}]}"#, Refused),
        (r#"{"object":"error","message":"no","code":40101}"#, Refused),
        (
            r#"{"success":false,"errors":[{"code":10000}],"data":[]}"#,
            Refused,
        ),
        (
            r#"{"code":401,"reason":"Unauthorized","message":"no"}"#,
            Refused,
        ),
        (
            r#"{"object":"error","message":"no","data":[{"id":"b"}]}"#,
            Refused,
        ),
        (r#"{"detail":"Not authenticated"}"#, Refused),
        (
            r#"{"detail":[{"loc":["header"],"msg":"missing"}]}"#,
            Refused,
        ),
        (
            r#"[{"error":{"code":403,"status":"PERMISSION_DENIED"}}]"#,
            Refused,
        ),
        (r#"{"object":"list","data":[],"has_more":true}"#, NextPage),
        (r#"{"object":"list","data":null}"#, Empty),
    ] {
        responses.set([body.as_bytes()]);
        let error = layer.cache().refresh().await.unwrap_err();
        assert_eq!(error.failures()[0].kind(), kind, "{body}");
        assert_eq!(layer.cache().snapshot().etag(), etag, "{body}");
    }
}

#[tokio::test]
async fn empty_error_field_is_ignored() {
    for error in ["null", "false", "\"\"", "0", "[]"] {
        let body = format!(r#"{{"error":{error},"data":[{{"id":"a"}}]}}"#);
        let (layer, _) = listed(body.as_bytes()).await;
        assert_eq!(ids(&layer), ["a"], "{error}");
    }
}

#[tokio::test]
async fn oversized_array_in_record_is_dropped() {
    let many = vec!["{}"; 5000].join(",");
    let texts = vec![r#""x\u0061""#; 5000].join(",");
    let body = format!(
        r#"{{"data":[{{"id":"a","providers":[{many}],"aliases":[{texts}],"features":[1,{many}]}}]}}"#
    );
    let (layer, _) = listed(body.as_bytes()).await;
    let model = &data(&layer)[0];
    assert_eq!((model.get("aliases"), model.get("features")), (None, None));
}

// ===== Facts that are kept =====

const RICH: &[u8] = br#"{"data":[{
    "id":"vendor/rich","object":"model","created":1700000000,"owned_by":"vendor","name":"Vendor: Rich",
    "context_length":"131072","top_provider":{"max_completion_tokens":8192.0},
    "architecture":{"modality":"text+image->text","input_modalities":["text","image","hologram"],"output_modalities":["text"]},
    "pricing":{"prompt":"0.00000250","completion":"1e-5","request":"0","image":"-1","overrides":[]},
    "supported_parameters":["tools","reasoning"],"expiration_date":"2027-03-01",
    "canonical_slug":"vendor/rich-20260101","hugging_face_id":"","type":null,"lineage":{"name":"rich"},
    "description":"long","permission":[{"id":"modelperm-1"}],"benchmarks":{"x":1},
    "root":"/srv/secret/models/rich","status":{"args":["--api-key","hunter2"]},
    "apiKey":"hunter2","HF-Token":"hunter2","model_path":"/srv/hunter2","version":"\u001b[31m",
    "input_cost_per_token":2e-6,"config":{"vertexCredentials":"hunter2","env":{"KEY":"hunter2"},"beta":true,"alpha":[1.50, 2]},"litellm_params":{"api_key":"hunter2"}
}]}"#;

async fn rich(extra: ExtraFields) -> Value {
    let responses = Answers::default();
    responses.set([RICH]);
    let provider = responses.provider().dialect(Dialect::OpenRouter);
    let (layer, _) = fed(provider.extra_fields(extra)).await;
    assert!(!String::from_utf8_lossy(&layer.cache().snapshot().body()).contains("hunter2"));
    data(&layer).remove(0)
}

#[tokio::test]
async fn record_facts_are_normalized() {
    let facts = json!({
        "id": "lab/vendor/rich", "object": "model", "created": 1_700_000_000, "owned_by": "vendor",
        "name": "Vendor: Rich", "context_length": 131_072,
        "max_input_tokens": 131_072, "max_output_tokens": 8192,
        "architecture": { "input_modalities": ["text", "image"], "output_modalities": ["text"] },
        "capabilities": { "tools": true, "reasoning": true },
        "pricing": { "prompt": "0.0000025", "completion": "0.00001", "request": "0" },
        "deprecation_date": "2027-03-01",
    });
    assert_eq!(rich(ExtraFields::None).await, facts);

    let mut known = facts.clone();
    known["canonical_slug"] = json!("vendor/rich-20260101");
    known["supported_parameters"] = json!(["tools", "reasoning"]);
    assert_eq!(rich(ExtraFields::Known).await, known);

    let mut all = known.clone();
    all["description"] = json!("long");
    all["lineage"] = json!({ "name": "rich" });
    all["input_cost_per_token"] = json!(2e-6);
    all["expiration_date"] = json!("2027-03-01");
    all["top_provider"] = json!({ "max_completion_tokens": 8192.0 });
    all["config"] = json!({ "alpha": [1.5, 2], "beta": true });
    assert_eq!(rich(ExtraFields::All).await, all);
}

#[tokio::test]
async fn id_is_trimmed_and_upstream_id_is_not() {
    let (layer, _) = listed(br#"{"data":[{"id":"org/model "}]}"#).await;
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get("lab/org/model").unwrap();
    assert_eq!(model.upstream_id(), "org/model ");
}

#[tokio::test]
async fn unusable_upstream_id_is_not_listed() {
    for upstream in [
        "publishers/x\\r\\nEvil: 1/models/star".to_owned(),
        "publishers/\u{202e}/models/star".to_owned(),
        format!("publishers/{}/models/star", "x".repeat(600)),
    ] {
        let responses = Answers::default();
        let body = format!(r#"{{"publisherModels":[{{"name":"{upstream}"}},{{"name":"good"}}]}}"#);
        responses.set([body.as_bytes()]);
        let (layer, status) = fed(responses.provider().dialect(Dialect::Vertex)).await;
        assert_eq!(ids(&layer), ["good"], "{upstream}");
        assert_eq!(status.skipped, 1);
    }
}

#[tokio::test]
async fn map_order_does_not_change_extra_field() {
    let model = |pairs: [(&str, u8); 2]| {
        let map = pairs
            .into_iter()
            .collect::<std::collections::HashMap<_, _>>();
        tower_models_cache::Model::new("a").with_extra("map", map)
    };
    let one = model([("x", 1), ("y", 2)]);
    assert_eq!(one.extra("map"), Some(r#"{"x":1,"y":2}"#));
    assert_eq!(one, model([("y", 2), ("x", 1)]));
}

#[tokio::test]
async fn duplicate_with_most_facts_is_kept() {
    let records = [
        r#"{"id":"a","context_length":1}"#,
        r#"{"id":"a","context_length":1,"owned_by":"z"}"#,
        r#"{"id":"a","context_length":1,"owned_by":"z","created":1600000000}"#,
        r#"{"id":"a","created":1500000000}"#,
        r#"{"id":"A"}"#,
    ];
    for turn in 0..records.len() {
        let mut records = records;
        records.rotate_left(turn);
        let body = format!(r#"{{"data":[{}]}}"#, records.join(","));
        let (layer, status) = listed(body.as_bytes()).await;
        assert_eq!(ids(&layer), ["A", "a"], "ids are case-sensitive");
        assert_eq!(status.duplicates, 3);
        let kept = &data(&layer)[1];
        assert_eq!(
            (&kept["owned_by"], &kept["created"]),
            (&json!("z"), &json!(1_600_000_000))
        );
    }
}
