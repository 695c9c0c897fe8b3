//! `Accept-Encoding` and `Accept` (RFC 9110, section 12.5), in process, over HTTP/1.1 and over
//! HTTP/2; and when compressed lists appear and are dropped.

use crate::support;
use crate::support::net;
use std::{collections::HashSet, future::Future, sync::mpsc};

use crate::support::transports::{
    CODINGS, Transports, VARY, VARY_BY_DIALECT, coding, decode, decoded, encoded, error_code,
    house, list_under, only,
};
use crate::support::{ScriptedSource, get, send};
use http::{StatusCode, header};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, model::ModelList};

/// Field lines, the expected coding if the list is served, and the rule.
type Row = (&'static [&'static [u8]], Option<&'static str>, &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&[], Some("identity"), "no header"),
    (&[b""], Some("identity"), "empty header"),
    (&[b"br"], Some("br"), "br"),
    (&[b"zstd"], Some("zstd"), "zstd"),
    (&[b"gzip"], Some("gzip"), "gzip"),
    (&[b"x-gzip"], Some("gzip"), "alias of gzip"),
    (&[b"BR"], Some("br"), "case-insensitive"),
    (&[b"identity"], Some("identity"), "identity"),
    (&[b"deflate, compress, x"], Some("identity"), "unknown codings"),
    (&[b"gzip, deflate"], Some("gzip"), "an old client"),
    (&[b"gzip, deflate, br"], Some("br"), "an older browser"),
    (&[b"gzip, deflate, br, zstd"], Some("br"), "a browser"),
    (&[b"gzip, deflate, zstd"], Some("zstd"), "the best accepted coding"),
    (&[b"br;q=0.5, gzip;q=0.8"], Some("gzip"), "the weight decides"),
    (&[b"br;q=0.5, gzip"], Some("gzip"), "the default weight is 1"),
    (&[b"br;q=0.5, gzip;q=0.500"], Some("br"), "the smaller body among equal weights"),
    (&[b"br;q=0.998, zstd;q=0.999"], Some("zstd"), "three decimal places"),
    (&[b"br ; q=0.1 ,\tgzip\t;\tQ=0.2"], Some("gzip"), "whitespace and an upper-case Q"),
    (&[b"br;q=0, gzip"], Some("gzip"), "zero refuses"),
    (&[b"br;q=0.000, zstd;q=0., gzip;q=0.0"], Some("identity"), "every coding refused but identity"),
    (&[b"gzip;q=0.001"], Some("gzip"), "the smallest weight"),
    (&[b"*"], Some("br"), "any coding"),
    (&[b"*;q=0.1"], Some("br"), "with a small weight"),
    (&[b"br;q=0, *"], Some("zstd"), "the best of the rest"),
    (&[b"gzip, *;q=0.5"], Some("gzip"), "a name takes precedence over *"),
    (&[b"gzip, *;q=0"], Some("gzip"), "only the named coding"),
    (&[b"identity;q=0.5, gzip;q=0.2"], Some("identity"), "identity has a weight when named"),
    (&[b"identity;q=0.5, *;q=0.2"], Some("identity"), "identity takes precedence over *"),
    (&[b"identity;q=0, gzip;q=0.1"], Some("gzip"), "identity refused"),
    (&[b"identity;q=0, *"], Some("br"), "anything but identity"),
    (&[b"*;q=0, identity"], Some("identity"), "only identity"),
    (&[b"*;q=0, identity;q=0.001"], Some("identity"), "with a small weight"),
    (&[b"gzip", b"br"], Some("br"), "field lines form one list"),
    (&[b"gzip;q=0.5", b"", b"br;q=0.4"], Some("gzip"), "on three lines"),
    (&[b"br", b"*;q=0"], Some("br"), "a refusal on another line"),
    // Malformed members are ignored.
    (&[b"br;q=2, gzip"], Some("gzip"), "a weight above one"),
    (&[b"br;q=0.1234, gzip;q=0.1"], Some("gzip"), "a weight with four decimal places"),
    (&[b"br;q=x, gzip;q=0.1"], Some("gzip"), "an invalid weight"),
    (&[b"br;level=11, gzip;q=0.1"], Some("gzip"), "an unknown parameter"),
    (&[b"\"br\", b r, br\xff, gzip;q=0.1"], Some("gzip"), "invalid names"),
    (&[b"identity;q=zero"], Some("identity"), "an invalid refusal"),
    (&[b",;,;q=0,,"], Some("identity"), "only separators"),
    // Nothing is acceptable.
    (&[b"*;q=0"], None, "everything refused"),
    (&[b"identity;q=0"], None, "identity refused, no other coding accepted"),
    (&[b"identity;q=0, deflate"], None, "only an unknown coding"),
    (&[b"identity;q=0, *;q=0"], None, "refused twice"),
    (&[b"br;q=0, gzip;q=0, zstd;q=0, identity;q=0"], None, "refused one by one"),
    (&[b"identity;q=0", b"br;q=0", b"x"], None, "refused on several lines"),
];

fn accepting<'a>(lines: &[&'a [u8]]) -> Vec<(&'static str, &'a [u8])> {
    lines
        .iter()
        .map(|line| ("accept-encoding", *line))
        .collect()
}

#[tokio::test]
async fn accept_encoding_follows_rfc_9110() {
    let layer = house();
    encoded(&layer).await;
    let identity = layer.cache().snapshot().body();
    let mut transports = Transports::of(&layer).await;
    for (lines, expected, why) in TABLE {
        let response = transports
            .get_and_head("/v1/models", &accepting(lines))
            .await;
        assert_eq!(only(response.headers(), "vary"), VARY, "{why}");
        let Some(expected) = expected else {
            assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE, "{why}");
            assert_eq!(error_code(&response), "not_acceptable");
            continue;
        };
        assert_eq!(response.status(), StatusCode::OK, "{why}");
        assert_eq!(coding(response.headers()), *expected, "{why}");
        assert!(decoded(&response) == identity, "{why}");
    }
}

#[tokio::test]
async fn each_coding_has_own_etag_and_is_smaller() {
    let layer = house();
    encoded(&layer).await;
    let identity = layer.cache().snapshot();
    let mut tags = HashSet::new();
    for name in CODINGS {
        let response = list_under(&layer, name).await;
        assert_eq!(coding(response.headers()), name);
        assert!(decoded(&response) == identity.body());
        let smaller = response.body().len() < identity.body().len() / 2;
        assert_eq!(smaller, name != "identity", "{name}");
        let etag = only(response.headers(), "etag").to_owned();
        assert_eq!(etag == identity.etag(), name == "identity");
        assert!(tags.insert(etag), "{name} has the tag of another coding");
    }
}

#[tokio::test]
async fn models_and_errors_are_never_encoded() {
    let layer = house();
    encoded(&layer).await;
    let mut transports = Transports::of(&layer).await;
    for (lines, _, why) in TABLE {
        for (path, status) in [
            ("/v1/models/house/small", StatusCode::OK),
            ("/v1/models/nothing", StatusCode::NOT_FOUND),
        ] {
            let response = transports.get_and_head(path, &accepting(lines)).await;
            assert_eq!(response.status(), status, "{path}: {why}");
            assert_eq!(coding(response.headers()), "identity", "{path}: {why}");
            let vary = response.headers().get(header::VARY);
            let by_dialect = (status == StatusCode::OK).then_some(VARY_BY_DIALECT);
            assert_eq!(vary.map(|vary| vary.to_str().unwrap()), by_dialect, "{why}");
        }
    }
}

#[tokio::test]
async fn accept_and_accept_language_are_ignored() {
    let layer = house();
    let mut transports = Transports::of(&layer).await;
    for path in ["/v1/models", "/v1/models/house/small", "/v1/models/nothing"] {
        let plain = transports.get(path, &[]).await;
        for headers in [
            &[("accept", &b"text/html"[..])][..],
            &[("accept", b"text/html;q=1, application/json;q=0")],
            &[("accept", b"*/*;q=0")],
            &[("accept", b"\xff, ;;")],
            &[("accept", b"text/event-stream"), ("accept", b"image/*")],
            &[("accept-language", b"xx"), ("accept-charset", b"utf-7")],
            &[("te", b"trailers"), ("accept-ranges", b"none")],
        ] {
            let response = transports.get_and_head(path, headers).await;
            assert_eq!(response.status(), plain.status(), "{path} {headers:?}");
            assert_eq!(response.headers(), plain.headers(), "{path} {headers:?}");
            assert!(response.body() == plain.body(), "{path} {headers:?}");
        }
    }
}

/// A layer whose list has exactly this many bytes.
async fn of_length(bytes: usize) -> StaticModelsCacheLayer {
    let model = |padding| Model::new("x").with_extra("o", "o".repeat(padding));
    let of = |padding| {
        StaticModelsCacheLayer::builder()
            .provider(Provider::fixed("p", [model(padding)]))
            .build()
            .unwrap()
    };
    let layer = of(bytes - of(0).cache().snapshot().body().len());
    assert_eq!(layer.cache().snapshot().body().len(), bytes);
    layer
}

/// A list below 1 KiB has one representation, which is sent whatever `Accept-Encoding` says (RFC
/// 9110, section 12.5, lets a server disregard a preference).
#[tokio::test]
async fn list_below_1_kib_is_not_encoded() {
    for (layer, negotiated) in [
        (of_length(1023).await, false),
        (of_length(1024).await, true),
    ] {
        if negotiated {
            encoded(&layer).await;
        }
        let mut transports = Transports::of(&layer).await;
        for (lines, expected, why) in TABLE {
            let response = transports
                .get_and_head("/v1/models", &accepting(lines))
                .await;
            let vary = if negotiated { VARY } else { VARY_BY_DIALECT };
            assert_eq!(only(response.headers(), "vary"), vary, "{why}");
            if negotiated && expected.is_none() {
                assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
                continue;
            }
            let expected = expected.filter(|_| negotiated).unwrap_or("identity");
            assert_eq!(coding(response.headers()), expected, "{why}");
            assert!(decoded(&response) == layer.cache().snapshot().body());
        }
    }
}

// ===== Lifetime of compressed lists =====

/// A runtime with one blocking thread, which can be occupied so that nothing is compressed.
fn with_one_blocking_thread<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(net::within(test))
}

/// No compression starts while this is alive.
struct Held(#[allow(dead_code, reason = "is there to be dropped")] mpsc::Sender<()>);

async fn hold() -> Held {
    let (let_go, held) = mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = held.recv();
    });
    begins.await.unwrap();
    Held(let_go)
}

fn list_of(ids: impl IntoIterator<Item = String>) -> Provider {
    Provider::fixed("p", ids.into_iter().map(Model::new))
}

fn generation(n: usize) -> Provider {
    list_of((0..40).map(|model| format!("model-{model}-of-{n}")))
}

fn built(providers: impl IntoIterator<Item = Provider>) -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .providers(providers)
        .build()
        .unwrap()
}

/// Checks that the list under every coding is that of the snapshot, and returns the available
/// codings.
async fn codings_of(layer: &StaticModelsCacheLayer) -> [String; 4] {
    let mut codings = CODINGS.map(String::from);
    for name in &mut codings {
        let response = list_under(layer, name).await;
        assert_eq!(only(response.headers(), "vary"), VARY);
        assert!(decoded(&response) == layer.cache().snapshot().body());
        *name = coding(response.headers()).to_owned();
    }
    codings
}

#[test]
fn identity_is_sent_until_compressed() {
    with_one_blocking_thread(async {
        let held = hold().await;
        let layer = built([generation(1)]);
        let mut transports = Transports::of(&layer).await;
        for (lines, _, why) in TABLE {
            let response = transports
                .get_and_head("/v1/models", &accepting(lines))
                .await;
            assert_eq!(coding(response.headers()), "identity", "{why}");
            assert_eq!(only(response.headers(), "vary"), VARY, "{why}");
            assert!(
                decoded(&response) == layer.cache().snapshot().body(),
                "{why}"
            );
        }
        drop(held);
        encoded(&layer).await;
        assert_eq!(codings_of(&layer).await, CODINGS);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encodings_become_available_together() {
    for round in 0..20 {
        let layer = built([generation(round)]);
        net::within(async {
            loop {
                let mut there = Vec::new();
                for name in ["br", "zstd", "gzip"]
                    .into_iter()
                    .cycle()
                    .skip(round)
                    .take(3)
                {
                    let response = list_under(&layer, name).await;
                    let is_encoded = coding(response.headers()) == name;
                    // They may appear between two requests, but only together.
                    assert!(is_encoded || !there.contains(&true), "{name} is missing");
                    there.push(is_encoded);
                }
                if !there.contains(&false) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[test]
fn new_list_drops_old_encodings() {
    with_one_blocking_thread(async {
        let layer = built([generation(1)]);
        encoded(&layer).await;
        let old = list_under(&layer, "gzip").await;
        assert_eq!(coding(old.headers()), "gzip");
        let held = hold().await;
        let cache = layer.cache();
        cache.set_providers([generation(2)]).await.unwrap();
        assert_eq!(codings_of(&layer).await, ["identity"; 4]);
        let response = list_under(&layer, "gzip").await;
        assert!(decode("gzip", old.body()) != *response.body());
        drop(held);
        encoded(&layer).await;
        assert_eq!(codings_of(&layer).await, CODINGS);
    });
}

#[test]
fn late_encodings_of_old_list_are_discarded() {
    with_one_blocking_thread(async {
        let held = hold().await;
        let layer = built([generation(1)]);
        assert_eq!(codings_of(&layer).await, ["identity"; 4]); // starts the compression
        let cache = layer.cache();
        cache.set_providers([generation(2)]).await.unwrap();
        drop(held);
        // The encodings of the first list complete first: `codings_of` checks which list they are
        // of.
        while codings_of(&layer).await != CODINGS {
            tokio::task::yield_now().await;
        }
        assert!(support::list(&layer).await[0].ends_with("-of-2"));
    });
}

#[test]
fn health_change_keeps_encodings_and_etags() {
    with_one_blocking_thread(async {
        let source = ScriptedSource::new(|call| async move {
            let models = (0..40).map(|n| Model::new(format!("model-{n}")));
            match call {
                2 => Err("down"),
                _ => Ok(ModelList::from_iter(models)),
            }
        });
        let layer = built([Provider::source("lab", source), generation(1)]);
        let cache = layer.cache();
        cache.refresh().await.unwrap();
        encoded(&layer).await;
        let mut before = Vec::new();
        for name in CODINGS {
            before.push(list_under(&layer, name).await);
        }
        // From here on nothing can be compressed.
        let _held = hold().await;
        for status in [
            "tower-models-cache; hit; detail=stale",
            "tower-models-cache; hit",
        ] {
            let failed = cache.refresh().await.is_err();
            assert_eq!(failed, status.ends_with("stale"));
            for (name, before) in CODINGS.into_iter().zip(&before) {
                let after = list_under(&layer, name).await;
                assert_eq!(only(after.headers(), "cache-status"), status);
                assert_eq!(coding(after.headers()), name);
                assert_eq!(after.headers()["etag"], before.headers()["etag"]);
                assert_eq!(
                    after.body().as_ptr(),
                    before.body().as_ptr(),
                    "the body is shared"
                );
            }
        }
    });
}

#[test]
fn model_is_served_during_compression() {
    with_one_blocking_thread(async {
        let _held = hold().await;
        let layer = built([generation(1)]);
        codings_of(&layer).await;
        let response = send(&layer, get("/v1/models/p/model-7-of-1")).await;
        assert!(decoded(&response).starts_with(br#"{"id":"p/model-7-of-1","#));
    });
}
