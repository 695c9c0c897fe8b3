//! Properties of every dialect, for every response of a provider.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use crate::support::builder;
use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};
use tower_models_cache::{
    ModelsSnapshot, Provider,
    error::ListErrorKind,
    provider::{Dialect, ExtraFields, ModelPage},
};

const DIALECTS: [&str; 19] = [
    "anthropic",
    "array",
    "azure",
    "azure-deployments",
    "bedrock",
    "bedrock-profiles",
    "cloudflare",
    "cohere",
    "fireworks",
    "gemini",
    "gpustack",
    "litellm",
    "lmstudio",
    "lmstudio-v0",
    "ollama",
    "openai",
    "openrouter",
    "vertex",
    "xai-language",
];

fn dialect(name: &str) -> Dialect {
    name.parse()
        .unwrap_or_else(|_| panic!("unknown dialect {name}"))
}

fn any_dialect() -> impl Strategy<Value = &'static str> {
    select(&DIALECTS[..])
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

// ===== A provider and its cache =====

type Answer = (u16, Bytes);
type ScriptedSource = dyn FnMut(&str) -> Answer + Send;

/// Responds by the requested path and query.
#[derive(Clone)]
struct Host(Arc<Mutex<ScriptedSource>>);

impl Host {
    fn new(answer: impl FnMut(&str) -> Answer + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(answer)))
    }

    fn provider(&self, dialect_name: &str) -> Provider {
        let host = self.clone();
        let service = tower::service_fn(move |request: Request<Empty<Bytes>>| {
            let (status, body) = host.0.lock().unwrap()(&request.uri().to_string());
            let response = Response::builder().status(status).body(Full::new(body));
            async { Ok::<_, Infallible>(response.unwrap()) }
        });
        Provider::http("lab", service).dialect(dialect(dialect_name))
    }
}

/// A cache with one provider, whose response the test sets.
struct Lab {
    cache: tower_models_cache::ModelsCache,
    body: Arc<Mutex<Bytes>>,
}

impl Lab {
    fn new(dialect: &str) -> Self {
        Self::with(dialect, ExtraFields::default())
    }

    fn with(dialect: &str, extra: ExtraFields) -> Self {
        let body = Arc::new(Mutex::new(Bytes::new()));
        let laid = Arc::clone(&body);
        let host = Host::new(move |_| (200, laid.lock().unwrap().clone()));
        let layer = builder([host.provider(dialect).extra_fields(extra)])
            .build()
            .unwrap();
        let cache = layer.cache();
        Self { cache, body }
    }

    /// The list after the provider has sent this response.
    async fn fetch(&self, body: impl Into<Bytes>) -> Result<ModelsSnapshot, ListErrorKind> {
        *self.body.lock().unwrap() = body.into();
        let fetched = self.cache.refresh_provider("lab").await;
        fetched.map_err(|error| error.kind())?;
        Ok(self.cache.snapshot())
    }
}

// ===== Lists =====

/// The facts of a model, independent of the dialect.
#[derive(Clone, Debug)]
struct Facts {
    context: u32,
    name: String,
    /// Seconds since the epoch, long ago.
    created: u32,
}

type Models = BTreeMap<String, Facts>;

fn models(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Models> {
    let facts = (1..4_000_000_u32, "[A-Z][a-zü]{0,6} [0-9]").prop_map(|(context, name)| Facts {
        context,
        name,
        created: 0,
    });
    let id = "[a-zü][a-z0-9ü.:-]{0,7}[a-z0-9]";
    btree_map(id, facts, count).prop_map(|mut models: Models| {
        // All dates differ: a date shared by all models would be dropped.
        for (day, facts) in (0..).zip(models.values_mut()) {
            facts.created = 1_500_000_000 + day * 86_400;
        }
        models
    })
}

fn rfc3339(seconds: u32) -> String {
    let moment = jiff::Timestamp::from_second(seconds.into()).unwrap();
    moment.to_string()
}

/// The record of this model in a dialect.
fn record(dialect: &str, id: &str, facts: &Facts) -> Value {
    let Facts {
        context,
        name,
        created,
    } = facts;
    let date = rfc3339(*created);
    match dialect {
        "openai" => json!({"id": id, "object": "model", "created": created, "owned_by": "acme",
            "name": name, "context_length": context, "aliases": ["x"]}),
        "openrouter" => {
            json!({"id": id, "created": created, "name": name, "context_length": context,
            "canonical_slug": id, "pricing": {"prompt": "0.0000025", "completion": "-1"},
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "top_provider": {"max_completion_tokens": 8192}, "supported_parameters": ["tools", "seed"]})
        }
        "azure" => {
            json!({"id": id, "object": "model", "created_at": created, "status": "succeeded",
            "lifecycle_status": "generally-available",
            "capabilities": {"chat_completion": true, "inference": true}})
        }
        "azure-deployments" => json!({"id": id, "object": "deployment", "model": "base",
            "owner": "organization-owner", "status": "succeeded", "created_at": created}),
        "anthropic" => json!({"type": "model", "id": id, "display_name": name, "created_at": date,
            "max_input_tokens": context, "max_tokens": 4096}),
        "gemini" => json!({"name": format!("models/{id}"), "displayName": name, "version": "001",
            "inputTokenLimit": context, "supportedGenerationMethods": ["generateContent"]}),
        "vertex" => json!({"name": format!("publishers/acme/models/{id}"), "versionId": "001",
            "launchStage": "GA"}),
        "bedrock" => json!({"modelId": id, "modelName": name, "providerName": "Acme",
            "inputModalities": ["TEXT"], "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["ON_DEMAND"], "modelLifecycle": {"status": "ACTIVE"}}),
        "bedrock-profiles" => json!({"inferenceProfileId": id, "inferenceProfileName": name,
            "type": "SYSTEM_DEFINED", "status": "ACTIVE", "createdAt": date}),
        "cohere" => json!({"name": id, "endpoints": ["chat"], "context_length": context}),
        "array" => json!({"id": id, "created": created, "type": "chat", "display_name": name,
            "organization": "Acme", "context_length": context}),
        "ollama" => json!({"name": id, "model": id, "modified_at": date, "digest": "00ff",
            "details": {"family": "x", "parameter_size": "1B", "quantization_level": "Q4_0"}}),
        "lmstudio-v0" => json!({"id": id, "object": "model", "type": "llm", "publisher": "acme",
            "max_context_length": context}),
        "lmstudio" => json!({"type": "llm", "key": id, "display_name": name, "publisher": "acme",
            "max_context_length": context}),
        "xai-language" => json!({"id": id, "created": created, "owned_by": "acme", "aliases": [],
            "input_modalities": ["text"], "prompt_text_token_price": 20_000}),
        "cloudflare" => json!({"id": "00000000-0000", "name": format!("@cf/acme/{id}"),
            "task": {"name": "Text Generation"},
            "properties": [{"property_id": "context_window", "value": context.to_string()}]}),
        "gpustack" => {
            json!({"id": 1, "name": id, "categories": ["llm"], "meta": {"n_ctx": context},
            "created_at": date})
        }
        "fireworks" => json!({"name": format!("accounts/acme/models/{id}"), "displayName": name,
            "contextLength": context, "createTime": date, "state": "READY"}),
        "litellm" => json!({"model_name": id, "litellm_params": {"model": "x"},
            "model_info": {"max_input_tokens": context, "mode": "chat"}}),
        _ => panic!("no record for dialect {dialect}"),
    }
}

/// Whether a record of the dialect has a context length, and whether it has a name.
fn has_facts(dialect: &str) -> (bool, bool) {
    let record = |context, name: &str| {
        let name = name.to_owned();
        let facts = Facts {
            context,
            name,
            created: 1,
        };
        record(dialect, "a", &facts)
    };
    let first = record(1, "A");
    (first != record(2, "A"), first != record(1, "B"))
}

fn records(dialect: &str, models: &Models) -> Vec<Value> {
    let record = |(id, facts): (&String, _)| record(dialect, id, facts);
    models.iter().map(record).collect()
}

/// The response with these records, as a complete list.
fn whole(dialect: &str, records: Vec<Value>) -> Value {
    let count = records.len();
    match dialect {
        "array" => Value::Array(records),
        "anthropic" => {
            json!({"data": records, "has_more": false, "first_id": null, "last_id": null})
        }
        "openrouter" => json!({"data": records, "links": {"next": null}, "total_count": count}),
        "openai" | "azure" | "azure-deployments" | "lmstudio-v0" => {
            json!({"object": "list", "data": records})
        }
        "litellm" => json!({"data": records}),
        "gemini" | "lmstudio" | "ollama" | "xai-language" => json!({"models": records}),
        "cohere" => json!({"models": records, "next_page_token": ""}),
        "fireworks" => json!({"models": records, "nextPageToken": "", "totalSize": count}),
        "vertex" => json!({"publisherModels": records}),
        "bedrock" => json!({"modelSummaries": records}),
        "bedrock-profiles" => json!({"inferenceProfileSummaries": records}),
        "cloudflare" => json!({"success": true, "errors": [], "messages": [], "result": records,
            "result_info": {"page": 1, "per_page": 1000, "count": count, "total_count": count}}),
        "gpustack" => json!({"items": records,
            "pagination": {"page": 1, "perPage": 1000, "total": count, "totalPage": 1}}),
        _ => panic!("no list for dialect {dialect}"),
    }
}

fn list(dialect: &str, models: &Models) -> String {
    whole(dialect, records(dialect, models)).to_string()
}

// ===== Other spellings of the same value =====

/// The same value with another order of fields, other spaces and other escapes.
fn respelled(value: &Value, random: &mut Rng) -> String {
    let mut out = String::new();
    respell(value, random, &mut out);
    out
}

fn respell(value: &Value, random: &mut Rng, out: &mut String) {
    gap(random, out);
    match value {
        Value::Object(members) => {
            let mut members = Vec::from_iter(members);
            random.shuffle(&mut members);
            out.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                gap(random, out);
                respell_text(name, random, out);
                gap(random, out);
                out.push(':');
                respell(value, random, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                respell(value, random, out);
            }
            gap(random, out);
            out.push(']');
        }
        Value::String(text) => respell_text(text, random, out),
        other => out.push_str(&other.to_string()),
    }
    gap(random, out);
}

fn gap(random: &mut Rng, out: &mut String) {
    if random.u8(..4) == 0 {
        out.push_str(random.choice([" ", "\n", "\t", "\r\n  "]).unwrap());
    }
}

fn respell_text(text: &str, random: &mut Rng, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if random.u8(..4) == 0 {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else if c == '/' && random.bool() {
            out.push_str("\\/");
        } else {
            let quoted = serde_json::to_string(&c).unwrap();
            out.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    out.push('"');
}

// ===== Invariants of a page and of a published list =====

fn check_page(page: &ModelPage, bytes: &[u8]) {
    assert!(2 * (page.models().len() + page.skipped()) <= bytes.len());
    for model in page.models() {
        assert!(!model.id().is_empty());
        assert_eq!(model.id(), model.id().trim());
        assert!(!model.upstream_id().trim().is_empty());
    }
}

fn read(name: &str, bytes: &[u8]) {
    let dialect = dialect(name);
    match (dialect.read(bytes), dialect.read(bytes)) {
        (Ok(page), Ok(again)) => {
            assert_eq!(page, again);
            check_page(&page, bytes);
        }
        (Err(error), Err(again)) => assert_eq!(error.kind(), again.kind()),
        (one, other) => panic!("{one:?}, then {other:?}"),
    }
}

fn is_bad(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_list(list: &ModelsSnapshot) {
    let body = list.body();
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["data"].as_array().unwrap().len(), list.len());
    for listed in list.iter() {
        let model = listed.model();
        assert!((1..=512).contains(&model.id().len()));
        assert_eq!(model.id(), model.id().trim());
        for text in [model.id(), &listed.id()] {
            assert!(!text.contains(is_bad), "{text:?}");
        }
        for text in [model.owned_by(), model.display_name()] {
            assert!(text.is_none_or(|text| text.len() <= 512 && !text.contains(is_bad)));
        }
    }
}

// ===== Hostile bytes =====

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(vec![
            "a",
            "",
            " ",
            "models/a",
            "error",
            "\u{202e}",
            "2026-01-01T00:00:00Z"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let name = prop_oneof![
        6 => select(vec![
            "data", "models", "items", "result", "publisherModels", "modelSummaries", "id", "name",
            "inferenceProfileSummaries", "model_name", "modelId", "inferenceProfileId", "key", "model",
            "error", "links", "next", "has_more", "last_id", "nextPageToken", "pagination",
            "result_info", "properties", "architecture", "pricing", "meta", "metadata", "created",
            "created_at", "capabilities", "details", "model_info", "providers", "parent",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A way to damage a list.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Delete(Index, usize),
    Insert(Index, Vec<u8>),
    Double(Index, usize),
    Cut(Index),
    /// Replaces one value by another.
    Swap(Index, Vec<u8>),
    /// Repeats a field, with this value the second time.
    Again(Index, Vec<u8>),
}

fn strange_value() -> impl Strategy<Value = Vec<u8>> {
    let fixed = select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "184467440737095516160",
        "0.000000000000000000000000000001",
        "\"\"",
        "\" \"",
        "\"x\\u0000y\"",
        "\"\\u202eabc\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[null,{},[],7]",
        "{\"a\":1,\"a\":2}",
        "\"N/A\"",
        "\"9999-99-99T00:00:00Z\"",
        "\"models/\"",
        "\"publishers//models/\"",
    ]);
    prop_oneof![
        8 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => Just(b"\"\xff\xfe\"".to_vec()),
        1 => (500..600_usize).prop_map(|length| format!("\"{}\"", "a".repeat(length)).into_bytes()),
        1 => (1..300_usize).prop_map(|depth| [b"[".repeat(depth), b"]".repeat(depth)].concat()),
        1 => (1..80_usize).prop_map(|depth| {
            [br#"{"a":"#.repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat()
        }),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        1 => (at(), 1..20_usize).prop_map(|(at, length)| Damage::Delete(at, length)),
        1 => (at(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), 1..60_usize).prop_map(|(at, length)| Damage::Double(at, length)),
        1 => at().prop_map(Damage::Cut),
        4 => (at(), strange_value()).prop_map(|(at, value)| Damage::Swap(at, value)),
        4 => (at(), strange_value()).prop_map(|(at, value)| Damage::Again(at, value)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        // The position of a field's value, found by its colon.
        let values = |bytes: &[u8]| -> Vec<(usize, usize)> {
            let colons = (0..bytes.len()).filter(|at| bytes[*at] == b':');
            let end = |from: usize| {
                let mut values = serde_json::Deserializer::from_slice(&bytes[from..])
                    .into_iter::<serde::de::IgnoredAny>();
                values.next()?.ok()?;
                Some((from, from + values.byte_offset()))
            };
            colons.filter_map(|at| end(at + 1)).collect()
        };
        let length = bytes.len().max(1);
        match self {
            Self::Flip(at, byte) => {
                if let Some(place) = bytes.get_mut(at.index(length)) {
                    *place ^= byte;
                }
            }
            Self::Delete(at, count) => {
                let from = at.index(length).min(bytes.len());
                bytes.drain(from..(from + count).min(bytes.len()));
            }
            Self::Insert(at, more) => {
                let from = at.index(length).min(bytes.len());
                bytes.splice(from..from, more.iter().copied());
            }
            Self::Double(at, count) => {
                let from = at.index(length).min(bytes.len());
                let part = bytes[from..(from + count).min(bytes.len())].to_vec();
                bytes.splice(from..from, part);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Swap(at, value) => {
                let values = values(bytes);
                if !values.is_empty() {
                    let (from, to) = values[at.index(values.len())];
                    bytes.splice(from..to, value.iter().copied());
                }
            }
            Self::Again(at, value) => {
                let values = values(bytes);
                if !values.is_empty() {
                    let (from, to) = values[at.index(values.len())];
                    let name = bytes[..from - 1]
                        .iter()
                        .rposition(|byte| *byte == b',' || *byte == b'{');
                    let name = bytes[name.map_or(0, |at| at + 1)..from].to_vec();
                    let again = [b",".to_vec(), name, value.clone()].concat();
                    bytes.splice(to..to, again);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn arbitrary_input_never_panics_a_dialect(bytes in vec(any::<u8>(), 0..200), json in any_json()) {
        let json = json.to_string();
        for name in DIALECTS.into_iter().chain(["auto"]) {
            read(name, &bytes);
            read(name, json.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(config(384))]

    #[test]
    fn damaged_list_lists_no_invalid_model(
        form in any_dialect(),
        as_auto in prop::bool::weighted(0.1),
        models in models(0..6),
        damages in vec(damage(), 0..6),
        extra in select(vec![ExtraFields::Known, ExtraFields::All]),
    ) {
        let name = if as_auto { "auto" } else { form };
        let mut bytes = list(form, &models).into_bytes();
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        read(name, &bytes);
        run(async {
            match Lab::with(name, extra).fetch(bytes).await {
                Ok(list) => check_list(&list),
                Err(kind) => assert_ne!(kind, ListErrorKind::Panic),
            }
        });
    }

    #[test]
    fn malformed_record_is_skipped_alone(
        dialect in any_dialect(),
        models in models(1..6),
        at in any::<Index>(),
        bad in select(vec!["null", "7", "\"x\"", "[]", "{}", "{\"id\":{}}", "[[1]]", "{\"a\":null}", "deep"]),
    ) {
        let deep = || (0..100).fold(json!(1), |inner, _| json!([inner]));
        let bad = if bad == "deep" {
            json!({"id": "bad", "name": "bad", "deep": deep()})
        } else {
            serde_json::from_str(bad).unwrap()
        };
        let mut records = records(dialect, &models);
        records.insert(at.index(records.len() + 1), bad);
        let with_bad = whole(dialect, records).to_string();
        run(async {
            let lab = Lab::new(dialect);
            let good = Lab::new(dialect).fetch(list(dialect, &models)).await.unwrap();
            let listed = lab.fetch(with_bad).await.unwrap();
            prop_assert_eq!(listed.body(), good.body());
            prop_assert_eq!(listed.len(), models.len());
            prop_assert_eq!(lab.cache.status().providers[0].skipped, 1);
            Ok(())
        })?;
    }
}

// ===== Changes of a list =====

/// Fields that some providers change with every response.
fn volatile(dialect: &str, record: &mut Value, random: &mut Rng) {
    let number = random.u32(..);
    record["permission"] = json!([{"id": format!("modelperm-{number}"), "created": number}]);
    record["benchmarks"] = json!({"index": number, "arena": [{"elo": 1.5}]});
    record["unheard_of"] = json!(number);
    if matches!(dialect, "openai" | "openrouter" | "anthropic" | "array") {
        record["status"] = json!({"args": ["--seed", number.to_string()], "value": "loaded"});
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn order_and_volatile_fields_do_not_change_list(
        dialect in any_dialect(),
        models in models(1..7),
        seed in any::<u64>(),
    ) {
        let mut random = Rng::with_seed(seed);
        // The same response later, and on another replica.
        let mut response = |models: &Models| {
            let mut records = records(dialect, models);
            for record in &mut records {
                volatile(dialect, record, &mut random);
            }
            for _ in 0..random.usize(..3) {
                records.push(records[random.usize(..records.len())].clone());
            }
            random.shuffle(&mut records);
            respelled(&whole(dialect, records), &mut random)
        };
        let (elsewhere, later) = (response(&models), response(&models));
        run(async {
            let lab = Lab::new(dialect);
            let first = lab.fetch(list(dialect, &models)).await.unwrap();
            prop_assert_eq!(first.len(), models.len());
            let other = Lab::new(dialect).fetch(elsewhere).await.unwrap();
            prop_assert_eq!(other.body(), first.body());
            prop_assert_eq!(other.etag(), first.etag());

            let mut updates = lab.cache.subscribe();
            let second = lab.fetch(later.clone()).await.unwrap();
            prop_assert_eq!(second.etag(), first.etag(), "{}", later);
            prop_assert!(updates.next().now_or_never().is_none());
            // The same buffer: nothing was rendered again.
            prop_assert_eq!(second.body().as_ptr(), first.body().as_ptr(), "{}", later);
            Ok(())
        })?;
    }

    #[test]
    fn new_content_changes_the_list(
        dialect in any_dialect(),
        models in models(1..7),
        at in any::<Index>(),
        kind in 0..3_u8,
    ) {
        let (has_context, has_name) = has_facts(dialect);
        let mut later = models.clone();
        let one = later.values_mut().nth(at.index(models.len())).unwrap();
        match kind {
            0 if has_context => one.context += 1,
            1 if has_name => one.name.push('x'),
            _ => {
                let facts = Facts { created: 1_450_000_000, ..one.clone() };
                later.insert("new-1".to_owned(), facts);
            }
        }
        run(async {
            let lab = Lab::new(dialect);
            let first = lab.fetch(list(dialect, &models)).await.unwrap();
            let mut updates = lab.cache.subscribe();
            let second = lab.fetch(list(dialect, &later)).await.unwrap();
            prop_assert_ne!(second.etag(), first.etag());
            let update = updates.next().now_or_never().flatten().unwrap();
            prop_assert_eq!(update.etag(), second.etag());
            prop_assert_eq!(second.len(), later.len());
            // And back again.
            let third = lab.fetch(list(dialect, &models)).await.unwrap();
            prop_assert_eq!(third.etag(), first.etag());
            Ok(())
        })?;
    }
}

// ===== Pages =====

/// A server that has these records in pages that end at `ends`, by a cursor.
fn in_pages(records: &[Value], ends: &[usize], fails: Option<(usize, Answer)>) -> Host {
    let records = records.to_vec();
    let mut ends = Vec::from_iter(ends.iter().copied().filter(|end| *end < records.len()));
    ends.push(records.len());
    ends.sort_unstable();
    ends.dedup();
    Host::new(move |uri| {
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let after = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("after_id="));
        let id = |record: &Value| {
            let id = record["id"].as_str().unwrap();
            percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
        let from = after.map_or(0, |after| {
            let is_after = |record: &Value| decoded(&id(record)) == decoded(after);
            records.iter().position(is_after).unwrap() + 1
        });
        let page = ends.iter().position(|end| *end > from).unwrap_or(0);
        if let Some((_, response)) = fails.as_ref().filter(|(at, _)| *at == page) {
            return response.clone();
        }
        let to = ends[page];
        let last = to.checked_sub(1).map(|last| records[last]["id"].clone());
        let body =
            json!({"data": records[from..to], "has_more": to < records.len(), "last_id": last});
        (200, body.to_string().into())
    })
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn paged_list_equals_single_page_list(models in models(1..12), ends in vec(1..12_usize, 0..6)) {
        let records = records("anthropic", &models);
        run(async {
            let one = Lab::new("anthropic").fetch(list("anthropic", &models)).await.unwrap();
            let host = in_pages(&records, &ends, None);
            let layer = builder([host.provider("anthropic")]).build().unwrap();
            layer.cache().refresh().await.unwrap();
            let listed = layer.cache().snapshot();
            prop_assert_eq!(listed.body(), one.body());
            prop_assert_eq!(listed.etag(), one.etag());
            prop_assert_eq!(listed.len(), models.len());
            Ok(())
        })?;
    }

    #[test]
    fn failed_page_changes_nothing(
        before in models(1..6),
        models in models(2..12),
        ends in vec(1..12_usize, 1..6),
        at in any::<Index>(),
        response in select(vec![
            (500, ""), (429, "{}"), (200, ""), (200, "{\"data\":[{\"id\":\"cut"), (200, "[]"),
            (200, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}"),
            (200, "{\"data\":[],\"has_more\":true,\"last_id\":null}"), (200, "{\"data\":{}}"),
            (302, "{\"data\":[]}"), (200, "{\"data\":null}"),
        ]),
    ) {
        let records = records("anthropic", &models);
        let mut pages = Vec::from_iter(ends.iter().copied().filter(|end| *end < records.len()));
        pages.sort_unstable();
        pages.dedup();
        let fails = (at.index(pages.len() + 1), (response.0, Bytes::from_static(response.1.as_bytes())));
        run(async {
            let broken = in_pages(&records, &ends, Some(fails));
            let first = Arc::new(Mutex::new(Some(list("anthropic", &before))));
            let host = Host::new(move |uri| match first.lock().unwrap().take() {
                Some(list) => (200, list.into()),
                None => broken.0.lock().unwrap()(uri),
            });
            let layer = builder([host.provider("anthropic")]).build().unwrap();
            let cache = layer.cache();
            cache.refresh().await.unwrap();
            let good = cache.snapshot();
            let error = cache.refresh().await.unwrap_err();
            prop_assert_ne!(error.failures()[0].kind(), ListErrorKind::Panic);
            let kept = cache.snapshot();
            prop_assert_eq!(kept.etag(), good.etag());
            prop_assert_eq!(kept.body(), good.body());
            Ok(())
        })?;
    }
}
