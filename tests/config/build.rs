//! What cannot work is an error when the layer is built, which names field, value
//! and what would be accepted.

use std::time::Duration;

use crate::support::{Script, ask, get};
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use tower_models_cache::{
    AccessToken, BuildError, Builder, ClientDialect, CustomDialect, Dialect, ExtraFields,
    ListError, Model, ModelPage, Provider, Secret, StaticModelsCacheLayer,
};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const TOO_LONG: Duration = Duration::from_secs(365 * 24 * 3600 + 1);
const TOO_SHORT: Duration = Duration::from_micros(999);
const MILLISECOND: Duration = Duration::from_millis(1);

fn builder() -> Builder {
    StaticModelsCacheLayer::builder()
}

fn lab(name: &str) -> Provider {
    Provider::source(name, Script::always(["a"]))
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
fn durations_that_are_nothing_or_absurd_are_refused() {
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
                "max_stale" if good == MILLISECOND => continue, // no interval is shorter
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
fn bounds_of_nothing_or_of_more_than_is_possible_are_refused() {
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
fn names_that_could_not_be_a_prefix_are_refused() {
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
fn a_name_that_another_provider_has_is_refused() {
    for other in [lab("lab"), http("lab"), Provider::fixed("lab", [])] {
        let twice = builder().providers([lab("lab"), lab("other"), other]);
        refused(twice, "providers.name", r#""lab""#, "no other provider");
    }
    accepted(builder().providers([lab("lab"), lab("Lab"), lab("lab2")]));
}

#[test]
fn a_providers_own_durations_are_checked_under_its_name() {
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
fn declared_models_that_cannot_be_listed_are_refused() {
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

/// A regression: what a provider without a list falls back to was looked at for
/// the first time when it was needed, and never listed then.
#[test]
fn a_fallback_that_cannot_be_listed_is_refused() {
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
fn addresses_that_cannot_be_asked_are_refused_without_being_told() {
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

/// A regression: the list was requested below them, and 404 for ever.
#[test]
fn a_base_url_that_is_an_endpoint_is_refused() {
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

/// A regression: the path that begins with the other's text was never served.
#[tokio::test]
async fn two_paths_that_begin_alike_are_both_served() {
    let mounts = ["/v1/models", "/v1/models-mine"];
    for paths in [mounts, [mounts[1], mounts[0]]] {
        let house = Provider::fixed("house", [Model::new("a")]);
        let layer = builder().provider(house).paths(paths).build().unwrap();
        for path in paths {
            assert_eq!(ask(&layer, get(path)).await.status(), 200, "{path}");
            let model = ask(&layer, get(&format!("{path}/house/a"))).await;
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
            refused(set(builder(), [bad]), field, &value, "matched literally");
        }
    }
    accepted(builder().paths(["/v1:beta/models", "/v1/models;x=(1)"]));
}

#[test]
fn paths_that_name_nothing_or_collide_are_refused() {
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
fn spawning_outside_of_a_runtime_is_an_error_and_building_is_not() {
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
fn a_list_that_would_age_before_it_is_renewed_is_refused() {
    let day = Duration::from_secs(24 * 3600);
    let text = "more than the refresh interval of 86400s";
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

/// A regression: a key on a source was dropped without a word.
#[test]
fn a_setter_of_http_providers_on_another_kind_is_refused() {
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
                tower_models_cache::AwsCredentials::from_env()
            })
        }),
        #[cfg(feature = "client")]
        ("allow_plain_http_key", |p| p.allow_plain_http_key(true)),
    ];
    for (setter, set) in setters {
        let field = format!("providers.lab.{setter}");
        for provider in [lab("lab"), Provider::fixed("lab", [Model::new("a")])] {
            // The first one is named.
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
fn a_setting_of_fetches_on_a_declared_list_is_refused() {
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
fn the_address_of_a_catalogue_in_a_file_is_refused() {
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
fn further_fields_of_a_dialect_of_ones_own_are_refused() {
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
fn a_setting_without_effect_beside_the_others_is_refused() {
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
            "no dialect",
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
fn a_glob_as_the_name_of_an_alias_is_refused() {
    for bad in ["gpt-*", "*", "gpt-?", "{a,b}"] {
        let value = format!("{bad:?}");
        let alias = builder().alias(bad, "house/a");
        refused(alias, "aliases", &value, "globs are not matched");
    }
    accepted(builder().alias("opus[1m]", "house/opus[1m]"));
    // Some proxies list such ids.
    accepted(builder().alias("any", "litellm/openai/*"));
}

#[test]
fn an_override_without_a_fact_is_refused() {
    let over = builder().override_model("house/a", Model::description());
    refused(over, "overrides[0].facts", "empty", "at least one property");
}
