//! A refresher that has ended is reported: once in the log, in the status, and in every response.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::{runtime, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_models_cache::{
    Builder, Provider, Refresher, StaticModelsCacheLayer, status::Refreshing,
};

use crate::support::{ScriptedSource, builder, get, list, log::LOG, send, settle};

const HOUR: Duration = Duration::from_secs(3600);

fn lab(source: &ScriptedSource) -> Builder {
    builder([Provider::source("lab", source.clone())])
}

fn cache_status(response: &Response<Bytes>) -> &str {
    response.headers()["cache-status"].to_str().unwrap()
}

fn request() -> Request<Empty<Bytes>> {
    get("/v1/models")
}

fn logged(level: &str) -> usize {
    let log = LOG.of_this_thread();
    let is_meant = |line: &&str| line.contains(level) && line.contains("no longer refreshed");
    log.lines().filter(is_meant).count()
}

/// Regression: `let (layer, _) = ..` responded 503 forever, without a log line.
#[tokio::test(start_paused = true)]
async fn dropped_refresher_is_reported() {
    let _ = &*LOG;
    let source = ScriptedSource::always(["a"]);
    let (layer, _) = lab(&source).spawn().unwrap();
    settle().await;
    assert_eq!(layer.cache().status().refreshing, Refreshing::Ended);
    let response = send(&layer, request()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(
        cache_status(&response),
        "tower-models-cache; detail=stopped"
    );
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("no longer refreshed"), "{message}");
    sleep(HOUR).await;
    send(&layer, request()).await;
    assert_eq!((logged("WARN"), logged("INFO"), source.calls()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn list_reports_stopped_refresher() {
    let _ = &*LOG;
    let source = ScriptedSource::always(["a"]);
    let (layer, refresher) = lab(&source).spawn().unwrap();
    let before = send(&layer, request()).await;
    assert_eq!(layer.cache().status().refreshing, Refreshing::Background);
    drop(refresher);
    settle().await;
    let after = send(&layer, request()).await;
    assert_eq!(
        cache_status(&after),
        "tower-models-cache; hit; detail=stopped"
    );
    assert_eq!(before.headers()["etag"], after.headers()["etag"]);
    assert_eq!(before.body(), after.body());
    assert_eq!((logged("WARN"), logged("INFO")), (1, 0));
}

/// A requested end is not a warning.
#[tokio::test(start_paused = true)]
async fn cancelled_refresher_is_logged_as_info() {
    let _ = &*LOG;
    type End = fn(Refresher, CancellationToken);
    let ends: [End; 2] = [
        |refresher, _| refresher.cancel(),
        |refresher, token| {
            refresher.detach();
            token.cancel();
        },
    ];
    for (ended, end) in (1..).zip(ends) {
        let token = CancellationToken::new();
        let source = ScriptedSource::always(["a"]);
        let spawned = lab(&source).cancellation_token(token.clone()).spawn();
        let (layer, refresher) = spawned.unwrap();
        list(&layer).await;
        end(refresher, token);
        settle().await;
        assert_eq!(layer.cache().status().refreshing, Refreshing::Ended);
        let response = send(&layer, request()).await;
        assert!(cache_status(&response).ends_with("detail=stopped"));
        assert_eq!((logged("WARN"), logged("INFO")), (0, ended));
    }
    let (layer, refresher) = lab(&ScriptedSource::always(["a"])).spawn().unwrap();
    list(&layer).await;
    refresher.shutdown().await;
    let response = send(&layer, request()).await;
    assert!(cache_status(&response).ends_with("detail=stopped"));
    assert_eq!((logged("WARN"), logged("INFO")), (0, 3));
}

/// No report is logged when the layer is dropped first.
#[tokio::test(start_paused = true)]
async fn refresher_ends_silently_after_its_layer() {
    let _ = &*LOG;
    let (layer, refresher) = lab(&ScriptedSource::always(["a"])).spawn().unwrap();
    list(&layer).await;
    drop(layer);
    settle().await;
    drop(refresher);
    settle().await;
    assert_eq!((logged("WARN"), logged("INFO")), (0, 0));
}

fn current_thread() -> runtime::Builder {
    runtime::Builder::new_current_thread()
}

#[test]
fn refresher_of_dropped_runtime_is_reported() {
    let _ = &*LOG;
    let source = ScriptedSource::always(["a"]);
    let runtime = current_thread().enable_all().build().unwrap();
    let (layer, refresher) = runtime.block_on(async {
        let (layer, refresher) = lab(&source).spawn().unwrap();
        list(&layer).await;
        (layer, refresher)
    });
    drop(runtime);
    assert_eq!(layer.cache().status().refreshing, Refreshing::Ended);
    let another = current_thread().enable_all().build().unwrap();
    another.block_on(async {
        send(&layer, request()).await; // has the headers rebuilt
        layer.cache().reenrich().await;
        let response = send(&layer, request()).await;
        assert_eq!(
            cache_status(&response),
            "tower-models-cache; hit; detail=stopped"
        );
    });
    drop(refresher);
    assert_eq!((logged("WARN"), logged("INFO")), (1, 0));
}

// ===== Runtimes without a timer =====

#[test]
fn spawn_fails_on_runtime_without_timer() {
    let runtime = current_thread().build().unwrap();
    let error =
        runtime.block_on(async { lab(&ScriptedSource::always(["a"])).spawn().unwrap_err() });
    assert_eq!(error.field(), "runtime");
    assert!(error.to_string().contains("timer"), "{error}");
    let error = lab(&ScriptedSource::always(["a"])).spawn().unwrap_err();
    assert_eq!(error.field(), "runtime");
}

/// Regression: such requests panicked.
#[test]
fn request_on_runtime_without_timer_is_503() {
    let _ = &*LOG;
    let source = ScriptedSource::always(["a"]);
    let layer = lab(&source).build().unwrap();
    let ask_twice = async |layer: &StaticModelsCacheLayer| {
        for _ in 0..2 {
            assert_eq!(send(layer, request()).await.status(), 503);
        }
    };
    current_thread()
        .build()
        .unwrap()
        .block_on(ask_twice(&layer));
    assert_eq!(source.calls(), 0);
    let reports = LOG.of_this_thread();
    assert_eq!(reports.matches("without a timer").count(), 1, "{reports}");
}
