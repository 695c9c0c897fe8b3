//! Facts beside those of the providers: precedence, and how often an enricher runs.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_models_cache::{
    Model, Provider, StaticModelsCacheLayer,
    enrich::Enrich,
    model::{Capability, Deprecation, Modality, ModelList, Prices},
};

use crate::support::{MODES, Mode, ScriptedSource, SharedList, builder, get, send, settle};

type Describe = dyn Fn(&str, &Model) -> Option<Model> + Send + Sync;

/// An enricher that records which models it describes.
#[derive(Clone)]
struct RecordingEnricher {
    described: Arc<Mutex<Vec<String>>>,
    generation: Arc<AtomicU64>,
    describe: Arc<Describe>,
}

impl RecordingEnricher {
    fn new(describe: impl Fn(&str, &Model) -> Option<Model> + Send + Sync + 'static) -> Self {
        Self {
            described: Arc::default(),
            generation: Arc::default(),
            describe: Arc::new(describe),
        }
    }

    /// An enricher that knows a context length, which grows with the generation.
    fn of_context_length() -> Self {
        let enricher = Self::new(|_, _| None);
        let generation = Arc::clone(&enricher.generation);
        let window = move || 1000 + generation.load(Ordering::SeqCst);
        Self {
            describe: Arc::new(move |_, _| {
                Some(Model::description().with_context_length(window()))
            }),
            ..enricher
        }
    }

    /// The models described since the last call, sorted.
    fn described(&self) -> Vec<String> {
        let mut described = std::mem::take(&mut *self.described.lock().unwrap());
        described.sort();
        described
    }
}

impl Enrich for RecordingEnricher {
    fn describe(&self, provider: &str, model: &Model) -> Option<Model> {
        let name = format!("{provider}/{}", model.id());
        self.described.lock().unwrap().push(name);
        (self.describe)(provider, model)
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}

/// The record of a model as clients get it.
async fn record(layer: &StaticModelsCacheLayer, id: &str) -> Value {
    let response = send(layer, get(&format!("/v1/models/{id}"))).await;
    assert_eq!(response.status(), 200, "{id}");
    serde_json::from_slice(response.body()).unwrap()
}

fn prices(prompt: &str, completion: Option<&str>) -> Prices {
    Prices {
        prompt: prompt.parse().ok(),
        completion: completion.map(|price| price.parse().unwrap()),
        ..Prices::default()
    }
}

/// A description in which every fact identifies its source.
fn facts(who: u64) -> Model {
    let name = format!("from {who}");
    Model::description()
        .with_owned_by(&*name)
        .with_display_name(&*name)
        .with_family(&*name)
        .with_context_length(who * 1000)
        .with_max_input_tokens(who * 100)
        .with_max_output_tokens(who * 10)
        .with_created(1_600_000_000 + who as u32)
        .with_input(if who == 1 {
            [Modality::Text]
        } else {
            [Modality::Audio]
        })
        .with_output(if who == 1 {
            [Modality::Text]
        } else {
            [Modality::Image]
        })
        .with_capability(Capability::Tools, who == 1)
        .with_open_weights(who == 1)
        .with_deprecation(Deprecation::on(2030, who as i8, 1))
        .with_prices(prices(&format!("0.00{who}"), None))
        .with_extra("note", who)
}

fn of_id(id: &str, facts: Model) -> Model {
    let mut model = Model::new(id)
        .with_context_length(facts.context_length())
        .with_max_input_tokens(facts.max_input_tokens())
        .with_max_output_tokens(facts.max_output_tokens())
        .with_created(facts.created())
        .with_input(facts.input())
        .with_output(facts.output())
        .with_deprecation(facts.deprecation())
        .with_open_weights(facts.open_weights());
    for (capability, has) in facts.capabilities().iter() {
        model = model.with_capability(capability, has);
    }
    if let Some(name) = facts.owned_by() {
        model = model.with_owned_by(name);
    }
    if let Some(name) = facts.display_name() {
        model = model.with_display_name(name);
    }
    if let Some(name) = facts.family() {
        model = model.with_family(name);
    }
    if let Some(prices) = facts.prices() {
        model = model.with_prices(*prices);
    }
    if let Some(note) = facts.extra("note") {
        model = model.with_extra("note", serde_json::from_str::<Value>(note).unwrap());
    }
    model
}

#[tokio::test(start_paused = true)]
async fn facts_prefer_operator_provider_enricher() {
    for (by_operator, by_provider, expected) in
        [(true, true, 1), (false, true, 2), (false, false, 3)]
    {
        let model = match by_provider {
            true => of_id("a", facts(2)),
            false => Model::new("a"),
        };
        let mut builder = builder([Provider::fixed("lab", [model])])
            .enrich(RecordingEnricher::new(|_, _| Some(facts(3))))
            .enrich(RecordingEnricher::new(|_, _| Some(facts(4))));
        if by_operator {
            builder = builder.override_model("lab/a", facts(1));
        }
        let layer = builder.build().unwrap();
        let snapshot = layer.cache().snapshot();
        let model = snapshot.get("lab/a").unwrap().model().clone();
        assert_eq!(model, of_id("a", facts(expected)));
        let record = record(&layer, "lab/a").await;
        assert_eq!(record["family"], format!("from {expected}"));
        assert_eq!(record["max_input_tokens"], expected * 100);
        assert_eq!(record["open_weights"], expected == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_facts_are_absent() {
    let provider = Provider::fixed("lab", ["a", "b"].map(Model::new));
    let plain = builder([provider.clone()]).build().unwrap();
    let layer = builder([provider])
        .enrich(RecordingEnricher::new(|_, _| None))
        .enrich(RecordingEnricher::new(|_, _| Some(Model::description())))
        .override_model("lab/other", facts(1))
        .build()
        .unwrap();
    let (plain, layer) = (plain.cache().snapshot(), layer.cache().snapshot());
    assert_eq!(layer.body(), plain.body());
    assert_eq!(layer.etag(), plain.etag());
}

#[tokio::test(start_paused = true)]
async fn description_does_not_change_id_or_route() {
    let enricher =
        RecordingEnricher::new(|_, _| Some(Model::new("z").with_upstream_id("elsewhere")));
    let model = Model::new("a").with_upstream_id("models/a");
    let over = Model::new("y")
        .with_upstream_id("elsewhere")
        .with_family("f");
    let layer = builder([Provider::fixed("lab", [model])])
        .enrich(enricher)
        .override_model("lab/a", over)
        .build()
        .unwrap();
    let snapshot = layer.cache().snapshot();
    assert_eq!(snapshot.len(), 1);
    let model = snapshot.get("lab/a").unwrap();
    assert_eq!((model.upstream_id(), model.model().id()), ("models/a", "a"));
    assert_eq!(model.model().family(), Some("f"));
}

#[tokio::test(start_paused = true)]
async fn enricher_runs_only_for_new_and_changed_models() {
    for mode in MODES {
        let shared = SharedList::new(["a", "b"]);
        let source = ScriptedSource::shared(&shared);
        let enricher = RecordingEnricher::of_context_length();
        let other = Provider::fixed("house", [Model::new("x")]);
        let (layer, _refresher) =
            mode.start(builder([Provider::source("lab", source), other]).enrich(enricher.clone()));
        let cache = layer.cache();
        assert_eq!(enricher.described(), ["house/x"]);
        cache.refresh().await.unwrap();
        assert_eq!(enricher.described(), ["lab/a", "lab/b"]);
        for _ in 0..5 {
            assert_eq!(record(&layer, "lab/a").await["context_length"], 1000);
            cache.refresh().await.unwrap();
        }
        assert_eq!(enricher.described(), [""; 0]);

        // New models are described, and unchanged ones are not.
        shared.set_ids(["b", "c"]);
        cache.refresh().await.unwrap();
        assert_eq!(enricher.described(), ["lab/c"]);
        assert_eq!(record(&layer, "lab/b").await["context_length"], 1000);
        let changed = Model::new("b").with_family("f");
        shared.set(Ok(ModelList::from_iter([changed, Model::new("c")])));
        cache.refresh().await.unwrap();
        assert_eq!(enricher.described(), ["lab/b"]);
        assert_eq!(record(&layer, "lab/b").await["context_length"], 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn new_generation_describes_every_model_once() {
    let enricher = RecordingEnricher::of_context_length();
    let layer = builder([Provider::fixed("lab", ["a", "b"].map(Model::new))])
        .enrich(enricher.clone())
        .build()
        .unwrap();
    let cache = layer.cache();
    let first = cache.snapshot();
    enricher.described();
    cache.reenrich().await;
    assert_eq!(enricher.described(), [""; 0]);
    assert_eq!(cache.snapshot().body().as_ptr(), first.body().as_ptr());

    enricher.generation.store(7, Ordering::SeqCst);
    settle().await;
    assert_eq!(cache.snapshot().etag(), first.etag());
    cache.reenrich().await;
    assert_eq!(enricher.described(), ["lab/a", "lab/b"]);
    assert_eq!(record(&layer, "lab/a").await["context_length"], 1007);
    let second = cache.snapshot();
    assert_ne!(second.etag(), first.etag());

    // Another enricher with the same facts: nothing is rendered again.
    let same = RecordingEnricher::new(|_, _| Some(Model::description().with_context_length(1007)));
    let layer = builder([Provider::fixed("lab", ["a", "b"].map(Model::new))])
        .enrich(same.clone())
        .build()
        .unwrap();
    let cache = layer.cache();
    let before = cache.snapshot();
    assert_eq!(
        (before.body(), before.etag()),
        (second.body(), second.etag())
    );
    same.generation.store(1, Ordering::SeqCst);
    same.described();
    cache.reenrich().await;
    assert_eq!(same.described(), ["lab/a", "lab/b"]);
    assert_eq!(cache.snapshot().body().as_ptr(), before.body().as_ptr());
}

#[tokio::test(start_paused = true)]
async fn panicking_enricher_is_skipped_and_counted() {
    for mode in [Mode::Build, Mode::Spawn] {
        let enricher = RecordingEnricher::new(|_, model| match model.id() {
            "bad" => panic!("panic in the enricher"),
            _ => Some(Model::description().with_family("f")),
        });
        let provider = Provider::source("lab", ScriptedSource::always(["bad", "good"]));
        let (layer, _refresher) = mode.start(
            builder([provider, Provider::fixed("house", [Model::new("x")])])
                .enrich(RecordingEnricher::new(|_, _| {
                    Some(Model::description().with_context_length(5))
                }))
                .enrich(enricher)
                .override_model("lab/bad", Model::description().with_max_output_tokens(9)),
        );
        let cache = layer.cache();
        cache.refresh().await.unwrap();
        let bad = record(&layer, "lab/bad").await;
        let expected = json!({"id": "lab/bad", "object": "model", "created": 0,
            "owned_by": "lab", "max_output_tokens": 9});
        assert_eq!(bad, expected);
        assert_eq!(record(&layer, "lab/good").await["family"], "f");
        let panics = |status: tower_models_cache::status::Status| {
            let providers = status.providers.into_iter();
            Vec::from_iter(providers.map(|provider| provider.enrich_panics))
        };
        assert_eq!(panics(cache.status()), [1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn unprintable_names_in_description_are_dropped() {
    let enricher = RecordingEnricher::new(|_, _| {
        let known = Model::description()
            .with_display_name("a\u{202e}b")
            .with_family("\n");
        Some(known.with_owned_by("o".repeat(513)).with_context_length(5))
    });
    let layer = builder([Provider::fixed("lab", [Model::new("a")])]).enrich(enricher);
    let record = record(&layer.build().unwrap(), "lab/a").await;
    let expected = json!({"id": "lab/a", "object": "model", "created": 0, "owned_by": "lab",
        "context_length": 5, "max_input_tokens": 5});
    assert_eq!(record, expected);
}

#[cfg(feature = "globs")]
#[tokio::test(start_paused = true)]
async fn later_override_replaces_earlier_per_fact() {
    let first = Model::description()
        .with_context_length(1)
        .with_family("first")
        .with_prices(prices("0.1", Some("0.2")));
    let second = Model::description()
        .with_family("second")
        .with_prices(prices("0.3", None));
    let models = ["qwen/a", "QWEN/a", "other"].map(Model::new);
    let layer = builder([Provider::fixed("lab", models).prefix(false)])
        .override_models(["lab/qwen*", "none/*"], first)
        .override_model("lab/qwen/a", second)
        .build()
        .unwrap();
    let both = record(&layer, "qwen/a").await;
    assert_eq!(both["context_length"], 1);
    assert_eq!(both["family"], "second");
    assert_eq!(
        both["pricing"],
        json!({"prompt": "0.3", "completion": "0.2"})
    );
    for other in ["QWEN/a", "other"] {
        assert_eq!(record(&layer, other).await["family"], Value::Null);
    }
}

#[test]
fn error_names_position_of_invalid_override() {
    let good = || Model::description().with_open_weights(true);
    let long = "x".repeat(513);
    for (facts, field) in [
        (good().with_context_length(0), "context_length"),
        (good().with_context_length(u64::MAX), "context_length"),
        (good().with_max_input_tokens(0), "max_input_tokens"),
        (good().with_max_output_tokens(0), "max_output_tokens"),
        (good().with_display_name(" "), "display_name"),
        (good().with_family("a\nb"), "family"),
        (good().with_owned_by(long), "owned_by"),
    ] {
        let error = builder([])
            .override_model("a/b", good())
            .override_model("a/b", facts);
        let error = error.build().unwrap_err();
        assert_eq!(error.field(), format!("overrides[1].{field}"));
    }
    for name in ["", "a", "a/"] {
        let error = builder([])
            .override_model(name, good())
            .build()
            .unwrap_err();
        assert_eq!(error.field(), "overrides[0].models");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[cfg(feature = "globs")]
#[test]
fn error_names_position_of_bad_override_glob() {
    for globs in [vec![], vec!["ok", "[a"], vec![""]] {
        let error = builder([])
            .override_models(globs, Model::description())
            .build()
            .unwrap_err();
        assert_eq!(error.field(), "overrides[0].models");
    }
}

fn known() -> impl Strategy<Value = Model> {
    let tokens = || proptest::option::of(1u64..9);
    let name = proptest::option::of("[a-z]{1,4}");
    let flag = || proptest::option::of(any::<bool>());
    (tokens(), tokens(), name, flag(), flag()).prop_map(|(window, most, family, open, tools)| {
        let mut model = Model::description()
            .with_context_length(window)
            .with_max_output_tokens(most)
            .with_open_weights(open)
            .with_capability(Capability::Tools, tools);
        if let Some(family) = family {
            model = model.with_family(family);
        }
        model
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fact_comes_from_first_source_that_has_it(over in known(), own in known(), more in known()) {
        let enricher = {
            let more = more.clone();
            RecordingEnricher::new(move |_, _| Some(more.clone()))
        };
        let mut builder = builder([Provider::fixed("lab", [of_id("a", own.clone())])]).enrich(enricher);
        if over != Model::description() {
            builder = builder.override_model("lab/a", over.clone());
        }
        let layer = builder.build().unwrap();
        let snapshot = layer.cache().snapshot();
        let model = snapshot.get("lab/a").unwrap().model();
        let all = [&over, &own, &more];
        fn first<T>(all: [&Model; 3], fact: impl Fn(&Model) -> Option<T>) -> Option<T> {
            all.into_iter().find_map(fact)
        }
        prop_assert_eq!(model.context_length(), first(all, Model::context_length));
        prop_assert_eq!(model.max_output_tokens(), first(all, Model::max_output_tokens));
        prop_assert_eq!(model.open_weights(), first(all, Model::open_weights));
        let family = |model: &Model| model.family().map(str::to_owned);
        prop_assert_eq!(family(model), first(all, family));
        let tools = |model: &Model| model.capabilities().get(Capability::Tools);
        prop_assert_eq!(tools(model), first(all, tools));
    }
}
