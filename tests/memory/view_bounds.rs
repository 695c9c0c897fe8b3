//! Memory and work per view: limited, done once, and kept across publications.

use crate::support::dialects;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::support::dialects::{ids, with_all_dialects};
use crate::support::{ScriptedSource, SharedList, builder, send};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Empty;
use stats_alloc::Region;
use tokio_util::sync::CancellationToken;
use tower_models_cache::{Builder, ClientDialect, Model, Provider, StaticModelsCacheLayer, View};

use ClientDialect::{Anthropic, OpenAi};

use crate::{GLOBAL, TURN};

/// Team `n` sees the models whose number is `n` modulo `of`.
fn teams(builder: Builder, of: usize, calls: &Arc<AtomicUsize>) -> Builder {
    let calls = Arc::clone(calls);
    with_all_dialects(builder).views(move |request| {
        let team = request.headers.get("x-team").ok_or("no team")?.to_str()?;
        let number: usize = team.parse()?;
        let calls = Arc::clone(&calls);
        Ok(View::named(team, move |model| {
            calls.fetch_add(1, Ordering::Relaxed);
            let digits = model
                .model()
                .id()
                .trim_start_matches(|sign: char| !sign.is_ascii_digit());
            digits.parse::<usize>().unwrap() % of == number % of
        }))
    })
}

fn by(team: usize, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    let team = HeaderValue::from_str(&team.to_string()).unwrap();
    request.headers_mut().insert("x-team", team);
    request
}

fn models(count: usize) -> impl Iterator<Item = Model> {
    (0..count).map(|n| {
        Model::new(format!("model-{n:05}"))
            .with_display_name(format!("A Model With a Name of Some Length, Number {n}"))
            .with_context_length(131_072)
    })
}

/// A cache that is shut down renders on request and does not compress.
fn still(builder: Builder) -> StaticModelsCacheLayer {
    let stop = CancellationToken::new();
    stop.cancel();
    builder.cancellation_token(stop).build().unwrap()
}

fn held(since: &Region<'_, std::alloc::System>) -> usize {
    let change = since.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
}

#[tokio::test]
async fn thousand_views_stay_within_memory_limit() {
    let _turn = TURN.lock().await;
    let bound = 64 << 20; // the default
    let calls = Arc::default();
    let house = Provider::fixed("house", models(5_000));
    // Each view sees a tenth: 1,000 lists of 500 models, 60 MB in one dialect and 160 MB in two.
    let layer = still(teams(builder([house]), 10, &calls));
    send(&layer, by(0, dialects::whole_list(OpenAi))).await;
    let since = Region::new(GLOBAL);
    for team in 0..1_000 {
        let response = send(&layer, by(team, dialects::whole_list(OpenAi))).await;
        assert_eq!(response.status(), 200);
        if team % 10 == 0 {
            send(&layer, by(team, dialects::whole_list(Anthropic))).await;
        }
        let status = layer.cache().status();
        assert!(status.view_bytes <= bound, "{}", status.view_bytes);
        assert!(status.views <= 1_000);
    }
    let held = held(&since);
    let status = layer.cache().status();
    assert!(held <= bound + bound / 8, "{held} bytes are held");
    // The reported size matches the held memory, except for the allocator's slack.
    assert!(
        held <= status.view_bytes + status.view_bytes / 8,
        "{held} {}",
        status.view_bytes
    );
    assert!(status.view_bytes > bound / 2, "the limit is used");
    assert_eq!(
        calls.load(Ordering::Relaxed),
        1_000 * 5_000,
        "one predicate call per model and view"
    );
}

#[tokio::test]
async fn recently_used_views_are_kept() {
    let _turn = TURN.lock().await;
    let calls = Arc::default();
    let house = Provider::fixed("house", models(10));
    let layer = still(teams(builder([house]), 10, &calls).max_views(3));
    let look = |team| send(&layer, by(team, dialects::whole_list(OpenAi)));
    for team in [1, 2, 3, 1, 4] {
        let response = look(team).await;
        let expected = format!("house/model-{team:05}");
        assert_eq!(ids(OpenAi, response.body()), [expected]);
    }
    assert_eq!(layer.cache().status().views, 3);
    let before = calls.load(Ordering::Relaxed);
    for team in [1, 3, 4] {
        look(team).await;
    }
    assert_eq!(calls.load(Ordering::Relaxed), before, "the views are kept");
    // An evicted view is served as before.
    assert_eq!(ids(OpenAi, look(2).await.body()), ["house/model-00002"]);
    assert_eq!(calls.load(Ordering::Relaxed), before + 10);
}

#[tokio::test]
async fn one_view_is_kept_beyond_memory_limit() {
    let _turn = TURN.lock().await;
    let calls = Arc::default();
    let house = Provider::fixed("house", models(100));
    let layer = still(teams(builder([house]), 2, &calls).max_view_bytes(1));
    for team in [0, 0, 1, 1] {
        let response = send(&layer, by(team, dialects::whole_list(OpenAi))).await;
        assert_eq!(ids(OpenAi, response.body()).len(), 50);
        assert_eq!(layer.cache().status().views, 1);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2 * 100);
}

#[tokio::test]
async fn predicate_runs_only_for_changed_models() {
    let _turn = TURN.lock().await;
    let calls: Arc<AtomicUsize> = Arc::default();
    let shared = SharedList::new(["m-1", "m-2", "m-3"]);
    let source = ScriptedSource::shared(&shared);
    let steady = Provider::fixed("steady", models(100));
    let layer = teams(
        builder([steady, Provider::source("lab", source)]),
        2,
        &calls,
    );
    let layer = layer.build().unwrap();
    layer.cache().refresh().await.unwrap();
    let look = || send(&layer, by(1, dialects::whole_list(OpenAi)));
    for _ in 0..3 {
        assert_eq!(ids(OpenAi, look().await.body()).len(), 52);
    }
    send(&layer, by(1, dialects::whole_list(Anthropic))).await;
    assert_eq!(calls.swap(0, Ordering::Relaxed), 103);

    shared.set_ids(["m-1", "m-2", "m-5", "m-7"]);
    layer.cache().refresh().await.unwrap();
    assert_eq!(
        calls.load(Ordering::Relaxed),
        4,
        "predicates run for changed models only"
    );
    for dialect in [OpenAi, Anthropic] {
        let response = send(&layer, by(1, dialects::whole_list(dialect))).await;
        assert_eq!(ids(dialect, response.body()).len(), 53);
    }
    assert_eq!(calls.swap(0, Ordering::Relaxed), 4);

    // Without a change, no predicate runs and the lists are the same.
    let before = look().await;
    layer.cache().refresh().await.unwrap();
    assert_eq!(look().await.body().as_ptr(), before.body().as_ptr());
    assert_eq!(calls.swap(0, Ordering::Relaxed), 0);
}

#[tokio::test]
async fn unused_view_is_dropped() {
    let _turn = TURN.lock().await;
    let calls: Arc<AtomicUsize> = Arc::default();
    let shared = SharedList::new(["m-1"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let layer = teams(builder([provider]), 2, &calls).build().unwrap();
    layer.cache().refresh().await.unwrap();
    for team in [1, 2, 3] {
        send(&layer, by(team, dialects::whole_list(OpenAi))).await;
    }
    assert_eq!(layer.cache().status().views, 3);
    for (list, views) in [(["m-2"], 3), (["m-3"], 0)] {
        shared.set_ids(list);
        layer.cache().refresh().await.unwrap();
        assert_eq!(layer.cache().status().views, views);
    }
    let response = send(&layer, by(1, dialects::whole_list(OpenAi))).await;
    assert_eq!(ids(OpenAi, response.body()), ["lab/m-3"]);
}

/// The limit includes compressed lists, which are added later.
#[cfg(feature = "compression")]
#[tokio::test]
async fn memory_limit_includes_compressed_lists() {
    let _turn = TURN.lock().await;
    let house = || Provider::fixed("house", models(500));
    let size = {
        let layer = still(teams(builder([house()]), 2, &Arc::default()));
        send(&layer, by(0, dialects::whole_list(OpenAi))).await;
        layer.cache().status().view_bytes
    };
    // Room for two rendered lists, but not for their compressed forms.
    let bound = 2 * size + size / 50;
    let builder = teams(builder([house()]), 2, &Arc::default());
    let layer = builder.max_view_bytes(bound).build().unwrap();
    for team in [0, 1] {
        send(&layer, by(team, dialects::whole_list(OpenAi))).await;
    }
    loop {
        let mut request = by(1, dialects::whole_list(OpenAi));
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert("accept-encoding", gzip);
        let response = send(&layer, request).await;
        if response.headers().contains_key("content-encoding") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let status = layer.cache().status();
    assert!(status.view_bytes <= bound, "{} {bound}", status.view_bytes);
    assert_eq!(status.views, 1);
}
