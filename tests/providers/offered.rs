//! A response is judged by what it offers: dates, duplicates and counts depend neither on the
//! operator's filter nor on previous responses.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use crate::support::{ScriptedSource, SharedList, builder};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tower_models_cache::{
    Model, ModelsCache, Provider, StaticModelsCacheLayer,
    model::{ModelList, RecordFlaw},
};

const HOUR: u32 = 3600;
const YEAR_2015: u32 = 1_420_070_400;

fn unix_now() -> u32 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    now.try_into().unwrap()
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

/// A record with few possible ids, dates and facts, so that they often coincide.
fn record() -> impl Strategy<Value = Model> {
    let now = unix_now();
    let dates = [
        0,
        1,
        YEAR_2015 - 1,
        YEAR_2015,
        1_700_000_000,
        1_700_000_000,
        now - 10 * HOUR,
        now,
        now + 10 * HOUR,
        u32::MAX,
    ];
    let ids = ["a", "b", "c", "d", "", "x\ny"];
    let facts = (
        select(ids.to_vec()),
        option::of(select(dates.to_vec())),
        option::of(select(vec![1_u64, 2])),
        option::of(select(vec!["o", "p\u{202e}"])),
    );
    facts.prop_map(|(id, created, context, owner)| {
        let model = Model::new(id)
            .with_created(created)
            .with_context_length(context);
        match owner {
            Some(owner) => model.with_owned_by(owner),
            None => model,
        }
    })
}

/// What a replica saw before: other models, or the same models with another date.
#[derive(Clone, Debug)]
enum Before {
    Other(Vec<Model>),
    Dated(Option<u32>),
}

fn history() -> impl Strategy<Value = Vec<Before>> {
    let dated = option::of(select(vec![0, 1_600_000_000, 1_650_000_000, unix_now()]));
    let before = prop_oneof![
        vec(record(), 0..7).prop_map(Before::Other),
        dated.prop_map(Before::Dated),
    ];
    vec(before, 0..4)
}

impl Before {
    fn list(self, last: &[Model]) -> ModelList {
        let date = match self {
            Self::Other(models) => return models.into(),
            Self::Dated(date) => date,
        };
        let dated = last.iter().map(|model| model.clone().with_created(date));
        dated.collect()
    }
}

fn cache(layer: Result<StaticModelsCacheLayer, tower_models_cache::BuildError>) -> ModelsCache {
    layer.unwrap().cache()
}

proptest! {
    #![proptest_config(config())]

    /// Invariant 8.
    #[test]
    fn equal_responses_give_equal_bytes(
        one in history(),
        other in history(),
        last in vec(record(), 1..7),
    ) {
        let seen = |history: Vec<Before>| run(async {
            let shared = SharedList::new(["first"]);
            let provider = Provider::source("lab", ScriptedSource::shared(&shared));
            let cache = cache(builder([provider]).accept_empty(true).build());
            let history = history.into_iter().map(|before| before.list(&last));
            for list in history.chain([ModelList::from(last.clone())]) {
                shared.set(Ok(list));
                let _ = cache.refresh().await;
            }
            let snapshot = cache.snapshot();
            let failed = cache.status().providers[0].failures > 0;
            (!failed).then(|| (snapshot.etag().to_owned(), snapshot.body()))
        });
        prop_assert_eq!(seen(one), seen(other));
    }

    #[test]
    fn filter_changes_no_fact_of_kept_models(
        list in vec(record(), 1..9),
        keep in vec(select(vec!["a", "b", "c", "d"]), 0..4),
    ) {
        let keep: Arc<BTreeSet<_>> = Arc::new(keep.into_iter().collect());
        let fetched = |provider: Provider| run(async move {
            let cache = cache(builder([provider]).build());
            let _ = cache.refresh().await;
            let snapshot = cache.snapshot();
            let models = snapshot.iter().map(|listed| listed.model().clone());
            (models.collect::<Vec<_>>(), cache.status().providers.remove(0))
        });
        let source = || {
            let list = list.clone();
            let source = ScriptedSource::new(move |_| {
                let list = list.clone();
                async { Ok::<_, Infallible>(ModelList::from(list)) }
            });
            Provider::source("lab", source)
        };
        let (all, whole) = fetched(source());
        let kept = Arc::clone(&keep);
        let filtered = source().filter(move |model| kept.contains(model.id()));
        let (some, part) = fetched(filtered);

        let expected: Vec<_> = all.iter().filter(|model| keep.contains(model.id())).cloned().collect();
        prop_assert_eq!(&some, &expected);
        prop_assert_eq!(part.filtered, all.len() - some.len());
        prop_assert_eq!(whole.filtered, 0);
        prop_assert_eq!(part.duplicates, whole.duplicates);
        prop_assert_eq!(part.flaws, whole.flaws);
        prop_assert_eq!(part.failures, whole.failures);
    }
}

/// The models of one provider with these records, by id.
fn listed(models: Vec<Model>) -> Vec<(String, Option<u32>)> {
    run(async move {
        let source = ScriptedSource::new(move |_| {
            let models = models.clone();
            async { Ok::<_, Infallible>(ModelList::from(models)) }
        });
        let cache = cache(builder([Provider::source("lab", source)]).build());
        cache.refresh().await.unwrap();
        let snapshot = cache.snapshot();
        let dates = snapshot.iter().map(|listed| {
            let model = listed.model();
            (model.id().to_owned(), model.created())
        });
        dates.collect()
    })
}

#[test]
fn implausible_date_is_dropped() {
    let now = unix_now();
    for (created, kept) in [
        (0, false),
        (1, false),
        (YEAR_2015 - 1, false),
        (YEAR_2015, true),
        (now - 2 * HOUR, true),
        (now, false),
        (now + HOUR, false),
        (now + 1000 * HOUR, false),
        (u32::MAX, false),
    ] {
        let dated = |id: &str| Model::new(id).with_created(created);
        let expected = kept.then_some(created);
        for models in [
            vec![dated("a")],
            vec![dated("a"), dated("b")],
            vec![dated("a"), Model::new("b"), Model::new("c")],
        ] {
            let found = listed(models.clone());
            assert_eq!(found[0].1, expected, "{created} of {}", models.len());
        }
    }
    // Dates that the operator declares are not checked.
    let fixed = Provider::fixed("house", [Model::new("a").with_created(1)]);
    let snapshot = cache(builder([fixed]).build()).snapshot();
    assert_eq!(snapshot.get("house/a").unwrap().model().created(), Some(1));
}

#[test]
fn date_shared_by_three_models_is_dropped() {
    let dated = |id: &str| Model::new(id).with_created(1_700_000_000);
    let dates = |ids: &[&str]| {
        let found = listed(ids.iter().copied().map(dated).collect());
        found.iter().filter(|(_, date)| date.is_some()).count()
    };
    assert_eq!(dates(&["a"]), 1);
    assert_eq!(dates(&["a", "b"]), 2);
    assert_eq!(dates(&["a", "b", "c"]), 0);
    // A model that is listed twice counts once.
    assert_eq!(dates(&["a", "b", "b", "b"]), 2);
}

/// Regression: with a filter that kept two of three models, their shared date was kept.
#[tokio::test]
async fn shared_date_is_detected_before_filter() {
    let dated = |id: &str| Model::new(id).with_created(1_700_000_000);
    let list = ["a", "b", "c"].map(dated);
    let source = ScriptedSource::new(move |_| {
        let list = list.clone();
        async { Ok::<_, Infallible>(ModelList::from_iter(list)) }
    });
    let provider = Provider::source("lab", source).filter(|model| model.id() != "c");
    let cache = cache(builder([provider]).build());
    cache.refresh().await.unwrap();
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.len(), 2);
    assert!(
        snapshot
            .iter()
            .all(|listed| listed.model().created().is_none())
    );
}

#[tokio::test]
async fn status_counts_filtered_models() {
    let list = ["a", "b", "b", "c\n"].map(Model::new);
    let source = ScriptedSource::new(move |_| {
        let list = list.clone();
        async { Ok::<_, Infallible>(ModelList::from_iter(list)) }
    });
    let provider = Provider::source("lab", source).filter(|model| model.id() == "lab/a");
    let cache = cache(builder([provider]).build());
    cache.refresh().await.unwrap();
    let status = &cache.status().providers[0];
    assert_eq!((status.models, status.filtered), (0, 2));
    assert_eq!((status.duplicates, status.skipped), (1, 1));
    assert_eq!(status.flaws[0].flaw, RecordFlaw::IdCharacters);
}
