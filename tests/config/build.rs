//! An invalid setting is a build error that names the field, the value and what is accepted.

use std::time::Duration;

use crate::support::{ScriptedSource, get, send};
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use tower_models_cache::{
    BuildError, Builder, ClientDialect, Model, Provider, Secret, StaticModelsCacheLayer,
    error::ListError,
    provider::{AccessToken, CustomDialect, Dialect, ExtraFields, ModelPage},
};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const TOO_LONG: Duration = Duration::from_secs(365 * 24 * 3600 + 1);
const TOO_SHORT: Duration = Duration::from_micros(999);
const MILLISECOND: Duration = Duration::from_millis(1);

fn builder() -> Builder {
    StaticModelsCacheLayer::builder()
}

fn lab(name: &str) -> Provider {
    Provider::source(name, ScriptedSource::always(["a"]))
}

fn http(name: &str) -> Provider {
    let service = tower::service_fn(|_: Request<Empty<bytes::Bytes>>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
    });
    Provider::http(name, service)
}

#[track_caller]
fn refused(builder: Builder, field: &str, value: &str, expected: &str) {
    let error: BuildError = builder.clone().build().unwrap_err();
    assert_eq!(error.field(), field, "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{field} is ")), "{text}");
    assert!(text.contains(value), "{text} does not name {value}");
    assert!(text.contains(expected), "{text} does not name {expected}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let spawned = runtime.block_on(async { builder.spawn().unwrap_err() });
    assert_eq!(spawned, error);
}

#[track_caller]
fn accepted(builder: Builder) {
    let _ = builder.build().unwrap();
}

#[test]
fn zero_and_excessive_durations_are_refused() {
    type Set = fn(Builder, Duration) -> Builder;
    let settings: [(&str, Set); 5] = [
        ("refresh_interval", Builder::refresh_interval),
        ("miss_timeout", Builder::miss_timeout),
        ("fetch_timeout", Builder::fetch_timeout),
        ("backoff", Builder::backoff),
        ("max_stale", |builder, age| builder.max_stale(age)),
    ];
    for (field, set) in settings {
        for bad in [Duration::ZERO, TOO_SHORT, TOO_LONG, Duration::MAX] {
            let value = format!("{bad:?}");
            refused(set(builder(), bad), field, &value, "1 ms to 365 days");
        }
        for good in [MILLISECOND, YEAR] {
            let interval = builder().refresh_interval(MILLISECOND);
            let fits = match field {
                "refresh_interval" => interval.max_stale(None),
                "max_stale" if good == MILLISECOND => continue, // the interval cannot be shorter
                _ => interval,
            };
            accepted(set(fits, good));
        }
    }
    accepted(builder().max_stale(None));
    let value = format!("{TOO_LONG:?}");
    let asked = builder().max_retry_after(TOO_LONG);
    refused(asked, "max_retry_after", &value, "at most 365 days");
    accepted(builder().max_retry_after(Duration::ZERO));
    accepted(builder().max_retry_after(YEAR));
}

#[test]
fn zero_and_excessive_limits_are_refused() {
    let most = 1 << 30;
    for bad in [0, most + 1, usize::MAX] {
        let (value, expected) = (bad.to_string(), format!("1 to {most}"));
        refused(builder().max_bytes(bad), "max_bytes", &value, &expected);
        refused(builder().max_models(bad), "max_models", &value, &expected);
    }
    for good in [1, most] {
        accepted(builder().max_bytes(good).max_models(good));
    }
    for bad in [0, usize::MAX] {
        let fetches = builder().max_concurrent_fetches(bad);
        refused(fetches, "max_concurrent_fetches", &bad.to_string(), "1 to ");
    }
    accepted(builder().max_concurrent_fetches(1));
}

#[test]
fn names_unusable_as_prefix_are_refused() {
    let long = "x".repeat(129);
    for bad in [
        "",
        " ",
        " a",
        "a ",
        "a/b",
        "/",
        "a\nb",
        "a\0b",
        "\u{7f}",
        "\u{202e}a",
        &long,
    ] {
        for provider in [lab(bad), http(bad), Provider::fixed(bad, [Model::new("a")])] {
            let value = format!("{bad:?}");
            refused(
                builder().provider(provider),
                "providers.name",
                &value,
                "1 to 128 bytes",
            );
        }
    }
    for good in ["a", "a b", "ü", "\"", "a:b", "..", "%2F", &"x".repeat(128)] {
        accepted(builder().provider(lab(good)));
    }
}

#[test]
fn duplicate_provider_name_is_refused() {
    for other in [lab("lab"), http("lab"), Provider::fixed("lab", [])] {
        let twice = builder().providers([lab("lab"), lab("other"), other]);
        refused(twice, "providers.name", r#""lab""#, "no other provider");
    }
    accepted(builder().providers([lab("lab"), lab("Lab"), lab("lab2")]));
}

#[test]
fn provider_durations_are_validated_by_name() {
    for bad in [Duration::ZERO, TOO_SHORT, TOO_LONG, Duration::MAX] {
        for provider in [lab("lab"), http("lab")] {
            let value = format!("{bad:?}");
            for (provider, field) in [
                (
                    provider.clone().refresh_interval(bad),
                    "providers.lab.refresh_interval",
                ),
                (provider.timeout(bad), "providers.lab.timeout"),
            ] {
                refused(
                    builder().provider(provider),
                    field,
                    &value,
                    "1 ms to 365 days",
                );
            }
        }
    }
    let provider = lab("lab").refresh_interval(YEAR).timeout(MILLISECOND);
    accepted(builder().provider(provider).max_stale(None));
}

#[test]
fn unlistable_declared_models_are_refused() {
    let long = "x".repeat(513);
    for bad in ["", "a\nb", "\u{2066}a", &long] {
        let fixed = Provider::fixed("house", [Model::new("good"), Model::new(bad)]);
        let builder = builder().provider(fixed);
        refused(
            builder,
            "providers.house.models",
            "2",
            "ids of 1 to 512 bytes",
        );
    }
    let many = Provider::fixed("house", ["a", "b", "c"].map(Model::new));
    let few = builder().max_models(2).provider(many.clone());
    refused(few, "providers.house.models", "3", "at most 2 models");
    accepted(builder().max_models(3).provider(many));
    accepted(builder().provider(Provider::fixed("house", [Model::new("x".repeat(512))])));
    accepted(builder().provider(Provider::fixed("house", [])));
}

/// Regression: a fallback was validated only when it was needed, and an invalid one was never
/// listed.
#[test]
fn unlistable_fallback_is_refused() {
    for provider in [lab("lab"), http("lab")] {
        let provider = provider.fallback([Model::new("good"), Model::new("")]);
        let builder = builder().provider(provider);
        refused(
            builder,
            "providers.lab.fallback",
            "2",
            "ids of 1 to 512 bytes",
        );
    }
    accepted(builder().provider(lab("lab").fallback([Model::new("good")])));
}

#[test]
fn invalid_address_is_refused_without_echo() {
    let expected = "an absolute http or https URL";
    for (bad, value) in [
        ("", "not a URL"),
        ("https://a b/v1", "not a URL"),
        ("/v1", "not an absolute URL"),
        ("ftp://a.test/v1", "a URL with an unsupported scheme"),
    ] {
        let builder = builder().provider(http("lab").base_url(bad));
        refused(builder, "providers.lab.base_url", value, expected);
    }
    for (bad, value, expected) in [
        (
            "https://me:hunter2@a.test/v1",
            "a URL with userinfo",
            "set a header",
        ),
        (
            "https://a.test/v1?key=hunter2",
            "a URL with a query",
            "models_path",
        ),
    ] {
        let builder = builder().provider(http("lab").base_url(bad));
        let error = builder.clone().build().unwrap_err();
        assert!(!format!("{error} {error:?} {builder:?}").contains("hunter2"));
        refused(builder, "providers.lab.base_url", value, expected);
    }
    for (bad, expected) in [
        ("", "starts with a slash"),
        ("models", "starts with a slash"),
        ("/a b", "a valid path"),
    ] {
        let builder = builder().provider(http("lab").models_path(bad));
        let value = format!("{bad:?}");
        refused(builder, "providers.lab.models_path", &value, expected);
    }
    for (bad, shown) in [
        ("models?key=hunter2", r#""models?...""#),
        ("/a b?key=hunter2", r#""/a b?...""#),
        ("https://me:hunter2@a.test/models", r#""a URL""#),
    ] {
        let builder = builder().provider(http("lab").models_path(bad));
        let error = builder.clone().build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        refused(builder, "providers.lab.models_path", shown, "path");
    }
    let good = http("lab")
        .base_url("https://a.test/v1/")
        .models_path("/x?y=z");
    accepted(builder().provider(good));
}

/// Regression: the list was requested below an endpoint URL, which is always 404.
#[test]
fn endpoint_as_base_url_is_refused() {
    for end in [
        "/chat/completions",
        "/completions",
        "/messages",
        "/responses",
        "/embeddings",
        "/models",
    ] {
        for slash in ["", "/"] {
            let url = format!("https://a.test/hunter2/v1{end}{slash}");
            let builder = builder().provider(http("lab").base_url(url));
            let error = builder.clone().build().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            let value = format!("a URL that ends in {end}");
            let expected = format!("the base URL of the API, without {end}");
            refused(builder, "providers.lab.base_url", &value, &expected);
        }
    }
    let elsewhere = http("lab").base_url("https://a.test/models");
    accepted(builder().provider(elsewhere.models_path("/openai/list")));
}

/// Regression: a path that starts with another path's text was never served.
#[tokio::test]
async fn paths_with_common_prefix_are_both_served() {
    let mounts = ["/v1/models", "/v1/models-mine"];
    for paths in [mounts, [mounts[1], mounts[0]]] {
        let house = Provider::fixed("house", [Model::new("a")]);
        let layer = builder().provider(house).paths(paths).build().unwrap();
        for path in paths {
            assert_eq!(send(&layer, get(path)).await.status(), 200, "{path}");
            let model = send(&layer, get(&format!("{path}/house/a"))).await;
            assert_eq!(model.status(), 200, "{path}");
        }
    }
}

#[test]
fn paths_with_template_syntax_are_refused() {
    type Set = fn(Builder, [&'static str; 1]) -> Builder;
    let ollama = |builder: Builder, paths: [&'static str; 1]| {
        let all = [ClientDialect::OpenAi, ClientDialect::Ollama];
        builder.client_dialects(all).ollama_paths(paths)
    };
    let fields: [(&str, Set); 3] = [
        ("paths", Builder::paths),
        ("gemini_paths", Builder::gemini_paths),
        ("ollama_paths", ollama),
    ];
    for (field, set) in fields {
        for bad in [
            "/{version}/models",
            "/v1/models/{*id}",
            "/v1/*",
            "/:version/models",
            "/<version>/models",
            "/v[12]/models",
            "/v1/models|x",
        ] {
            let value = format!("{bad:?}");
            refused(set(builder(), [bad]), field, &value, "a literal path");
        }
    }
    accepted(builder().paths(["/v1:beta/models", "/v1/models;x=(1)"]));
}

#[test]
fn empty_and_colliding_paths_are_refused() {
    refused(builder().paths([""; 0]), "paths", "[]", "at least one path");
    for bad in ["", "v1/models", "/", "//", "/a b", "/a%20b", "/ü"] {
        let value = format!("{bad:?}");
        refused(
            builder().paths([bad]),
            "paths",
            &value,
            "begins with a slash",
        );
    }
    for bad in ["/a?key=hunter2", "/a#hunter2"] {
        let error = builder().paths([bad]).build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        refused(
            builder().paths([bad]),
            "paths",
            r#""/a?...""#,
            "without query",
        );
    }
    for (one, other) in [
        ("/v1/models", "/v1/models"),
        ("/v1/models", "/v1/models/"),
        ("/v1/models", "/v1/models/mine"),
        ("/v1/models/mine", "/v1/models"),
    ] {
        let value = format!("{other:?}");
        let expected = format!("collide with {one}");
        refused(builder().paths([one, other]), "paths", &value, &expected);
    }
    accepted(builder().paths([
        "/v1/models",
        "/v1/models-mine",
        "/models",
        "/api/v1/models/",
    ]));
}

#[test]
fn spawn_needs_a_runtime_and_build_does_not() {
    let error = builder().provider(lab("lab")).spawn().unwrap_err();
    assert_eq!(error.field(), "runtime");
    let text = error.to_string();
    assert!(
        text.contains("no tokio runtime") && text.contains("`build`"),
        "{text}"
    );
    let tracker = tokio_util::task::TaskTracker::new();
    let error = builder().spawn_on(&tracker).unwrap_err();
    assert_eq!(error.field(), "runtime");
    assert!(tracker.is_empty());
    accepted(builder().provider(lab("lab")));
}

#[test]
fn max_stale_below_interval_is_refused() {
    let day = Duration::from_secs(24 * 3600);
    let text = "more than 1.1 times the refresh_interval of 86400s";
    let default = builder().refresh_interval(day);
    refused(default, "max_stale", "86400s", text);
    accepted(builder().refresh_interval(day).max_stale(2 * day));
    accepted(builder().refresh_interval(day).max_stale(None));
    accepted(builder().max_stale(Duration::from_secs(1)).without_cache());
    let own = |age: Option<Duration>| {
        builder()
            .provider(lab("lab").refresh_interval(day))
            .max_stale(age)
    };
    let field = "providers.lab.refresh_interval";
    refused(
        own(Some(day)),
        field,
        "86400s",
        "less than max_stale, 86400s",
    );
    accepted(own(Some(2 * day)));
    accepted(own(None));
}

// ===== Settings without effect =====

/// Regression: a key on a source was dropped silently.
#[test]
fn http_setters_on_other_providers_are_refused() {
    type Set = fn(Provider) -> Provider;
    let setters: &[(&str, Set)] = &[
        ("dialect", |p| p.dialect(Dialect::Gemini)),
        ("base_url", |p| p.base_url("https://a.test")),
        ("models_path", |p| p.models_path("/m")),
        ("header", |p| {
            p.header(http::header::ACCEPT, HeaderValue::from_static("a"))
        }),
        ("bearer", |p| p.bearer(Secret::new("hunter2"))),
        ("api_key", |p| p.api_key(Secret::new("hunter2"))),
        ("secret_header", |p| {
            p.secret_header(http::header::COOKIE, Secret::new("hunter2"))
        }),
        ("token", |p| {
            p.token(|| async { Ok::<_, BuildError>(AccessToken::new("hunter2")) })
        }),
        ("extra_fields", |p| p.extra_fields(ExtraFields::All)),
        #[cfg(feature = "bedrock")]
        ("sigv4", |p| {
            p.sigv4("r", "s", || async {
                tower_models_cache::bedrock::AwsCredentials::from_env()
            })
        }),
        #[cfg(feature = "client")]
        ("allow_plain_http_key", |p| p.allow_plain_http_key(true)),
    ];
    for (setter, set) in setters {
        let field = format!("providers.lab.{setter}");
        for provider in [lab("lab"), Provider::fixed("lab", [Model::new("a")])] {
            // The error names the first setting.
            let set = set(provider).bearer(Secret::new("hunter2"));
            let value = "set for a provider that is not fetched over HTTP";
            let built = builder().provider(set.clone());
            assert!(!format!("{:?}", built.clone().build()).contains("hunter2"));
            refused(built, &field, value, "Provider::http");
            let cache = builder().build().unwrap().cache();
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let replaced = runtime.unwrap().block_on(cache.set_providers([set]));
            assert_eq!(replaced.unwrap_err().field(), field);
        }
    }
}

#[test]
fn fetch_settings_on_declared_list_are_refused() {
    type Set = fn(Provider) -> Provider;
    let setters: [(&str, Set); 3] = [
        ("fallback", |p| p.fallback([Model::new("b")])),
        ("refresh_interval", |p| p.refresh_interval(MILLISECOND)),
        ("timeout", |p| p.timeout(MILLISECOND)),
    ];
    for (setter, set) in setters {
        let fixed = set(Provider::fixed("lab", [Model::new("a")]));
        let field = format!("providers.lab.{setter}");
        let value = "set for a provider whose list is declared";
        refused(builder().provider(fixed), &field, value, "is fetched");
        accepted(builder().provider(set(lab("lab"))));
    }
    let fixed = Provider::fixed("lab", [Model::new("a")]);
    let fixed = fixed.display_name("Lab").catalog_id("x").prefix(false);
    accepted(builder().provider(fixed.filter(|_| true)));
}

#[cfg(feature = "catalog")]
#[test]
fn url_of_file_catalog_is_refused() {
    let catalog = tower_models_cache::Catalog::file("a.json").base_url("https://a.test");
    let value = "set for a provider that is not fetched over HTTP";
    refused(
        builder().catalog(catalog),
        "catalog.base_url",
        value,
        "http",
    );
}

#[test]
fn extra_fields_with_custom_dialect_are_refused() {
    struct Own;
    impl CustomDialect for Own {
        fn name(&self) -> &'static str {
            "own"
        }
        fn path(&self) -> &str {
            "/list"
        }
        fn read(&self, _: &[u8]) -> Result<ModelPage, ListError> {
            Ok(ModelPage::new([]))
        }
    }
    let custom = http("lab").dialect(Dialect::custom(Own));
    let extra = custom.clone().extra_fields(ExtraFields::None);
    let field = "providers.lab.extra_fields";
    refused(
        builder().provider(extra),
        field,
        "custom dialect",
        "a built-in dialect",
    );
    accepted(builder().provider(custom));
}

#[test]
fn settings_without_effect_are_refused() {
    let day = Duration::from_secs(24 * 3600);
    let only = |dialect: ClientDialect| builder().client_dialects([dialect]);
    let openai = ClientDialect::OpenAi;
    for (field, builder, value, expected) in [
        (
            "refresh_interval",
            builder().refresh_interval(MILLISECOND).without_cache(),
            "caching is off",
            "without_cache",
        ),
        (
            "allow_refresh",
            builder().without_cache().allow_refresh(|_| true),
            "caching is off",
            "without_cache",
        ),
        (
            "providers.lab.refresh_interval",
            builder()
                .without_cache()
                .provider(lab("lab").refresh_interval(day)),
            "caching is off",
            "without_cache",
        ),
        (
            "max_views",
            builder().max_views(5),
            "all models",
            "Builder::views",
        ),
        (
            "max_view_bytes",
            builder().max_view_bytes(5),
            "all models",
            "Builder::views",
        ),
        (
            "view_headers",
            builder().view_headers([http::header::COOKIE]),
            "all models",
            "Builder::views",
        ),
        (
            "gemini_paths",
            only(openai).gemini_paths(["/gemini"]),
            "gemini is off",
            "client_dialects",
        ),
        (
            "ollama_paths",
            builder().ollama_paths(["/ollama"]),
            "ollama is off",
            "client_dialects",
        ),
        (
            "paths",
            only(ClientDialect::Ollama).paths(["/list"]),
            "no enabled dialect",
            "client_dialects",
        ),
        (
            "codex_instructions",
            builder().codex_instructions("x"),
            "codex is off",
            "client_dialects",
        ),
    ] {
        refused(builder, field, value, expected);
    }
    let views = builder().views(|_| Ok(tower_models_cache::View::all()));
    accepted(views.max_views(5).max_view_bytes(5).view_headers([]));
    accepted(
        only(ClientDialect::Gemini)
            .gemini_paths(["/g"])
            .paths(["/l"]),
    );
    accepted(only(ClientDialect::Ollama).ollama_paths(["/o"]));
    accepted(
        only(ClientDialect::Codex)
            .codex_instructions("x")
            .paths(["/l"]),
    );
    accepted(builder().without_cache().provider(lab("lab")));
}

#[test]
fn glob_as_alias_name_is_refused() {
    for bad in ["gpt-*", "*", "gpt-?", "{a,b}"] {
        let value = format!("{bad:?}");
        let alias = builder().alias(bad, "house/a");
        refused(alias, "aliases", &value, "aliases do not support globs");
    }
    accepted(builder().alias("opus[1m]", "house/opus[1m]"));
    // Some proxies list such ids.
    accepted(builder().alias("any", "litellm/openai/*"));
}

#[test]
fn override_without_fact_is_refused() {
    let over = builder().override_model("house/a", Model::description());
    refused(over, "overrides[0].facts", "empty", "at least one property");
}
