//! The request and the key of every preset, against a service that records what it receives.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use crate::support::{ScriptedSource, builder, log::LOG};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tower_models_cache::{BuildError, Model, Preset, Provider, Secret, provider::Dialect};

const KEY: &str = "sk-7d1f";

/// A service that records its requests and has no list.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(String, HeaderMap)>>>);

impl Log {
    fn provider(&self, preset: Preset, secret: Option<Secret>) -> Provider {
        Provider::preset_with(preset, secret, http_service(self))
    }
}

async fn request_of(
    preset: Preset,
    change: impl FnOnce(Provider) -> Provider,
) -> (String, HeaderMap) {
    let log = Log::default();
    let provider = change(log.provider(preset, Some(Secret::new(KEY))));
    let layer = builder([provider]).build().unwrap();
    layer.cache().refresh().await.unwrap_err();
    let mut requests = log.0.lock().unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

#[tokio::test]
async fn status_and_log_show_address_without_query() {
    let text = &*LOG;
    let log = Log::default();
    let http = |name: &str| log.provider(Preset::Vllm, None).with_name(name);
    let providers = [
        http("preset"),
        http("base").base_url("https://A.test:8443/address-7f/"),
        http("query").models_path("/address-7f/list?key=hunter7f"),
        Provider::http("host", http_service(&log)),
        Provider::source("source", ScriptedSource::failing()),
        Provider::fixed("fixed", [Model::new("a")]),
    ];
    let expected = [
        Some("http://localhost:8000/v1/models"),
        Some("https://A.test:8443/address-7f/models"),
        Some("http://localhost:8000/address-7f/list"),
        Some("/v1/models"),
        None,
        None,
    ];
    let shown: Vec<_> = providers.iter().map(Provider::address).collect();
    assert_eq!(shown, expected.map(|address| address.map(str::to_owned)));
    let layer = builder(providers).build().unwrap();
    let _ = layer.cache().refresh().await;
    let status = layer.cache().status();
    let addresses: Vec<_> = (status.providers.iter())
        .map(|provider| provider.address.as_deref())
        .collect();
    assert_eq!(addresses, expected);
    let logged = text.text();
    for part in ["https://A.test:8443/address-7f/models", "/address-7f/list"] {
        assert!(logged.contains(part), "{part} is not in the log");
    }
    assert!(!format!("{logged} {status:?}").contains("hunter7f"));
}

fn http_service(
    log: &Log,
) -> impl tower::Service<
    Request<Empty<Bytes>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
>
+ Clone
+ Send
+ 'static
+ use<> {
    let log = log.clone();
    tower::service_fn(move |request: Request<Empty<Bytes>>| {
        let requests = (request.uri().to_string(), request.headers().clone());
        log.0.lock().unwrap().push(requests);
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        async { Ok::<_, Infallible>(response) }
    })
}

/// Where the key is sent.
enum Key {
    Bearer,
    In(&'static str),
}

/// Name, base URL to set, requested address, key, and further required headers.
type Row = (
    &'static str,
    Option<&'static str>,
    &'static str,
    Key,
    &'static [(&'static str, &'static str)],
);

const PRESETS: &[Row] = &[
    (
        "anthropic",
        None,
        "https://api.anthropic.com/v1/models?limit=1000",
        Key::In("x-api-key"),
        &[("anthropic-version", "2023-06-01")],
    ),
    (
        "azure",
        Some("https://res.openai.azure.com"),
        "https://res.openai.azure.com/openai/v1/models?api-version=preview",
        Key::In("api-key"),
        &[],
    ),
    (
        "azure-deployments",
        // The address of the inference API, which is what users have at hand.
        Some("https://res.openai.azure.com/openai/v1"),
        "https://res.openai.azure.com/openai/deployments?api-version=2023-03-15-preview",
        Key::In("api-key"),
        &[],
    ),
    (
        "bedrock",
        Some("https://bedrock.us-east-1.amazonaws.com"),
        "https://bedrock.us-east-1.amazonaws.com/foundation-models",
        Key::Bearer,
        &[],
    ),
    (
        "bedrock-mantle",
        Some("https://bedrock-mantle.us-east-1.api.aws/v1"),
        "https://bedrock-mantle.us-east-1.api.aws/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "bedrock-profiles",
        Some("https://bedrock.us-east-1.amazonaws.com"),
        "https://bedrock.us-east-1.amazonaws.com/inference-profiles?maxResults=1000",
        Key::Bearer,
        &[],
    ),
    (
        "cerebras",
        None,
        "https://api.cerebras.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "cerebras-public",
        None,
        "https://api.cerebras.ai/public/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "chutes",
        None,
        "https://llm.chutes.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "cloudflare",
        Some("https://api.cloudflare.com/client/v4/accounts/0a1b/ai"),
        "https://api.cloudflare.com/client/v4/accounts/0a1b/ai/models/search?per_page=100",
        Key::Bearer,
        &[],
    ),
    (
        "cohere",
        None,
        "https://api.cohere.com/v1/models?page_size=1000",
        Key::Bearer,
        &[],
    ),
    (
        "dashscope",
        None,
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "dashscope-cn",
        None,
        "https://dashscope.aliyuncs.com/compatible-mode/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "deepinfra",
        None,
        "https://api.deepinfra.com/v1/openai/models",
        Key::Bearer,
        &[],
    ),
    (
        "deepseek",
        None,
        "https://api.deepseek.com/models",
        Key::Bearer,
        &[],
    ),
    (
        "docker-model-runner",
        None,
        "http://localhost:12434/engines/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "fireworks",
        None,
        "https://api.fireworks.ai/inference/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "fireworks-account",
        Some("https://api.fireworks.ai/v1/accounts/fireworks"),
        "https://api.fireworks.ai/v1/accounts/fireworks/models?pageSize=200",
        Key::Bearer,
        &[],
    ),
    (
        "gemini",
        None,
        "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000",
        Key::In("x-goog-api-key"),
        &[],
    ),
    (
        "github",
        Some("https://models.github.ai/inference"),
        "https://models.github.ai/catalog/models",
        Key::Bearer,
        &[
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
        ],
    ),
    (
        "gpustack",
        Some("http://gpu.test/v1"),
        "http://gpu.test/v1/models?perPage=100",
        Key::Bearer,
        &[],
    ),
    (
        "groq",
        None,
        "https://api.groq.com/openai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "huggingface",
        None,
        "https://router.huggingface.co/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "kimi-coding",
        None,
        "https://api.kimi.com/coding/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "lemonade",
        Some("http://localhost:8000/v1"),
        "http://localhost:8000/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "litellm",
        None,
        "http://localhost:4000/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "litellm-info",
        None,
        "http://localhost:4000/v1/model/info",
        Key::Bearer,
        &[],
    ),
    (
        "llamacpp",
        None,
        "http://localhost:8080/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "lmdeploy",
        None,
        "http://localhost:23333/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "lmstudio",
        None,
        "http://localhost:1234/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "lmstudio-native",
        None,
        "http://localhost:1234/api/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "localai",
        None,
        "http://localhost:8080/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "minimax",
        None,
        "https://api.minimax.io/anthropic/v1/models?limit=1000",
        Key::Bearer,
        &[("anthropic-version", "2023-06-01")],
    ),
    (
        "mistral",
        None,
        "https://api.mistral.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "moonshot",
        None,
        "https://api.moonshot.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "novita",
        None,
        "https://api.novita.ai/openai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "nvidia",
        None,
        "https://integrate.api.nvidia.com/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "ollama",
        // The base URL of the same server's OpenAI API, which is what users have at hand.
        Some("http://10.0.0.7:11434/v1"),
        "http://10.0.0.7:11434/api/tags",
        Key::Bearer,
        &[],
    ),
    (
        "openai",
        None,
        "https://api.openai.com/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "openrouter",
        None,
        "https://openrouter.ai/api/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "perplexity",
        None,
        "https://api.perplexity.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "sambanova",
        None,
        "https://api.sambanova.ai/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "sglang",
        None,
        "http://localhost:30000/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "tgi",
        Some("http://tgi.test/v1"),
        "http://tgi.test/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "together",
        None,
        "https://api.together.xyz/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "vercel",
        None,
        "https://ai-gateway.vercel.sh/v1/models",
        Key::Bearer,
        &[],
    ),
    (
        "vertex",
        None,
        "https://aiplatform.googleapis.com/v1beta1/publishers/google/models?pageSize=100",
        Key::Bearer,
        &[],
    ),
    (
        "vllm",
        None,
        "http://localhost:8000/v1/models",
        Key::Bearer,
        &[],
    ),
    ("xai", None, "https://api.x.ai/v1/models", Key::Bearer, &[]),
    (
        "xai-language",
        None,
        "https://api.x.ai/v1/language-models",
        Key::Bearer,
        &[],
    ),
    (
        "zenmux",
        None,
        "https://zenmux.ai/api/v1/models",
        Key::Bearer,
        &[],
    ),
];

#[tokio::test]
async fn preset_sends_documented_request() {
    let names: HashSet<_> = PRESETS.iter().map(|row| row.0).collect();
    assert_eq!(
        names.len(),
        Preset::ALL.len(),
        "the table lists every preset"
    );
    for (name, base_url, address, key, headers) in PRESETS {
        let preset: Preset = name.parse().expect(name);
        assert_eq!(preset.name(), *name);
        assert_eq!(
            preset.base_url().is_none(),
            is_of_each_customer(preset),
            "{name}"
        );
        let (uri, sent) = request_of(preset, |provider| match base_url {
            Some(url) => provider.base_url(*url),
            None => provider,
        })
        .await;
        assert_eq!(uri, *address);
        let (header, value) = match key {
            Key::Bearer => ("authorization", format!("Bearer {KEY}")),
            Key::In(header) => (*header, KEY.to_owned()),
        };
        assert_eq!(sent[header], value, "{name}");
        let keys = sent
            .values()
            .filter(|value| value.to_str().unwrap().contains(KEY));
        assert_eq!(keys.count(), 1, "{name}");
        for (header, value) in *headers {
            assert_eq!(sent[*header], value, "{name}");
        }
    }
}

/// Whether the preset has no default address.
fn is_of_each_customer(preset: Preset) -> bool {
    [
        "azure",
        "azure-deployments",
        "bedrock",
        "bedrock-mantle",
        "bedrock-profiles",
        "cloudflare",
        "fireworks-account",
        "gpustack",
        "lemonade",
        "tgi",
    ]
    .contains(&preset.name())
}

fn refused(provider: Provider) -> BuildError {
    builder([provider]).build().unwrap_err()
}

#[test]
fn error_names_missing_preset_setting() {
    let log = Log::default();
    for &preset in Preset::ALL {
        let name = preset.name();
        if preset.base_url().is_none() {
            let error = refused(log.provider(preset, Some(Secret::new(KEY))));
            assert_eq!(error.field(), format!("providers.{name}.base_url"));
            assert!(error.to_string().contains("such as http"), "{error}");
        }
        let with_address = log.provider(preset, None).base_url("https://a.test/v1");
        if preset.needs_key() {
            let error = refused(with_address);
            assert_eq!(error.field(), format!("providers.{name}.api_key"));
        } else {
            assert!(builder([with_address]).build().is_ok(), "{name}");
        }
    }
}

#[test]
fn preset_accepts_every_key_type() {
    let log = Log::default();
    let provider = || log.provider(Preset::OpenAi, None);
    let header = HeaderName::from_static("authorization");
    let token =
        || async { Ok::<_, Infallible>(tower_models_cache::provider::AccessToken::new(KEY)) };
    for provider in [
        provider().api_key(Secret::new(KEY)),
        provider().bearer(Secret::new(KEY)),
        provider().header(header, "Basic x".parse().unwrap()),
        provider().token(token),
    ] {
        assert!(builder([provider]).build().is_ok());
    }
}

#[tokio::test]
async fn explicit_settings_override_preset() {
    let (uri, sent) = request_of(Preset::Anthropic, |provider| {
        provider
            .with_name("claude")
            .base_url("https://gateway.test/anthropic")
            .header(
                HeaderName::from_static("anthropic-version"),
                "2025-01-01".parse().unwrap(),
            )
    })
    .await;
    assert_eq!(uri, "https://gateway.test/anthropic/v1/models?limit=1000");
    assert_eq!(sent["anthropic-version"], "2025-01-01");

    let (uri, _) = request_of(Preset::Gemini, |provider| {
        provider.models_path("/v1/models?pageSize=5")
    })
    .await;
    assert_eq!(
        uri,
        "https://generativelanguage.googleapis.com/v1/models?pageSize=5"
    );

    // Users often have the address of another API of the same provider at hand.
    for (preset, base, address) in [
        (
            Preset::DeepSeek,
            "https://proxy.test/x/v1",
            "https://proxy.test/x/v1/models",
        ),
        (
            Preset::Gemini,
            "https://a.test/v1beta/openai",
            "https://a.test/v1beta/models?pageSize=1000",
        ),
        (
            Preset::Cohere,
            "https://a.test/v2",
            "https://a.test/v1/models?page_size=1000",
        ),
        (
            Preset::Cloudflare,
            "https://a.test/accounts/0a1b/ai/v1",
            "https://a.test/accounts/0a1b/ai/models/search?per_page=100",
        ),
        (
            Preset::LmStudioNative,
            "http://a.test/api/v0",
            "http://a.test/api/v1/models",
        ),
        (
            Preset::LmStudioNative,
            "http://a.test/v1/",
            "http://a.test/api/v1/models",
        ),
    ] {
        let (uri, _) = request_of(preset, |provider| provider.base_url(base)).await;
        assert_eq!(uri, address);
    }

    let (uri, _) = request_of(Preset::Ollama, |provider| provider.dialect(Dialect::OpenAi)).await;
    assert_eq!(uri, "http://localhost:11434/v1/models");
}

/// A list fetched from one address is not kept for another address.
#[tokio::test]
async fn preset_at_another_address_is_a_new_provider() {
    let service = tower::service_fn(|request: Request<Empty<Bytes>>| {
        let mut response = Response::new(Full::<Bytes>::from(r#"{"data":[{"id":"a"}]}"#));
        if request.uri() != "https://api.deepseek.com/models" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        async { Ok::<_, Infallible>(response) }
    });
    let provider = Provider::preset_with(Preset::DeepSeek, Secret::new(KEY), service);
    let layer = builder([provider.clone()]).build().unwrap();
    layer.cache().refresh().await.unwrap();
    let listed = layer.cache().snapshot().len();
    layer
        .cache()
        .set_providers([provider.clone()])
        .await
        .unwrap();
    assert_eq!((listed, layer.cache().snapshot().len()), (1, 1));
    // The preset's own base URL, set explicitly: then the list path is that of OpenAI.
    let moved = provider.base_url("https://api.deepseek.com");
    layer.cache().set_providers([moved]).await.unwrap();
    assert!(layer.cache().snapshot().is_empty());
    layer.cache().refresh().await.unwrap_err();
}

#[cfg(feature = "client")]
#[test]
fn dialect_key_over_plain_http_needs_opt_in() {
    use tower_models_cache::{
        error::ListError,
        provider::{CustomDialect, ModelPage},
    };

    struct WithKey;
    impl CustomDialect for WithKey {
        fn name(&self) -> &'static str {
            "with-key"
        }
        fn path(&self) -> &str {
            "/list"
        }
        fn headers(&self) -> HeaderMap {
            let name = HeaderName::from_static("x-lab-key");
            HeaderMap::from_iter([(name, KEY.parse().unwrap())])
        }
        fn read(&self, _: &[u8]) -> Result<ModelPage, ListError> {
            Ok(ModelPage::new([]))
        }
    }
    let over_plain =
        || Provider::client("lab", "http://10.0.0.7/v1").dialect(Dialect::custom(WithKey));
    let error = refused(over_plain());
    assert_eq!(error.field(), "providers.lab.base_url");
    assert!(!error.to_string().contains(KEY));
    assert!(
        builder([over_plain().allow_plain_http_key(true)])
            .build()
            .is_ok()
    );
}

#[cfg(feature = "config")]
#[test]
fn file_selects_and_completes_preset() {
    use tower_models_cache::StaticModelsCacheConfig;

    let read = |text: &str| {
        let config: StaticModelsCacheConfig = toml::from_str(text).unwrap();
        config.builder()?.build()
    };
    let good = r#"
        [[providers]]
        name = "claude"
        preset = "anthropic"
        headers = { x-api-key = "sk-7d1f" }
        extra = "all"

        [[providers]]
        name = "lab"
        preset = "ollama"
        base_url = "http://10.0.0.7:11434"
    "#;
    let layer = read(good).unwrap();
    let names: Vec<_> = layer
        .cache()
        .status()
        .providers
        .into_iter()
        .map(|of| of.name)
        .collect();
    assert_eq!(names, ["claude", "lab"]);

    let keyless = "[[providers]]\nname = 'claude'\npreset = 'anthropic'";
    assert_eq!(
        read(keyless).unwrap_err().field(),
        "providers.claude.api_key"
    );
    let nowhere = "[[providers]]\nname = 'a'\npreset = 'azure'\nheaders = { api-key = 'k' }";
    assert_eq!(read(nowhere).unwrap_err().field(), "providers.a.base_url");
    let unset = "[[providers]]\nname = 'a'\npreset = 'groq'\napi_key_env = 'NO_SUCH_KEY_IS_SET'";
    assert_eq!(read(unset).unwrap_err().field(), "providers.a.api_key_env");

    let unknown = "[[providers]]\nname = 'a'\npreset = 'grok'";
    let error = toml::from_str::<StaticModelsCacheConfig>(unknown).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(r#"string "grok", expected one of anthropic"#),
        "{error}"
    );
}
