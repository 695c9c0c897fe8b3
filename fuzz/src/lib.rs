//! What must hold of any bytes that a provider may answer with.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, sync::Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower_models_cache::{ModelsSnapshot, Provider, StaticModelsCacheLayer, error::ListErrorKind, provider::{Dialect, ExtraFields, ModelPage}};

/// Every dialect there is but `auto`, which finds out which of them it is.
pub const DIALECTS: [&str; 19] = [
    "openai",
    "openrouter",
    "azure",
    "azure-deployments",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "bedrock-profiles",
    "cohere",
    "array",
    "ollama",
    "lmstudio-v0",
    "lmstudio",
    "xai-language",
    "cloudflare",
    "gpustack",
    "fireworks",
    "litellm",
];

fn dialect(name: &str) -> Dialect {
    name.parse()
        .unwrap_or_else(|_| panic!("{name} is no dialect"))
}

// ===== One page =====

/// Reads the bytes as a page in the dialect of this name.
pub fn check(name: &str, data: &[u8]) {
    let dialect = dialect(name);
    let page = dialect.read(data);
    let again = dialect.read(data);
    let (page, again) = match (page, again) {
        (Ok(page), Ok(again)) => (page, again),
        (Err(error), Err(again)) => return assert_eq!(error.kind(), again.kind()),
        (page, again) => panic!("{page:?}, then {again:?}"),
    };
    assert_eq!(page, again);
    check_page(&page, data);
    if name == "auto" {
        let read = |name: &&str| self::dialect(name).read(data);
        let same = |page: &ModelPage, other: ModelPage| {
            (page.models(), page.skipped()) == (other.models(), other.skipped())
        };
        let mut read = DIALECTS.iter().filter_map(|name| read(name).ok());
        assert!(
            read.any(|other| same(&page, other)),
            "no dialect reads this"
        );
    }
}

fn check_page(page: &ModelPage, data: &[u8]) {
    // A record takes a byte and what stands between it and the next.
    assert!(2 * (page.models().len() + page.skipped()) <= data.len());
    for model in page.models() {
        assert!(!model.id().is_empty());
        assert_eq!(model.id(), model.id().trim());
        assert!(!model.upstream_id().trim().is_empty());
        for name in [model.owned_by(), model.display_name()] {
            assert!(name.is_none_or(|name| !name.is_empty() && name == name.trim()));
        }
        for tokens in [model.context_length(), model.max_output_tokens()] {
            assert_ne!(tokens, Some(0));
        }
        assert_ne!(model.created(), Some(0));
        for name in KEPT {
            let json = model
                .extra(name)
                .map(serde_json::from_str::<serde_json::Value>);
            assert!(json.is_none_or(|json| json.is_ok()));
        }
    }
}

/// Some of the further fields that are kept.
const KEPT: [&str; 6] = [
    "aliases",
    "features",
    "quantization",
    "supported_parameters",
    "type",
    "version",
];

// ===== A catalogue =====

/// Reads the bytes as a catalogue.
pub fn check_catalog(data: &[u8]) {
    let page = Dialect::ModelsDev.read(data);
    let again = Dialect::ModelsDev.read(data);
    let (page, again) = match (page, again) {
        (Ok(page), Ok(again)) => (page, again),
        (Err(error), Err(again)) => return assert_eq!(error.kind(), again.kind()),
        (page, again) => panic!("{page:?}, then {again:?}"),
    };
    assert_eq!(page, again);
    assert!(2 * (page.models().len() + page.skipped()) <= data.len());
    for model in page.models() {
        let (provider, id) = model.id().split_once('/').expect("is provider/id");
        assert!(!provider.is_empty() && !id.trim().is_empty());
        for tokens in [
            model.context_length(),
            model.max_input_tokens(),
            model.max_output_tokens(),
        ] {
            assert_ne!(tokens, Some(0));
        }
    }
}

// ===== A list in pages, to its publication =====

/// Serves the bytes as pages, each after a line break, in the dialect that the first byte
/// picks, after a good list: what comes of it is published, or changes nothing.
pub fn check_pages(data: &[u8]) {
    const DATA: &str = r#"{"data":[{"id":"good","display_name":"Good"}]}"#;
    const MODELS: &str = r#"{"models":[{"name":"good"}]}"#;
    /// Each dialect that pages, and a good list in it.
    const PAGED: [(&str, &str); 9] = [
        ("anthropic", DATA),
        ("openai", DATA),
        ("openrouter", DATA),
        ("auto", DATA),
        (
            "bedrock-profiles",
            r#"{"inferenceProfileSummaries":[{"inferenceProfileId":"good"}]}"#,
        ),
        (
            "cloudflare",
            r#"{"success":true,"result":[{"name":"good"}]}"#,
        ),
        ("cohere", MODELS),
        ("gemini", MODELS),
        ("gpustack", r#"{"items":[{"name":"good"}],"pagination":{}}"#),
    ];
    let Some((pick, data)) = data.split_first() else {
        return;
    };
    let (name, good) = PAGED[usize::from(*pick) % PAGED.len()];
    let extra = [ExtraFields::Known, ExtraFields::All][usize::from(*pick >> 7)];
    let good = Bytes::from_static(good.as_bytes());
    let pages = data
        .split(|byte| *byte == b'\n')
        .map(Bytes::copy_from_slice);
    let pages = VecDeque::from_iter([good].into_iter().chain(pages));
    let pages = Arc::new(Mutex::new(pages));
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let page = pages.lock().expect("nobody panics").pop_front();
        let mut response = Response::new(Full::new(page.clone().unwrap_or_default()));
        if page.is_none() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        async { Ok::<_, Infallible>(response) }
    });
    let stop = CancellationToken::new();
    let layer = StaticModelsCacheLayer::builder()
        .provider(
            Provider::http("lab", service)
                .dialect(dialect(name))
                .extra_fields(extra),
        )
        .cancellation_token(stop.clone())
        .build()
        .expect("the settings are good");
    let cache = layer.cache();
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            cache.refresh().await.expect("the first list is good");
            let before = cache.snapshot();
            match cache.refresh_provider("lab").await {
                Ok(_) => check_list(&cache.snapshot()),
                Err(error) => {
                    assert_ne!(error.kind(), ListErrorKind::Panic);
                    assert_eq!(cache.snapshot().etag(), before.etag());
                }
            }
        });
        stop.cancel();
    });
}

thread_local! {
    // It comes back before it looks at the next task: nothing is compressed.
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .event_interval(1)
        .enable_time()
        .build()
        .expect("a runtime");
}

/// Checks what is published.
fn check_list(list: &ModelsSnapshot) {
    assert!(!list.is_empty());
    let body: serde_json::Value = serde_json::from_slice(&list.body()).expect("is JSON");
    let records = body["data"].as_array().expect("is a list");
    assert_eq!(records.len(), list.len());
    let is_bad = |c: char| c.is_control() || MARKS.contains(&c);
    for (record, listed) in records.iter().zip(list.iter()) {
        let id = listed.model().id();
        assert!((1..=512).contains(&id.len()) && id == id.trim(), "{id:?}");
        assert_eq!(record["id"], *listed.id());
        for name in ["id", "owned_by", "name"] {
            assert!(!record[name].as_str().unwrap_or("").contains(is_bad));
        }
        let found = list.get(&listed.id()).expect("is listed");
        assert_eq!(found.upstream_id(), listed.upstream_id());
    }
}

/// Marks that turn the direction of text.
const MARKS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];
