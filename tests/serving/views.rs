//! Views: a hook selects a view for each request, and a model outside of the view is
//! indistinguishable from an unknown one.

use crate::support;
use crate::support::dialects;
use crate::support::log;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::support::dialects::{error, ids, with_all_dialects};
use crate::support::{ScriptedSource, SharedList, builder, send, settle, timed};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::Empty;
use tower_models_cache::{
    Builder, ClientDialect, Model, Provider, StaticModelsCacheLayer, View,
    error::{BoxError, ListErrorKind},
};

const CALLER: HeaderName = HeaderName::from_static("x-caller");

/// Selects the view by a header, as an authentication layer would.
fn hook(request: &Parts) -> Result<View, BoxError> {
    let caller = request.headers.get(CALLER);
    Ok(match caller.map(|caller| caller.to_str().unwrap()) {
        None | Some("all") => View::all(),
        Some("none") => View::none(),
        Some("denied") => View::denied(StatusCode::FORBIDDEN),
        Some("stranger") => View::denied(StatusCode::UNAUTHORIZED),
        Some("house") => View::named("house", |model| model.provider() == "house"),
        Some("lab") => View::named("lab", |model| model.provider() == "lab"),
        Some("small") => View::named("small", |model| model.model().id() == "small"),
        Some("panic") => panic!("a message with sk-secret"),
        Some("broken") => View::named("broken", |_| panic!("a message with sk-secret")),
        Some(_) => return Err("a message with sk-secret".into()),
    })
}

fn providers() -> [Provider; 2] {
    [
        Provider::fixed("house", ["large", "small"].map(Model::new)),
        Provider::fixed("lab", ["small", "tiny"].map(Model::new)),
    ]
}

fn viewed(builder: Builder) -> StaticModelsCacheLayer {
    let builder = with_all_dialects(builder)
        .views(hook)
        .view_headers([CALLER]);
    builder.build().unwrap()
}

fn by(caller: &'static str, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    let caller = HeaderValue::from_static(caller);
    request.headers_mut().insert(CALLER, caller);
    request
}

fn sorted<S: Ord>(mut all: Vec<S>) -> Vec<S> {
    all.sort();
    all
}

#[tokio::test]
async fn caller_sees_its_view_in_every_dialect() {
    let layer = viewed(builder(providers()));
    for (caller, expected) in [
        (
            "all",
            &["house/large", "house/small", "lab/small", "lab/tiny"][..],
        ),
        ("none", &[]),
        ("house", &["house/large", "house/small"]),
        ("small", &["house/small", "lab/small"]),
    ] {
        for dialect in dialects::ALL {
            let response = send(&layer, by(caller, dialects::whole_list(dialect))).await;
            assert_eq!(response.status(), 200);
            let seen = sorted(ids(dialect, response.body()));
            assert_eq!(seen, expected, "{caller} {dialect:?}");
        }
        for dialect in dialects::WITH_MODELS {
            for id in ["house/large", "house/small", "lab/small", "lab/tiny"] {
                let response = send(&layer, by(caller, dialects::model(dialect, id))).await;
                let status = if expected.contains(&id) { 200 } else { 404 };
                assert_eq!(response.status(), status, "{caller} {dialect:?} {id}");
            }
        }
    }
}

#[tokio::test]
async fn view_hook_sees_request_extensions() {
    #[derive(Clone)]
    struct Team(View);
    let layer = builder(providers())
        .views(|request| {
            let team = request
                .extensions
                .get::<Team>()
                .ok_or("not authenticated")?;
            Ok(team.0.clone())
        })
        .build()
        .unwrap();
    let team = Team(View::named("lab", |model| model.provider() == "lab"));
    let app = axum::Router::new()
        .layer(layer)
        .layer(axum::Extension(team));
    let request = Request::get("/v1/models").body(axum::body::Body::empty());
    let response = tower::ServiceExt::oneshot(app, request.unwrap())
        .await
        .unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(support::ids(&body.to_bytes()), ["lab/small", "lab/tiny"]);
}

#[tokio::test]
async fn model_has_same_bytes_in_every_view() {
    let layer = viewed(builder(providers()));
    for dialect in dialects::ALL {
        let all = send(&layer, dialects::whole_list(dialect)).await;
        let all = dialects::records(dialect, all.body());
        let few = send(&layer, by("small", dialects::whole_list(dialect))).await;
        let few = dialects::records(dialect, few.body());
        assert!(few.len() == 2 && few.iter().all(|record| all.contains(record)));
        if dialects::WITH_MODELS.contains(&dialect) {
            let one = send(&layer, by("small", dialects::model(dialect, "lab/small"))).await;
            let own = send(&layer, dialects::model(dialect, "lab/small")).await;
            assert_eq!(one.headers(), own.headers(), "{dialect:?}");
            assert_eq!(one.body(), own.body(), "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn each_view_has_own_etag_and_vary() {
    let layer = viewed(builder(providers()));
    for dialect in dialects::ALL {
        let mut tags = Vec::new();
        for caller in ["all", "none", "house", "small"] {
            let response = send(&layer, by(caller, dialects::whole_list(dialect))).await;
            let vary = response.headers()["vary"].to_str().unwrap().to_owned();
            assert!(vary.split(", ").any(|name| name == "x-caller"), "{vary}");
            tags.push((caller, response.headers()["etag"].clone()));
        }
        for (caller, tag) in &tags {
            for (other, _) in &tags {
                let mut request = by(other, dialects::whole_list(dialect));
                request.headers_mut().insert("if-none-match", tag.clone());
                let status = send(&layer, request).await.status();
                let expected = if caller == other { 304 } else { 200 };
                assert_eq!(status, expected, "{caller}'s tag, {other}'s list");
            }
        }
    }
    // Without views, `Vary` does not name `authorization`.
    let layer = builder(providers()).build().unwrap();
    let response = send(&layer, dialects::whole_list(ClientDialect::OpenAi)).await;
    assert!(
        !response.headers()["vary"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
    // With views, `Vary` names `authorization` by default.
    let layer = builder(providers()).views(hook).build().unwrap();
    let response = send(&layer, dialects::whole_list(ClientDialect::OpenAi)).await;
    assert!(
        response.headers()["vary"]
            .to_str()
            .unwrap()
            .contains("authorization")
    );
}

#[tokio::test]
async fn denied_caller_gets_error_in_its_dialect() {
    let layer = viewed(builder(providers()));
    for (caller, status) in [("denied", 403), ("stranger", 401)] {
        for dialect in dialects::ALL {
            let mut requests = vec![dialects::whole_list(dialect)];
            if dialects::WITH_MODELS.contains(&dialect) {
                requests.push(dialects::model(dialect, "house/small"));
                requests.push(dialects::model(dialect, "no/such"));
            }
            for request in requests {
                let response = send(&layer, by(caller, request)).await;
                assert_eq!(response.status(), status);
                let challenge = response.headers().get("www-authenticate");
                assert_eq!(challenge.is_some(), status == 401);
                let (message, _) = error(dialect, &response);
                assert!(!message.contains("house") && !message.contains("no/such"));
                assert_eq!(response.headers()["cache-control"], "no-store");
            }
        }
    }
}

#[test]
#[should_panic(expected = "not 200 OK")]
fn denial_with_success_status_panics() {
    let _ = View::denied(StatusCode::OK);
}

/// Names of models of `lab`, and unknown names of the same length.
const HIDDEN: [(&str, &str); 4] = [
    ("lab/tiny", "lab/tinz"),
    ("mini", "minj"),
    ("claude-lab/tiny", "claude-lab/tinz"),
    ("claude-mini", "claude-minj"),
];

/// Other names of the models of `house`.
const SEEN: [&str; 4] = ["house/large", "big", "claude-house/large", "claude-big"];

fn named(builder: Builder) -> Builder {
    let builder = builder.alias("mini", "lab/tiny");
    builder.alias("big", "house/large").claude_aliases(true)
}

/// All parts of a response that a caller can observe, with the requested id replaced.
fn seen_of(response: &Response<Bytes>, id: &str) -> (StatusCode, http::HeaderMap, String) {
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    (
        response.status(),
        response.headers().clone(),
        body.replace(id, "ID"),
    )
}

#[tokio::test]
async fn hidden_model_is_404_like_unknown() {
    let down = || Provider::source("down", ScriptedSource::failing());
    for with_gap in [false, true] {
        let gap = with_gap.then(down);
        let layer = viewed(named(builder(providers().into_iter().chain(gap))));
        let _ = layer.cache().refresh().await;
        for dialect in dialects::WITH_MODELS {
            for method in [Method::GET, Method::HEAD] {
                let of = |id: &str, condition: Option<&'static str>| {
                    let mut request = by("house", dialects::model(dialect, id));
                    *request.method_mut() = method.clone();
                    if let Some(condition) = condition {
                        let condition = HeaderValue::from_static(condition);
                        request.headers_mut().insert("if-none-match", condition);
                    }
                    request
                };
                for condition in [None, Some("*")] {
                    for (hidden, unknown) in HIDDEN {
                        let refused = send(&layer, of(hidden, condition)).await;
                        let missing = send(&layer, of(unknown, condition)).await;
                        let case = format!("{method} {dialect:?} {hidden}");
                        assert_eq!(refused.status(), 404, "{case}");
                        let expected = seen_of(&missing, unknown);
                        assert_eq!(seen_of(&refused, hidden), expected, "{case}");
                    }
                }
                for seen in SEEN {
                    let response = send(&layer, of(seen, None)).await;
                    assert_eq!(response.status(), 200, "{method} {dialect:?} {seen}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hidden_model_waits_like_unknown() {
    for id in HIDDEN
        .into_iter()
        .flat_map(|(hidden, unknown)| [hidden, unknown])
    {
        for dialect in dialects::WITH_MODELS {
            let hung = Provider::source("slow", ScriptedSource::hung());
            let layer = viewed(named(builder(providers().into_iter().chain([hung]))));
            for seen in SEEN {
                let (response, took) =
                    timed(send(&layer, by("house", dialects::model(dialect, seen)))).await;
                assert_eq!((response.status().as_u16(), took), (200, Duration::ZERO));
            }
            let request = by("house", dialects::model(dialect, id));
            let (response, took) = timed(send(&layer, request)).await;
            assert_eq!(response.status(), 404);
            assert_eq!(took, Duration::from_millis(1500), "{id} {dialect:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn denied_caller_waits_for_no_provider() {
    let layer = viewed(builder([Provider::source("slow", ScriptedSource::hung())]));
    for caller in ["denied", "stranger", "error", "panic"] {
        for dialect in dialects::ALL {
            let (response, took) =
                timed(send(&layer, by(caller, dialects::whole_list(dialect)))).await;
            assert!(response.status().as_u16() >= 400);
            assert_eq!(took, Duration::ZERO, "{caller} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn failed_view_hook_reveals_nothing() {
    let log = log::LOG.clone();
    let layer = viewed(builder(providers()));
    for caller in ["error", "panic", "broken"] {
        for dialect in dialects::ALL {
            let mut requests = vec![dialects::whole_list(dialect)];
            if dialects::WITH_MODELS.contains(&dialect) {
                requests.push(dialects::model(dialect, "house/small"));
            }
            for request in requests {
                let response = send(&layer, by(caller, request)).await;
                assert_eq!(response.status(), 500, "{caller} {dialect:?}");
                let text = String::from_utf8_lossy(response.body());
                for hidden in ["house", "small", "secret"] {
                    assert!(!text.contains(hidden), "{caller} {dialect:?}: {text}");
                }
                assert_eq!(response.headers()["cache-control"], "no-store");
                assert!(!response.headers().contains_key("etag"));
                error(dialect, &response);
            }
        }
    }
    let log = log.text();
    assert!(log.contains("a hook failed") && log.contains("a view's predicate panicked"));
    assert!(!log.contains("secret"));
    // Other callers are not affected.
    let response = send(
        &layer,
        by("house", dialects::whole_list(ClientDialect::OpenAi)),
    )
    .await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn predicate_panicking_later_reveals_nothing() {
    let shared = SharedList::new(["a"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let view = View::named("fragile", |model| {
        assert!(model.model().id() != "b", "panic in the predicate");
        true
    });
    let builder = with_all_dialects(builder([provider]));
    let layer = builder.views(move |_| Ok(view.clone())).build().unwrap();
    layer.cache().refresh().await.unwrap();
    for dialect in dialects::ALL {
        assert_eq!(
            send(&layer, dialects::whole_list(dialect)).await.status(),
            200
        );
    }
    shared.set_ids(["a", "b"]);
    layer.cache().refresh().await.unwrap();
    for dialect in dialects::ALL {
        assert_eq!(
            send(&layer, dialects::whole_list(dialect)).await.status(),
            500,
            "{dialect:?}"
        );
    }
    shared.set_ids(["a"]);
    layer.cache().refresh().await.unwrap();
    for dialect in dialects::ALL {
        let response = send(&layer, dialects::whole_list(dialect)).await;
        assert_eq!(ids(dialect, response.body()), ["lab/a"], "{dialect:?}");
    }
}

#[tokio::test]
async fn callers_of_same_view_share_one_list() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    // A new view for each request, as from a hook that identifies policies by name.
    let layer = builder(providers())
        .views(move |_| {
            let count = Arc::clone(&count);
            Ok(View::named("small", move |model| {
                count.fetch_add(1, Ordering::Relaxed);
                model.model().id() == "small"
            }))
        })
        .build()
        .unwrap();
    let request = || dialects::whole_list(ClientDialect::OpenAi);
    let first = send(&layer, request()).await;
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    for key in ["a", "b", "c"] {
        let mut request = request();
        let key = HeaderValue::from_str(key).unwrap();
        request.headers_mut().insert("authorization", key);
        let other = send(&layer, request).await;
        assert_eq!(other.body(), first.body());
        assert_eq!(
            other.body().as_ptr(),
            first.body().as_ptr(),
            "the body is shared"
        );
    }
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(layer.cache().status().views, 1);
}

#[tokio::test]
async fn view_none_is_200_while_provider_is_missing() {
    for source in [
        ScriptedSource::always(["a"]),
        ScriptedSource::failing(),
        ScriptedSource::hung(),
    ] {
        for partial in [true, false] {
            let provider = Provider::source("lab", source.clone());
            let layer = viewed(builder([provider]).serve_partial(partial));
            for dialect in dialects::ALL {
                let response = send(&layer, by("none", dialects::whole_list(dialect))).await;
                assert_eq!(response.status(), 200, "{dialect:?}");
                assert!(ids(dialect, response.body()).is_empty());
                let status = &response.headers()["cache-status"];
                assert_eq!(
                    status, "tower-models-cache; hit",
                    "nothing is missing in this view"
                );
            }
            for dialect in dialects::WITH_MODELS {
                let response = send(&layer, by("none", dialects::model(dialect, "lab/a"))).await;
                assert_eq!(response.status(), 404, "{dialect:?}");
            }
        }
    }
}

/// Regression: a view whose only provider was missing got an empty 200, which clients take for a
/// complete list.
#[tokio::test]
async fn empty_view_is_503_while_provider_is_missing() {
    let shared = SharedList::new(["tiny"]);
    shared.set(Err(ListErrorKind::Status(500)));
    let [house, _] = providers();
    let lab = Provider::source("lab", ScriptedSource::shared(&shared));
    // Only one view is kept at a time: every other view is prepared again.
    let layer = viewed(builder([house, lab]).max_views(1));
    let _ = layer.cache().refresh().await;
    for _ in 0..2 {
        for dialect in dialects::ALL {
            for method in [Method::GET, Method::HEAD] {
                let of = |caller, mut request: Request<Empty<Bytes>>| {
                    *request.method_mut() = method.clone();
                    by(caller, request)
                };
                let case = format!("{method} {dialect:?}");
                let list = send(&layer, of("lab", dialects::whole_list(dialect))).await;
                assert_eq!(list.status(), 503, "{case}");
                assert!(list.headers().contains_key("retry-after"), "{case}");
                let status = &list.headers()["cache-status"];
                assert_eq!(status, "tower-models-cache; detail=unavailable");
                for (caller, expected) in [("all", 200), ("house", 200), ("none", 200)] {
                    let list = send(&layer, of(caller, dialects::whole_list(dialect))).await;
                    assert_eq!(list.status(), expected, "{case} {caller}");
                }
                if !dialects::WITH_MODELS.contains(&dialect) {
                    continue;
                }
                // The model may exist, whether it is visible or hidden.
                for id in ["lab/tiny", "lab/none", "house/small", "none"] {
                    let response = send(&layer, of("lab", dialects::model(dialect, id))).await;
                    assert_eq!(response.status(), 503, "{case} {id}");
                    assert_eq!(response.headers(), list.headers(), "{case} {id}");
                }
                let small =
                    send(&layer, of("house", dialects::model(dialect, "house/small"))).await;
                assert_eq!(small.status(), 200);
                let tiny = send(&layer, of("house", dialects::model(dialect, "lab/tiny"))).await;
                assert_eq!(tiny.status(), 404);
            }
        }
    }
    // An empty list is a 200 once all providers have responded.
    shared.set_ids([]);
    layer.cache().refresh().await.unwrap();
    for dialect in dialects::ALL {
        let list = send(&layer, by("lab", dialects::whole_list(dialect))).await;
        assert_eq!(list.status(), 200, "{dialect:?}");
        assert!(ids(dialect, list.body()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn empty_list_is_503_while_provider_is_missing() {
    for source in [ScriptedSource::failing(), ScriptedSource::hung()] {
        let empty = Provider::fixed("empty", []);
        let lab = Provider::source("lab", source);
        let layer = viewed(builder([empty, lab]));
        for _ in 0..2 {
            for dialect in dialects::ALL {
                let list = send(&layer, dialects::whole_list(dialect)).await;
                assert_eq!(list.status(), 503, "{dialect:?}");
                assert!(list.headers().contains_key("retry-after"));
            }
            for dialect in dialects::WITH_MODELS {
                let one = send(&layer, dialects::model(dialect, "lab/a")).await;
                assert_eq!(one.status(), 503, "{dialect:?}");
            }
        }
    }
    let layer = viewed(builder([Provider::fixed("empty", [])]));
    for dialect in dialects::ALL {
        assert_eq!(
            send(&layer, dialects::whole_list(dialect)).await.status(),
            200
        );
    }
}

#[tokio::test(start_paused = true)]
async fn views_never_trigger_fetch() {
    let source = ScriptedSource::always(["a"]);
    let layer = viewed(builder([Provider::source("lab", source.clone())]));
    for caller in ["all", "none", "house", "small", "denied", "error", "broken"] {
        for dialect in dialects::ALL {
            send(&layer, by(caller, dialects::whole_list(dialect))).await;
        }
    }
    settle().await;
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn view_allows_is_false_when_predicate_panics() {
    let layer = builder(providers()).build().unwrap();
    let snapshot = layer.cache().snapshot();
    let model = snapshot.get("house/small").unwrap();
    for (view, allows) in [
        (View::all(), true),
        (View::none(), false),
        (View::denied(StatusCode::FORBIDDEN), false),
        (
            View::named("house", |model| model.provider() == "house"),
            true,
        ),
        (View::named("lab", |model| model.provider() == "lab"), false),
        (
            View::named("broken", |_| panic!("panic in the predicate")),
            false,
        ),
    ] {
        assert_eq!(view.allows(&model), allows, "{view:?}");
    }
}

#[test]
fn debug_output_of_view_shows_only_its_name() {
    for (view, expected) in [
        (View::all(), "View::All"),
        (
            View::denied(StatusCode::FORBIDDEN),
            "View::Denied(403 Forbidden)",
        ),
        (View::named("team-a", |_| true), "View(\"named:team-a\")"),
    ] {
        assert_eq!(format!("{view:?}"), expected);
    }
}
