//! Settings and providers as written in a file.

use crate::support;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{get, list, send};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::Full;
use tower_models_cache::{
    BuildError, Model, Provider, Secret, StaticModelsCacheConfig, StaticModelsCacheLayer, View,
    config::{MaxStale, ProviderConfig},
};

/// Parses the settings.
fn read(text: &str) -> Result<StaticModelsCacheConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Parses the settings and builds the layer.
fn build(text: &str) -> Result<StaticModelsCacheLayer, String> {
    let text_of = |error: BuildError| error.to_string();
    let builder = read(text)?.builder().map_err(text_of)?;
    builder.build().map_err(text_of)
}

fn provider(text: &str) -> ProviderConfig {
    toml::from_str(text).unwrap()
}

/// A service that lists `models` and records the head of the last request.
#[derive(Clone, Default)]
struct Upstream(Arc<Mutex<Vec<(Uri, HeaderMap)>>>);

impl Upstream {
    fn seen(&self) -> Vec<(Uri, HeaderMap)> {
        self.0.lock().unwrap().clone()
    }

    fn provider(&self, config: &ProviderConfig, status: u16, models: &str) -> Provider {
        let (seen, models) = (Arc::clone(&self.0), models.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (head, _) = request.into_parts();
            seen.lock().unwrap().push((head.uri, head.headers));
            let data: Vec<_> = models
                .split_whitespace()
                .map(|id| serde_json::json!({ "id": id }))
                .collect();
            let body = serde_json::json!({ "object": "list", "data": data }).to_string();
            let response = Response::builder().status(status);
            let response = response.body(Full::new(Bytes::from(body))).unwrap();
            async { Ok::<_, std::convert::Infallible>(response) }
        });
        config.build_with(service).unwrap()
    }
}

fn layer(providers: impl IntoIterator<Item = Provider>) -> StaticModelsCacheLayer {
    let builder = StaticModelsCacheLayer::builder().providers(providers);
    builder.build().unwrap()
}

#[test]
fn error_names_field_and_accepted_values() {
    // serde reports syntax and type errors, with the line.
    let rows = [
        // Fields and types.
        (
            "refresh_intervall = '5m'",
            "unknown field `refresh_intervall`",
        ),
        (
            "refresh_interval = 300",
            r#"expected a duration as a string, such as "5m" or "1500ms""#,
        ),
        (
            "refresh_interval = '5 minits'",
            r#"invalid value: string "5 minits", expected a duration"#,
        ),
        (
            "backoff = ''",
            r#"invalid value: string "", expected a duration"#,
        ),
        ("miss_timeout = '-1s'", "expected a duration"),
        ("fetch_timeout = 'off'", "expected a duration"),
        (
            "max_stale = 'never'",
            r#"such as "5m" or "1500ms", or "off""#,
        ),
        ("max_stale = false", "expected a duration as a string"),
        ("refresh_interval_secs = -1", "invalid value: integer `-1`"),
        (
            "[[providers]]\nbase_url = 'http://localhost'",
            "missing field `name`",
        ),
        (
            "[[providers]]\nname = 'a'\napi_key = 'k'",
            "unknown field `api_key`",
        ),
        (
            "[[providers]]\nname = 'a'\ndialect = 'openia'",
            r#"invalid value: string "openia", expected one of openai, "#,
        ),
        (
            "[[providers]]\nname = 'a'\nheaders = { x = 1 }",
            "expected a string",
        ),
        // Durations.
        (
            "refresh_interval = '0s'",
            "refresh_interval is 0ns, expected 1 ms to 365 days",
        ),
        (
            "refresh_interval = '2years'",
            "refresh_interval is 63115200s, expected 1 ms to 365 days",
        ),
        (
            "refresh_interval_secs = 99999999",
            "refresh_interval_secs is 99999999s, expected 1 ms to 365",
        ),
        (
            "refresh_interval_secs = 9223372036854775807",
            "refresh_interval_secs is 9223372036854775807s",
        ),
        (
            "refresh_interval_secs = 300\nrefresh_interval = '5m'",
            "refresh_interval_secs is 300, expected either refresh_interval_secs or refresh_interval",
        ),
        (
            "miss_timeout = '0s'",
            "miss_timeout is 0ns, expected 1 ms to 365 days",
        ),
        (
            "miss_timeout = '1ns'",
            "miss_timeout is 1ns, expected 1 ms to 365 days",
        ),
        (
            "fetch_timeout = '0s'",
            "fetch_timeout is 0ns, expected 1 ms to 365 days",
        ),
        (
            "backoff = '0s'",
            "backoff is 0ns, expected 1 ms to 365 days",
        ),
        ("backoff = '1000years'", "backoff is"),
        (
            "max_stale = '0s'",
            "max_stale is 0ns, expected 1 ms to 365 days",
        ),
        (
            "max_retry_after = '366days'",
            "max_retry_after is 31622400s, expected at most 365 days",
        ),
        // Paths.
        ("paths = []", "paths is [], expected at least one path"),
        (
            "paths = ['v1/models']",
            r#"paths is "v1/models", expected a path that begins with a slash"#,
        ),
        ("paths = ['/a b']", r#"paths is "/a b""#),
        (
            "paths = ['/m', '/m/']",
            r#"paths is "/m/", expected a path that does not collide with /m"#,
        ),
        ("paths = ['/m', '/m/x']", "does not collide"),
        (
            "paths = ['/{version}/models']",
            r#"paths is "/{version}/models", expected a literal path"#,
        ),
        (
            "paths = ['/v1beta']",
            r#"gemini_paths is "/v1beta/models", expected a path that does not collide"#,
        ),
        (
            "client_dialects = ['ollama']\nollama_paths = ['api']",
            r#"ollama_paths is "api", expected a path that begins with a slash"#,
        ),
        // Dialects.
        (
            "client_dialects = []",
            "client_dialects is empty, expected at least one dialect",
        ),
        (
            "client_dialects = ['claude']",
            "unknown variant `claude`, expected one of `openai`, `anthropic`",
        ),
        // Views.
        (
            "[views.a]\ninclude = ['[a']",
            r#"views.a.include is "[a", expected a glob"#,
        ),
        ("[views.a]\nincludes = ['a']", "unknown field `includes`"),
        (
            "view_headers = ['x y']",
            r#"view_headers is "x y", expected names of headers"#,
        ),
        ("max_views = 0", "max_views is 0, expected"),
        ("max_view_bytes = 0", "max_view_bytes is 0, expected"),
        (
            "max_views = 5",
            "max_views is set while all callers see all",
        ),
        (
            "[aliases]\n'gpt-*' = 'a/b'",
            r#"aliases is "gpt-*", expected the name of one model"#,
        ),
        // Model names.
        ("[aliases]\n'' = 'a/b'", r#"aliases is "", expected"#),
        (
            "[[providers]]\nname = 'a'\nprefix = 'sometimes'",
            r#"invalid value: string "sometimes", expected true, false or "on-conflict""#,
        ),
        // Limits and headers.
        (
            "max_concurrent_fetches = 0",
            "max_concurrent_fetches is 0, expected 1 to 65536",
        ),
        ("max_bytes = 0", "max_bytes is 0, expected 1 to 1073741824"),
        (
            "max_models = 9999999999",
            "max_models is 9999999999, expected 1 to 1073741824",
        ),
        (
            "cache_control = ''",
            r#"cache_control is "", expected a header value"#,
        ),
        (
            r#"cache_control = "a\nb""#,
            r#"cache_control is "a\nb", expected a header value"#,
        ),
        // Provider names.
        (
            "[[providers]]\nname = ''\nmodels = ['a']",
            r#"providers.name is "", expected 1 to 128 bytes"#,
        ),
        (
            "[[providers]]\nname = 'a/b'\nmodels = ['a']",
            r#"providers.name is "a/b", expected"#,
        ),
        (
            "[[providers]]\nname = \"a\\u0007\"\nmodels = ['a']",
            r#"providers.name is "a\u{7}", expected"#,
        ),
        (
            "[[providers]]\nname = 'a '\nmodels = ['a']",
            r#"providers.name is "a ", expected"#,
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['a']\n[[providers]]\nname = 'a'\nmodels = ['b']",
            r#"providers.name is "a", expected a name that no other provider has"#,
        ),
        // Declared providers.
        (
            "[[providers]]\nname = 'a'\nlist = 'declared'",
            "providers.a.models is missing, expected the ids of its models",
        ),
        (
            "[[providers]]\nname = 'a'\nbase_url = 'https://a.test'\nlist = 'declared'",
            "providers.a.models is missing, expected the ids of its models",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\nlist = 'fetched'",
            "providers.a.base_url is missing, expected an absolute http or https URL",
        ),
        (
            "[[providers]]\nname = 'a'\nlist = 'static'",
            "unknown variant `static`, expected `fetched` or `declared`",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['gpt-*']",
            r#"providers.a.models is "gpt-*", expected ids of models"#,
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\nallow_plain_http_key = true",
            "providers.a.allow_plain_http_key is set for a provider without base_url",
        ),
        (
            "[[providers]]\nname = 'a'",
            "providers.a.base_url is missing, expected an absolute http or https URL",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['']",
            r#"providers.a.models is "", expected ids of 1 to 512"#,
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = [\"x\\u001b\"]",
            r#"providers.a.models is "x\u{1b}", expected"#,
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\napi_key_env = 'PATH'",
            "providers.a.api_key_env is set for a provider without base_url and preset",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\ndialect = 'auto'",
            "providers.a.dialect is set for a provider without base_url and preset",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\ntimeout = '1s'",
            "providers.a.timeout is set for",
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\ninclude = ['[a']",
            r#"providers.a.include is "[a", expected a glob"#,
        ),
        (
            "[[providers]]\nname = 'a'\nmodels = ['m']\nexclude = ['']",
            r#"providers.a.exclude is "", expected a glob"#,
        ),
    ];
    for (text, expected) in rows {
        let error = build(text).expect_err(text);
        assert!(error.contains(expected), "{text}\nreturned: {error}");
    }
}

/// Regression: `${VAR}` was sent to the provider literally.
#[test]
fn unexpanded_variable_is_refused() {
    let lab = "[[providers]]\nname = 'a'\nbase_url = 'https://a.test'\n";
    let of_lab = |line: &str| format!("{lab}{line}");
    let rows = [
        (
            of_lab("headers = { x-api-key = '${LAB_KEY}' }"),
            "providers.a.headers.x-api-key",
        ),
        (
            of_lab("headers = { authorization = 'Bearer $LAB_KEY' }"),
            "providers.a.headers.authorization",
        ),
        (
            of_lab("headers = { x-api-key = 'os.environ/LAB_KEY' }"),
            "providers.a.headers.x-api-key",
        ),
        (
            of_lab("api_key_env = '${LAB_KEY}'"),
            "providers.a.api_key_env",
        ),
        (of_lab("models_path = '/${X}'"), "providers.a.models_path"),
        (of_lab("display_name = '${X}'"), "providers.a.display_name"),
        (of_lab("catalog = '${X}'"), "providers.a.catalog"),
        (of_lab("include = ['a', '${X}']"), "providers.a.include"),
        (of_lab("exclude = ['${X}']"), "providers.a.exclude"),
        (of_lab("models = ['${X}']"), "providers.a.models"),
        (
            "[[providers]]\nname = 'a'\nbase_url = 'https://${HOST}/v1'".to_owned(),
            "providers.a.base_url",
        ),
        (
            "[[providers]]\nname = '${X}'\nmodels = ['a']".to_owned(),
            "providers.${X}.name",
        ),
        ("cache_control = '${X}'".to_owned(), "cache_control"),
        ("[aliases]\n'a' = '${X}'".to_owned(), "aliases"),
        (
            "[views.a]\ninclude = ['${X}']".to_owned(),
            "views.a.include",
        ),
        (
            "[[overrides]]\nmodels = ['a']\nfamily = '${X}'".to_owned(),
            "overrides[0].family",
        ),
        #[cfg(feature = "catalog")]
        (
            "[catalog]\nbase_url = '${X}'".to_owned(),
            "catalog.base_url",
        ),
        #[cfg(feature = "catalog")]
        ("[catalog]\nfile = '${X}/a.json'".to_owned(), "catalog.file"),
    ];
    for (text, field) in rows {
        // Detected when the file is loaded, before anything is built.
        let error = read(&text).unwrap().builder().unwrap_err();
        assert_eq!(error.field(), field, "{text}");
        assert!(
            error.to_string().contains("a reference to a variable"),
            "{error}"
        );
    }
    let secret = of_lab("headers = { x-api-key = 'hunter2 ${LAB_KEY}' }");
    let error = read(&secret).unwrap().builder().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    // Instructions are prompt text, where `${` is allowed.
    let codex = "client_dialects = ['openai', 'codex']\ncodex_instructions = 'read ${HOME}'";
    assert!(build(codex).is_ok());
}

#[tokio::test]
async fn declared_list_keeps_address_without_fetch() {
    let text = "name = 'lab'\nbase_url = 'http://lab.test/v1'\nmodels = ['a', 'b-x']\n\
                api_key_env = 'PATH'\nallow_plain_http_key = true\nexclude = ['*-x']\n\
                list = 'declared'";
    let config = provider(text);
    let upstream = Upstream::default();
    for provider in [
        config.provider().unwrap(),
        upstream.provider(&config, 200, "c"),
    ] {
        let layer = layer([provider]);
        layer.cache().refresh().await.unwrap();
        assert_eq!(list(&layer).await, ["lab/a"]);
        let status = &layer.cache().status().providers[0];
        assert!(status.declared && status.next_attempt.is_none());
        assert_eq!((status.address.as_deref(), status.filtered), (None, 1));
        assert!(!layer.cache().refresh_provider("lab").await.unwrap());
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(config.effective_base_url(), Some("http://lab.test/v1"));
    assert!(config.header_map().unwrap().contains_key("authorization"));

    let preset =
        provider("name = 'p'\npreset = 'perplexity'\nmodels = ['sonar']\nlist = 'declared'");
    assert_eq!(
        list(&layer([preset.provider().unwrap()])).await,
        ["p/sonar"]
    );
    assert_eq!(
        preset.effective_base_url(),
        Some("https://api.perplexity.ai/v1")
    );

    // With an address and without `list`, `models` is the fallback.
    let fetched = provider("name = 'lab'\nmodels = ['a']\nlist = 'fetched'");
    let layer = layer([upstream.provider(&fetched, 200, "c")]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["lab/c"]);
}

#[test]
fn error_names_fetch_setting_of_declared_list() {
    for (line, field) in [
        ("dialect = 'auto'", "dialect"),
        ("extra = 'all'", "extra"),
        ("models_path = '/m'", "models_path"),
        ("refresh_interval = '1h'", "refresh_interval"),
        ("timeout = '1s'", "timeout"),
    ] {
        let text = format!(
            "[[providers]]\nname = 'a'\nbase_url = 'https://a.test'\nmodels = ['m']\n\
             list = 'declared'\n{line}"
        );
        let expected = format!("providers.a.{field} is set for a provider whose list is declared");
        let error = build(&text).unwrap_err();
        assert!(error.starts_with(&expected), "{error}");
    }
    for (url, value) in [
        ("https://u:hunter2@a.test", "a URL with userinfo"),
        (
            "https://a.test/v1/chat/completions",
            "a URL that ends in /chat/completions",
        ),
        ("http://a.test/v1", "plain http to another machine"),
    ] {
        let text = format!(
            "[[providers]]\nname = 'a'\nbase_url = '{url}'\nmodels = ['m']\n\
             api_key_env = 'PATH'\nlist = 'declared'"
        );
        let error = build(&text).unwrap_err();
        assert!(
            error.starts_with(&format!("providers.a.base_url is {value}")),
            "{error}"
        );
    }
}

#[cfg(feature = "client")]
#[test]
fn provider_error_names_value_but_no_secret() {
    let rows = [
        (
            "base_url = ''",
            "providers.a.base_url is not a URL, expected an absolute",
        ),
        (
            "base_url = 'api.test/v1 hunter2'",
            "providers.a.base_url is not a URL",
        ),
        (
            "base_url = '/hunter2'",
            "providers.a.base_url is not an absolute URL",
        ),
        (
            "base_url = 'ftp://a.test/hunter2'",
            "providers.a.base_url is a URL with an unsupported scheme",
        ),
        (
            "base_url = 'https://u:hunter2@a.test'",
            "providers.a.base_url is a URL with userinfo",
        ),
        (
            "base_url = 'https://a.test/v1?k=hunter2'",
            "providers.a.base_url is a URL with a query",
        ),
        (
            "base_url = 'https://a.test/hunter2/v1/chat/completions'",
            "providers.a.base_url is a URL that ends in /chat/completions, expected the base URL \
             of the API, without /chat/completions",
        ),
        (
            "models_path = 'models?k=hunter2'",
            r#"providers.a.models_path is "models?...", expected a path"#,
        ),
        (
            "models_path = '/a b?k=hunter2'",
            r#"providers.a.models_path is "/a b?...", expected a valid path"#,
        ),
        (
            "timeout = '0s'",
            "providers.a.timeout is 0ns, expected 1 ms to 365 days",
        ),
        (
            "refresh_interval = '0s'",
            "providers.a.refresh_interval is 0ns, expected 1 ms",
        ),
        (
            "include = ['{a']",
            r#"providers.a.include is "{a", expected a glob"#,
        ),
        (
            "headers = { 'a b' = 'hunter2' }",
            r#"providers.a.headers is "a b", expected names of headers"#,
        ),
        (
            "headers = { x-team = \"hunter2\\n\" }",
            "providers.a.headers.x-team is not a header value",
        ),
        (
            "headers = { x-team = '' }",
            "providers.a.headers.x-team is not a header value",
        ),
        (
            "headers = { X-Team = 'hunter2', x-team = 'hunter2' }",
            "expected each name once",
        ),
        (
            "api_key_env = 'TOWER_MODELS_CACHE_NO_SUCH_KEY'",
            "providers.a.api_key_env is TOWER_MODELS_CACHE_NO_SUCH_KEY, which is not set, expected the \
             name of an environment variable",
        ),
        (
            "api_key_env = 'sk-hunter2'",
            "providers.a.api_key_env is a variable whose name is not shown",
        ),
        ("api_key_env = ''", "providers.a.api_key_env is a variable"),
        (
            "api_key_env = 'PATH'\nheaders = { Authorization = 'hunter2' }",
            "providers.a.api_key_env is set, expected either api_key_env or headers.authorization",
        ),
        (
            "base_url = 'http://a.test/hunter2'\napi_key_env = 'PATH'",
            "providers.a.base_url is plain http to another machine, while a key is set, expected https, a \
             loopback host, or allow_plain_http_key",
        ),
        (
            "base_url = 'http://10.0.0.1'\nheaders = { x-api-key = 'hunter2' }",
            "providers.a.base_url is plain http to another machine",
        ),
    ];
    for (row, expected) in rows {
        let url = if row.starts_with("base_url") {
            ""
        } else {
            "base_url = 'https://a.test'\n"
        };
        let text = format!("[[providers]]\nname = 'a'\n{url}{row}");
        let Ok(config) = read(&text) else {
            panic!("cannot parse {text}");
        };
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        let built = config.builder().and_then(|builder| builder.build());
        let error = built.expect_err(&text);
        let shown = error.to_string();
        assert!(shown.contains(expected), "{text}\nreturned: {shown}");
        assert!(!format!("{shown} {error:?}").contains("hunter2"), "{shown}");
    }
    for good in [
        "base_url = 'http://localhost:1/v1'\napi_key_env = 'PATH'",
        "base_url = 'http://127.1.2.3'\napi_key_env = 'PATH'",
        "base_url = 'http://[::1]:1'\napi_key_env = 'PATH'",
        "base_url = 'http://a.test'\napi_key_env = 'PATH'\nallow_plain_http_key = true",
        "base_url = 'http://a.test'\nheaders = { x-team = 'infra' }",
    ] {
        let _ = build(&format!("[[providers]]\nname = 'a'\n{good}")).expect(good);
    }
}

#[cfg(not(feature = "client"))]
#[test]
fn base_url_without_client_feature_is_refused() {
    let error = build("[[providers]]\nname = 'a'\nbase_url = 'https://a.test'").unwrap_err();
    let expected = "providers.a.base_url is set, but nothing can be fetched without an HTTP client, \
                    expected feature `client`, or a service passed to ProviderConfig::build_with";
    assert_eq!(error, expected);
}

#[test]
fn parse_error_names_the_line() {
    let error = read("paths = ['/m']\n\nrefresh_interval = '5'\n").unwrap_err();
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn every_setting_is_accepted() {
    let config = read(
        r#"
        refresh_interval = "1h 30m"
        miss_timeout = "1500ms"
        fetch_timeout = "20s"
        backoff = "2s"
        max_retry_after = "0s"
        max_stale = "off"
        paths = ["/v1/models", "/api/v1/models"]
        gemini_paths = ["/gemini/models"]
        ollama_paths = ["/ollama/api"]
        client_dialects = ["openai", "gemini", "ollama", "codex"]
        codex_instructions = "Be brief."
        claude_aliases = true
        view_headers = ["authorization", "x-api-key"]
        max_views = 10
        max_view_bytes = 1000000
        accept_empty = true
        serve_partial = false
        max_concurrent_fetches = 4
        max_bytes = 1000000
        max_models = 1000
        max_pages = 10
        cache_control = "private, max-age=60"

        [aliases]
        fast = "small"

        [views.team-a]
        include = ["*"]
        exclude = ["*-old"]

        [[providers]]
        name = "house"
        prefix = false
        display_name = "The House"
        include = ["small*"]
        exclude = ["*-old"]
        models = ["small", "small-old", "large"]
        "#,
    )
    .unwrap();
    assert_eq!(config.refresh_interval, Some(Duration::from_secs(5400)));
    assert_eq!(config.max_stale, Some(MaxStale::Off));
    let in_code = StaticModelsCacheConfig {
        max_stale: Some(MaxStale::After(Duration::from_secs(24 * 3600))),
        ..StaticModelsCacheConfig::default()
    };
    assert_eq!(read("max_stale = '24h'").unwrap(), in_code);

    let builder = config.builder().unwrap().views(|_| Ok(View::all()));
    let layer = builder.build().unwrap();
    let snapshot = layer.cache().snapshot();
    assert_eq!(snapshot.len(), 2);
    assert_eq!(snapshot.get("fast").unwrap().upstream_id(), "small");
    let status = layer.cache().status();
    let house = &status.providers[0];
    assert_eq!(house.display_name.as_deref(), Some("The House"));
    assert!(house.declared);
}

#[tokio::test]
async fn configured_paths_and_cache_control_apply() {
    let layer = build(
        "paths = ['/models']\ncache_control = 'no-store'\n\
         [[providers]]\nname = 'house'\nmodels = ['small', 'meta/llama']\ninclude = ['*ll*']",
    )
    .unwrap();
    let response = send(&layer, get("/models")).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let expected = ["house/meta/llama", "house/small"];
    assert_eq!(support::ids(response.body()), expected);
    assert!(list_of(&layer, "/models/house/small").await);
}

#[tokio::test]
async fn dialects_names_and_views_follow_the_file() {
    let config = read(
        r#"
        client_dialects = ["openai", "ollama"]
        ollama_paths = ["/local/api"]

        [aliases]
        fast = "other/small"

        [views.other]
        include = ["other/*"]

        [[providers]]
        name = "house"
        prefix = "on-conflict"
        models = ["large", "small"]

        [[providers]]
        name = "attic"
        prefix = "on-conflict"
        models = ["small"]

        [[providers]]
        name = "other"
        models = ["small"]
        "#,
    )
    .unwrap();
    let views = config.named_views().unwrap();
    let other = views["other"].clone();
    let view = move |request: &http::request::Parts| {
        let all = !request.headers.contains_key("authorization");
        Ok(if all { View::all() } else { other.clone() })
    };
    let layer = config.builder().unwrap().views(view).build().unwrap();

    let expected = ["fast", "large", "small", "attic/small", "other/small"];
    assert_eq!(list(&layer).await, expected);
    let mut request = get("/v1/models");
    let key = http::HeaderValue::from_static("Bearer k");
    request.headers_mut().insert("authorization", key);
    let seen = send(&layer, request).await;
    assert_eq!(support::ids(seen.body()), ["fast", "other/small"]);
    assert_eq!(send(&layer, get("/local/api/tags")).await.status(), 200);
}

#[test]
fn glob_view_selects_matching_models() {
    let view = |include: &[&str], exclude: &[&str]| View::globs(include.to_vec(), exclude.to_vec());
    let layer = layer([Provider::fixed(
        "house",
        ["a/b", "a-preview"].map(Model::new),
    )]);
    let snapshot = layer.cache().snapshot();
    let seen = |view: View| {
        let ids = snapshot.iter().filter(|model| view.allows(model));
        ids.map(|model| model.id().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen(view(&["house/a/*"], &[]).unwrap()), ["house/a/b"]);
    assert_eq!(seen(view(&[], &["*-preview"]).unwrap()), ["house/a/b"]);
    assert_eq!(seen(view(&["a*"], &[]).unwrap()), [""; 0]);
    let error = view(&["ok"], &["[a"]).unwrap_err();
    assert_eq!(error.field(), "exclude");
}

async fn list_of(layer: &StaticModelsCacheLayer, path: &str) -> bool {
    send(layer, get(path)).await.status() == 200
}

#[test]
fn empty_file_is_valid() {
    assert_eq!(read("").unwrap(), StaticModelsCacheConfig::default());
    assert!(build("").unwrap().cache().snapshot().is_empty());
}

#[tokio::test]
async fn service_provider_follows_file_settings() {
    let upstream = Upstream::default();
    let config = provider(
        "name = 'lab'\nbase_url = 'http://lab.test/openai/'\napi_key_env = 'PATH'\n\
         headers = { X-Team = 'infra' }\nexclude = ['*-x']\nprefix = false",
    );
    let layer = layer([upstream.provider(&config, 200, "a meta/b-x c/d")]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["a", "c/d"]);

    let seen = upstream.seen();
    let (uri, headers) = &seen[0];
    assert_eq!(uri, "http://lab.test/openai/models");
    assert_eq!(headers["x-team"], "infra");
    let key = format!("Bearer {}", std::env::var("PATH").unwrap());
    assert_eq!(headers["authorization"], key);
    assert!(headers["authorization"].is_sensitive() && headers["x-team"].is_sensitive());
    assert_eq!(seen.len(), 1);

    let map = config.header_map().unwrap();
    assert_eq!(map["authorization"], key);
    assert_eq!(map["x-team"], "infra");
    assert!(map.values().all(http::HeaderValue::is_sensitive));
}

#[tokio::test]
async fn declared_models_are_fallback_of_provider() {
    let upstream = Upstream::default();
    let config = provider("name = 'lab'\nmodels = ['declared', 'hidden']\nexclude = ['hid*']");
    let layer = layer([upstream.provider(&config, 404, "")]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(list(&layer).await, ["lab/declared"]);
    assert_eq!(upstream.seen()[0].0, "/v1/models");
}

#[tokio::test(start_paused = true)]
async fn zero_interval_fetches_on_every_request() {
    for (text, calls) in [
        ("refresh_interval_secs = 0", 3),
        ("refresh_interval_secs = 300", 1),
        ("", 1),
    ] {
        let upstream = Upstream::default();
        let lab = upstream.provider(&provider("name = 'lab'"), 200, "a");
        let builder = read(text).unwrap().builder().unwrap();
        let layer = builder.provider(lab).build().unwrap();
        for _ in 0..3 {
            assert_eq!(list(&layer).await, ["lab/a"]);
        }
        assert_eq!(upstream.seen().len(), calls, "{text}");
    }
}

#[test]
fn debug_output_of_config_hides_credentials() {
    let config = read(
        "[[providers]]\nname = 'a'\nbase_url = 'https://u:hunter2@a.test/hunter2'\n\
         models_path = '/m?key=hunter2'\napi_key_env = 'sk-hunter2'\nheaders = { x-team = 'hunter2' }",
    )
    .unwrap();
    let shown = format!("{config:?} {config:#?}");
    assert!(
        shown.contains("ProviderConfig") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert_eq!(
        config.providers[0].headers["x-team"],
        Secret::new("hunter2")
    );
}

#[tokio::test]
async fn overrides_replace_provider_facts_per_field() {
    let layer = build(
        "[[providers]]\nname = 'lab'\nprefix = false\nmodels = ['qwen-3', 'QWEN-3', 'other']\n\
         [[overrides]]\nmodels = ['lab/qwen*', 'none/*']\ndisplay_name = 'Qwen'\nfamily = 'qwen'\n\
         context_length = 32768\nmax_input_tokens = 10000\nmax_output_tokens = 8192\n\
         input = ['text', 'image']\noutput = ['text']\ncapabilities = { tools = true, reasoning = false }\n\
         open_weights = true\npricing = { prompt = '2e-7', completion = '0.0000008' }\n\
         deprecation_date = '2027-03-01'\n\
         [[overrides]]\nmodels = ['lab/*']\ncontext_length = 16384\npricing = { prompt = '0.1' }\n\
         [[overrides]]\nmodels = ['*/other']\ndeprecated = true",
    )
    .unwrap();
    let record = async |id: &str| {
        let response = send(&layer, get(&format!("/v1/models/{id}"))).await;
        serde_json::from_slice::<serde_json::Value>(response.body()).unwrap()
    };
    let all = serde_json::json!({"id": "qwen-3", "object": "model", "created": 0,
        "owned_by": "lab", "name": "Qwen", "family": "qwen", "context_length": 16384,
        "max_input_tokens": 10000, "max_output_tokens": 8192, "open_weights": true,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "capabilities": {"tools": true, "reasoning": false},
        "pricing": {"prompt": "0.1", "completion": "0.0000008"},
        "deprecation_date": "2027-03-01"});
    assert_eq!(record("qwen-3").await, all);
    let other = record("other").await;
    assert_eq!(
        (&other["deprecated"], &other["family"]),
        (&true.into(), &().into())
    );
    assert!(record("QWEN-3").await["family"].is_null());
}

/// Invariant 16: an override that matches no model is in the status.
#[test]
fn status_counts_models_per_override() {
    let layer = build(
        "[aliases]\nbest = 'lab/qwen-3'\n\
         [[providers]]\nname = 'lab'\nprefix = false\nmodels = ['qwen-3', 'qwen-4', 'other']\n\
         [[providers]]\nname = 'attic'\nmodels = ['qwen-3']\n\
         [[overrides]]\nmodels = ['lab/qwen*', 'attic/*']\nfamily = 'a'\n\
         [[overrides]]\nmodels = ['qwen*']\nfamily = 'b'\n\
         [[overrides]]\nmodels = ['best']\nfamily = 'c'\n\
         [[overrides]]\nmodels = ['*']\nfamily = 'd'",
    )
    .unwrap();
    let status = layer.cache().status();
    let matched: Vec<_> = (status.overrides.iter())
        .map(|over| (over.models.join(" "), over.matched))
        .collect();
    let expected = [
        ("lab/qwen* attic/*", 3),
        ("qwen*", 0),
        ("best", 0),
        ("*", 4),
    ];
    assert_eq!(
        matched,
        expected.map(|(models, matched)| (models.to_owned(), matched))
    );
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(
        json["overrides"][1],
        serde_json::json!({"models": ["qwen*"], "matched": 0})
    );
}

#[test]
fn error_names_invalid_override_and_value() {
    for (line, field, value) in [
        ("context_length = 0", "context_length", "0"),
        ("max_input_tokens = 0", "max_input_tokens", "0"),
        (
            "max_output_tokens = 9000000000000",
            "max_output_tokens",
            "9000000000000",
        ),
        ("display_name = ''", "display_name", r#""""#),
        ("family = \"a\\u202e\"", "family", r#""a\u{202e}""#),
        ("input = ['text', 'smell']", "input", r#""smell""#),
        ("output = ['taste']", "output", r#""taste""#),
        (
            "capabilities = { flies = true }",
            "capabilities",
            r#""flies""#,
        ),
        ("pricing = { prompt = '-1' }", "pricing.prompt", r#""-1""#),
        ("pricing = { image = 'free' }", "pricing.image", r#""free""#),
        ("deprecated = false", "deprecated", "false"),
        ("deprecation_date = 'soon'", "deprecation_date", r#""soon""#),
    ] {
        let good = "[[overrides]]\nmodels = ['a/*']\n";
        let error = build(&format!("{good}open_weights = true\n{good}{line}")).unwrap_err();
        let expected = format!("overrides[1].{field} is {value}, expected ");
        assert!(error.starts_with(&expected), "{error}");
    }
    for (models, value) in [("[]", "[]"), ("['ok', '[a']", r#""[a""#), ("['']", r#""""#)] {
        let error = build(&format!("[[overrides]]\nmodels = {models}")).unwrap_err();
        assert!(
            error.starts_with(&format!("overrides[0].models is {value}")),
            "{error}"
        );
    }
    for bad in [
        "",
        "models = 'a'",
        "models = ['a/*']\nprice = 1",
        "models = ['a/*']\ncontext_length = -1",
    ] {
        assert!(read(&format!("[[overrides]]\n{bad}")).is_err(), "{bad}");
    }
}

#[cfg(feature = "catalog")]
#[tokio::test]
async fn catalog_is_read_from_named_file() {
    let folder = std::env::temp_dir().join(format!("models-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("api.json");
    let text = r#"{"star":{"models":{"a":{"family":"star"}}}}"#;
    std::fs::write(&file, text).unwrap();
    for (catalog, expected) in [
        ("catalog = 'star'", Some("star")),
        ("catalog = 'off'", None),
        ("", None),
    ] {
        let layer = build(&format!(
            "[catalog]\nfile = {file:?}\nrefresh_interval = '10m'\ntimeout = '2s'\n\
             [[providers]]\nname = 'lab'\nmodels = ['a']\n{catalog}"
        ))
        .unwrap();
        layer.cache().refresh_catalog().await.unwrap();
        let snapshot = layer.cache().snapshot();
        assert_eq!(snapshot.get("lab/a").unwrap().model().family(), expected);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(feature = "catalog")]
#[test]
fn error_names_invalid_catalog() {
    for (text, field) in [
        (
            "[catalog]\nfile = 'a'\nbase_url = 'https://a.test'",
            "catalog.file",
        ),
        (
            "[catalog]\nfile = 'a'\nrefresh_interval = '0s'",
            "catalog.refresh_interval",
        ),
        ("[catalog]\nbase_url = 'a.test'", "catalog.base_url"),
        (
            "[[providers]]\nname = 'lab'\nmodels = ['a']\ncatalog = ''",
            "providers.lab.catalog",
        ),
    ] {
        let error = build(text).unwrap_err();
        assert!(error.starts_with(&format!("{field} is ")), "{error}");
    }
    assert!(build("[catalog]").is_ok());
    assert!(read("[catalog]\nurl = 'a'").is_err());
}
