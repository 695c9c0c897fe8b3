//! `ModelsCache::find`: a model by the list that clients see, waited for as the list is.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use tower_models_cache::{Model, Provider, View, error::ListErrorKind, handle::FindError};

use crate::support::{MODES, ScriptedSource, SharedList, builder, timed};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn find_waits_for_a_first_attempt_and_not_for_a_listed_model() {
    for mode in MODES {
        let script = ScriptedSource::new(|_| async {
            sleep(SECOND).await;
            Ok::<_, std::io::Error>(crate::support::models(["a"]))
        });
        let house = Provider::fixed("house", [Model::new("x")]);
        let lab = Provider::source("lab", script);
        let (layer, _refresher) = mode.start(builder([house, lab]));
        let cache = layer.cache();
        let (found, took) = timed(cache.find("house/x")).await;
        assert_eq!(found.unwrap().get().provider(), "house");
        assert_eq!(took, Duration::ZERO, "{mode:?}");
        let (found, took) = timed(cache.find("lab/a")).await;
        assert_eq!(found.unwrap().get().upstream_id(), "a");
        assert_eq!(took, SECOND, "{mode:?}");
        assert_eq!(cache.find("lab/b").await.unwrap_err(), FindError::Unknown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_is_not_known_yet_while_a_provider_has_no_list() {
    let shared = SharedList::new([]);
    shared.set(Err(ListErrorKind::Timeout));
    let layer = builder([Provider::source("lab", ScriptedSource::shared(&shared))])
        .build()
        .unwrap();
    let cache = layer.cache();
    assert_eq!(cache.find("lab/a").await.unwrap_err(), FindError::NotYet);
    shared.set_ids(["b"]);
    cache.refresh().await.unwrap();
    assert_eq!(cache.find("lab/a").await.unwrap_err(), FindError::Unknown);
    assert!(cache.snapshot().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_hidden_model_is_found_like_an_unknown_one() {
    let hung = Provider::source("hung", ScriptedSource::hung());
    let house = Provider::fixed("house", [Model::new("x"), Model::new("y")]);
    let layer = builder([house, hung]).build().unwrap();
    let cache = layer.cache();
    let view = View::named("only x", |model| model.id() == "house/x");
    let hidden = timed(cache.find_visible("house/y", &view)).await;
    let layer = builder([
        Provider::fixed("house", [Model::new("x")]),
        Provider::source("hung", ScriptedSource::hung()),
    ]);
    let cache = layer.build().unwrap().cache();
    let unknown = timed(cache.find_visible("house/y", &view)).await;
    assert_eq!(hidden.0.unwrap_err(), unknown.0.unwrap_err());
    assert_eq!(hidden.1, unknown.1);
    assert!(hidden.1 > SECOND, "both wait");
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_view_finds_nothing_and_costs_no_fetch() {
    let script = ScriptedSource::always(["a"]);
    let layer = builder([Provider::source("lab", script.clone())])
        .build()
        .unwrap();
    let denied = View::denied(StatusCode::UNAUTHORIZED);
    let found = layer.cache().find_visible("lab/a", &denied).await;
    assert_eq!(found.unwrap_err(), FindError::NotYet);
    assert_eq!(script.calls(), 0);
}
