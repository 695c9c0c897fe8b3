//! The list of a dialect is rendered on its first request, and once.

use crate::support::dialects;
use crate::support::dialects::with_all_dialects;
use crate::support::{ScriptedSource, SharedList, builder, send};
use futures_util::future::join_all;
use stats_alloc::Region;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_models_cache::{ClientDialect, Model, Provider, StaticModelsCacheLayer};

use crate::{GLOBAL, TURN};

/// All dialects but the first, which is always rendered.
const OTHERS: [ClientDialect; 4] = [
    ClientDialect::Anthropic,
    ClientDialect::Gemini,
    ClientDialect::Ollama,
    ClientDialect::Codex,
];

/// A cache that is shut down still publishes, and does not compress.
fn still(dialects: &[ClientDialect], models: usize) -> StaticModelsCacheLayer {
    let stop = CancellationToken::new();
    stop.cancel();
    let models = (0..models).map(|n| Model::new(format!("model-{n:05}")));
    builder([Provider::fixed("house", models)])
        .client_dialects(dialects.iter().copied())
        .cancellation_token(stop)
        .build()
        .unwrap()
}

/// The number of bytes allocated while the future runs.
async fn allocated(work: impl Future) -> usize {
    let region = Region::new(GLOBAL);
    work.await;
    region.change().bytes_allocated
}

async fn publish(layer: &StaticModelsCacheLayer, models: usize, seed: usize) {
    let models = (0..models).map(|n| Model::new(format!("model-{n:05}-{seed:05}")));
    let provider = Provider::fixed("house", models);
    layer.cache().set_providers([provider]).await.unwrap();
}

#[tokio::test]
async fn unused_dialect_adds_no_publication_cost() {
    let _turn = TURN.lock().await;
    let one = still(&[ClientDialect::OpenAi], 1_000);
    let all = still(&dialects::ALL, 1_000);
    publish(&one, 1_000, 0).await; // one-time work is done
    publish(&all, 1_000, 0).await;
    let plain = allocated(publish(&one, 1_000, 1)).await;
    let with_all = allocated(publish(&all, 1_000, 1)).await;
    assert!(
        with_all < plain + plain / 20,
        "{with_all} bytes, {plain} with one dialect"
    );
    // Dialects that were requested are rendered with the next list.
    for dialect in OTHERS {
        send(&all, dialects::whole_list(dialect)).await;
    }
    let after = allocated(publish(&all, 1_000, 2)).await;
    assert!(after > 2 * plain, "{after} bytes, {plain} with one dialect");
    for dialect in OTHERS {
        let bytes = allocated(send(&all, dialects::whole_list(dialect))).await;
        assert!(bytes < plain / 4, "{dialect:?} allocated {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_first_requests_share_one_list() {
    let _turn = TURN.lock().await;
    let layer = still(&dialects::ALL, 5_000);
    for dialect in OTHERS {
        let requests = (0..50).map(|_| {
            let service = layer.service();
            let request = dialects::whole_list(dialect);
            tokio::spawn(async move {
                let response = service.oneshot(request).await.unwrap();
                let mut body = response.into_body();
                let mut frames = Vec::new();
                while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                    frames.push(frame.unwrap().into_data().unwrap());
                }
                // The head of a page is a frame of its own; the records are shared.
                let records = frames.iter().max_by_key(|frame| frame.len()).unwrap();
                records.as_ptr() as usize
            })
        });
        let mut places: Vec<_> = join_all(requests).await;
        let first = places.pop().unwrap().unwrap();
        for place in places {
            assert_eq!(place.unwrap(), first, "{dialect:?}");
        }
    }
}

#[tokio::test]
async fn unchanged_list_is_not_rendered_again() {
    let _turn = TURN.lock().await;
    let shared = SharedList::new(["a", "b"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let layer = with_all_dialects(builder([provider])).build().unwrap();
    layer.cache().refresh().await.unwrap();
    let mut before = Vec::new();
    for dialect in dialects::ALL {
        before.push(send(&layer, dialects::whole_list(dialect)).await);
    }
    // A failure and an unchanged success are published with the same lists.
    shared.set(Err(tower_models_cache::error::ListErrorKind::Status(500)));
    layer.cache().refresh().await.unwrap_err();
    for (dialect, before) in dialects::ALL.into_iter().zip(&before) {
        let after = send(&layer, dialects::whole_list(dialect)).await;
        assert_eq!(after.body().as_ptr(), before.body().as_ptr(), "{dialect:?}");
        assert_eq!(after.headers()["etag"], before.headers()["etag"]);
        let status = &after.headers()["cache-status"];
        assert_eq!(
            status, "tower-models-cache; hit; detail=stale",
            "{dialect:?}"
        );
    }
    shared.set_ids(["a", "b", "c"]);
    layer.cache().refresh().await.unwrap();
    for (dialect, before) in dialects::ALL.into_iter().zip(&before) {
        let after = send(&layer, dialects::whole_list(dialect)).await;
        assert_ne!(after.headers()["etag"], before.headers()["etag"]);
        assert_eq!(dialects::ids(dialect, after.body()).len(), 3);
    }
}
