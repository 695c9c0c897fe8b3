//! Real lists, as providers sent them: from the folder that `MODELS_CAPTURES` names.
//!
//! The captures are no part of the crate. Without the variable there is nothing to
//! read, and nothing is shown; `.ci/run` always sets it.

use std::{convert::Infallible, fs, path::PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower_models_cache::{ListErrorKind, Provider, StaticModelsCacheLayer};

/// What a capture comes to: so many models, less so many duplicates, or a failure.
type Expected = Result<(usize, usize), ListErrorKind>;

const CAPTURES: &[(&str, Expected)] = &[
    ("anthropic/models_2026-02-10.json", Ok((10, 0))),
    ("anthropic/models_2026-08-05.json", Ok((11, 0))),
    ("azure/openai_v1_models_2026-02-10.json", Ok((265, 2))),
    ("bedrock/mantle_models_2026-08-19.json", Ok((48, 0))),
    ("deepgram/models_2026.json", Err(ListErrorKind::NotAList)),
    ("deepseek/models_2026-02-10.json", Ok((2, 0))),
    (
        "gpustack/error_401_2026-02-10.json",
        Err(ListErrorKind::NotAList),
    ),
    ("groq/models_2026-08.json", Ok((14, 0))),
    ("litellm/v1_models_2025-07.json", Ok((1, 0))),
    ("llamacpp/v1_models_2025-02.json", Ok((1, 0))),
    ("lmstudio/api_v0_models_2025-07.json", Ok((1, 0))),
    ("lmstudio/v1_models_2025-11.json", Ok((4, 0))),
    ("mistral/models_2026-02-10.json", Ok((57, 2))),
    ("ollama/v1_models_2026-02-10.json", Ok((3, 0))),
    ("openai/models_2026-02-10.json", Ok((119, 0))),
    ("openai/models_2026-08-04.json", Ok((132, 0))),
    ("openai/models_2026-08-05.json", Ok((132, 0))),
    ("openrouter/models_2026-02-10.json", Ok((344, 0))),
    (
        "openrouter/models_all_modalities_2026-08-04.json",
        Ok((456, 0)),
    ),
    ("tgi/v1_models_2024-08.json", Ok((1, 0))),
    ("xai/models_2026-02-10.json", Ok((13, 0))),
];

fn captures() -> Option<PathBuf> {
    std::env::var_os("MODELS_CAPTURES").map(PathBuf::from)
}

fn layer(body: Vec<u8>) -> StaticModelsCacheLayer {
    let body = Bytes::from(body);
    let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
        let body = body.clone();
        async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
    });
    StaticModelsCacheLayer::builder()
        .provider(Provider::http("captured", service))
        .build()
        .expect("the settings are good")
}

#[tokio::test]
async fn every_captured_list_of_openai_form_is_read_whole() {
    let Some(folder) = captures() else { return };
    for (file, expected) in CAPTURES {
        let body = fs::read(folder.join(file)).expect(file);
        let cache = layer(body).cache();
        let outcome = cache.refresh_provider("captured").await;
        let status = cache.status().providers.remove(0);
        match expected {
            Ok((models, duplicates)) => {
                outcome.expect(file);
                assert_eq!(status.duplicates, *duplicates, "{file}");
                assert_eq!(status.models, models - duplicates, "{file}");
                assert_eq!(status.skipped, 0, "{file}");
            }
            Err(kind) => assert_eq!(outcome.expect_err(file).kind(), *kind, "{file}"),
        }
    }
}

#[tokio::test]
async fn a_captured_list_that_breaks_off_is_no_list() {
    let Some(folder) = captures() else { return };
    for (file, expected) in CAPTURES.iter().filter(|(_, expected)| expected.is_ok()) {
        let mut body = fs::read(folder.join(file)).expect(file);
        while body.last().is_some_and(u8::is_ascii_whitespace) {
            body.pop();
        }
        for end in [body.len() - 1, body.len() / 2, 1] {
            let cache = layer(body[..end].to_vec()).cache();
            let outcome = cache.refresh_provider("captured").await;
            let kind = outcome.expect_err(file).kind();
            assert_eq!(kind, ListErrorKind::NotJson, "{file} {expected:?}");
        }
    }
}
