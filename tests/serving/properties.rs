//! Properties of every set of providers, every history and every upstream body.

use std::{collections::HashSet, convert::Infallible};

use crate::support::{ScriptedSource, SharedList, builder, get, send};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tower_models_cache::{
    Model, Provider, StaticModelsCacheLayer,
    error::ListErrorKind,
    model::{Capability, Deprecation, Modalities, Modality, ModelList, Prices},
};

const CASES: u32 = 48;

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

/// Ids that collide with each other behind the prefixes of `NAMES`, and ids that are difficult in
/// JSON, in a path or in both.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abü]",
        3 => "(a|b|ü x|\")/[ab]",
        2 => "(a|b)/(a|b)/[ab]",
        2 => "[ab/\\\\\"'%?#.:@ +&<>\u{2028}\u{e9}\u{1f600}]{1,8}",
        1 => any::<String>(),
        1 => "[a-z]{512}",
        1 => "[a-z]{513}",
    ]
}

const NAMES: [&str; 5] = ["a", "b", "ü x", "\"", "%2F?#"];

/// Whether a text is valid as an id or as a display name.
fn is_bad(text: &str) -> bool {
    let bad = |c: char| {
        c.is_control()
            || "\u{61c}\u{200e}\u{200f}\u{fffd}".contains(c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.len() > 512 || text.contains(bad)
}

fn model() -> impl Strategy<Value = Model> {
    let facts = (
        option::of(any::<u32>()),
        option::of(any::<String>()),
        option::of(any::<String>()),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    let more = (
        option::of(any::<bool>()),
        option::of(0_u32..1_000_000),
        option::of((2020_i16..2097, 1_i8..13)),
        option::of(any::<String>()),
    );
    let modality = || {
        vec(
            select(&[Modality::Text, Modality::Image, Modality::Video][..]),
            0..3,
        )
    };
    (id(), facts, more, (modality(), modality())).prop_map(|(id, facts, more, (input, output))| {
        let (created, owner, name, context, most) = facts;
        let (tools, price, day, extra) = more;
        let price = price.map(|units| format!("{units}e-9").parse().unwrap());
        let prices = Prices {
            prompt: price,
            request: price,
            ..Prices::default()
        };
        let mut model = Model::new(id)
            .with_created(created)
            .with_context_length(context)
            .with_max_output_tokens(most)
            .with_input(Modalities::from_iter(input))
            .with_output(Modalities::from_iter(output))
            .with_capability(Capability::Tools, tools)
            .with_prices(prices)
            .with_deprecation(day.and_then(|(year, month)| Deprecation::on(year, month, 1)));
        if let Some(extra) = extra {
            model = model.with_extra("license", extra);
        }
        if let Some(owner) = owner {
            model = model.with_owned_by(owner);
        }
        if let Some(name) = name {
            model = model.with_display_name(name);
        }
        model
    })
}

/// Checks all invariants of what a layer lists.
async fn check(layer: &StaticModelsCacheLayer) -> Result<(), TestCaseError> {
    let response = send(layer, get("/v1/models")).await;
    prop_assert_eq!(response.status(), 200);
    let text = std::str::from_utf8(response.body()).unwrap();
    let envelope = text.starts_with(r#"{"object":"list","data":["#) && text.ends_with("]}");
    prop_assert!(envelope, "{}", text);
    let body: serde_json::Value = serde_json::from_str(text).unwrap();
    prop_assert_eq!(body.as_object().unwrap().len(), 2);
    let data = body["data"].as_array().unwrap();
    let snapshot = layer.cache().snapshot();
    prop_assert_eq!(response.body(), &snapshot.body());
    prop_assert_eq!(data.len(), snapshot.len());
    prop_assert_eq!(snapshot.iter().count(), snapshot.len());

    let mut ids = HashSet::new();
    let mut records = Vec::new();
    for (record, listed) in data.iter().zip(snapshot.iter()) {
        let id = record["id"].as_str().unwrap();
        prop_assert!(ids.insert(id), "{} is listed twice", id);
        prop_assert_eq!(id, &listed.id());
        prop_assert_eq!(&record["object"], "model");
        prop_assert!(u32::try_from(record["created"].as_u64().unwrap()).is_ok());
        prop_assert!(record["owned_by"].is_string());

        let found = snapshot.get(id).unwrap();
        prop_assert_eq!(found.provider(), listed.provider());
        prop_assert_eq!(found.upstream_id(), listed.upstream_id());

        let path = format!("/v1/models/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let one = send(layer, get(&path)).await;
        prop_assert_eq!(one.status(), 200, "{}", path);
        let whole: serde_json::Value = serde_json::from_slice(one.body()).unwrap();
        prop_assert_eq!(&whole, record);
        let etag = one.headers()["etag"].clone();
        let again = Request::get(&path).header("if-none-match", &etag);
        let again = send(layer, again.body(Empty::new()).unwrap()).await;
        prop_assert_eq!(again.status(), 304);
        prop_assert_eq!(&again.headers()["etag"], &etag);
        prop_assert!(again.body().is_empty());
        records.push(one.into_body());
    }
    // The list is the concatenation of its models, byte for byte.
    let joined = records.join(&b","[..]);
    let whole = [&br#"{"object":"list","data":["#[..], &joined, b"]}"].concat();
    prop_assert_eq!(response.body(), &whole);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn listed_ids_are_complete_unique_and_routed(
        lists in vec((any::<bool>(), vec(model(), 0..12)), 0..NAMES.len()),
    ) {
        run(async {
            let providers = NAMES.into_iter().zip(lists).map(|(name, (prefixed, models))| {
                let source = ScriptedSource::new(move |_| {
                    let models = models.clone();
                    async { Ok::<_, Infallible>(ModelList::from(models)) }
                });
                Provider::source(name, source).prefix(prefixed)
            });
            // A provider that always has a model: an entirely empty list would be a 503.
            let house = Provider::fixed("house", [Model::new("x")]);
            let layer = builder(providers.chain([house])).build().unwrap();
            check(&layer).await
        })?;
    }

    #[test]
    fn model_facts_are_served_unchanged(model in model()) {
        run(async {
            let source = ScriptedSource::new({
                let model = model.clone();
                move |_| {
                    let list = ModelList::from_iter([model.clone()]);
                    async { Ok::<_, Infallible>(list) }
                }
            });
            let layer = builder([Provider::source("lab", source)]).build().unwrap();
            let _ = layer.cache().refresh().await;
            let snapshot = layer.cache().snapshot();
            let Some(listed) = snapshot.iter().next() else {
                // Rejected for its id alone.
                prop_assert!(model.id().is_empty() || is_bad(model.id()));
                return Ok(());
            };
            let owner = model.owned_by().filter(|owner| !is_bad(owner));
            let name = model.display_name().filter(|name| !is_bad(name));
            // Today's date is dropped as the date of the request, and one before 2015 as
            // implausible.
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let kept = |at: &u32| *at >= 1_420_070_400 && u64::from(*at) + 2 * 3600 < now;
            let dropped = |at: &u32| *at < 1_420_070_400 || u64::from(*at) >= now;
            let created = model.created();
            let whole = owner == model.owned_by() && name == model.display_name();
            if whole && created.as_ref().is_none_or(kept) {
                prop_assert_eq!(listed.model(), &model);
            }
            let record: serde_json::Value = serde_json::from_slice(&snapshot.body()).unwrap();
            let record = &record["data"][0];
            prop_assert_eq!(&record["id"], &format!("lab/{}", model.id()));
            prop_assert_eq!(&record["owned_by"], owner.unwrap_or("lab"));
            prop_assert_eq!(record["name"].as_str(), name);
            prop_assert_eq!(record["context_length"].as_u64(), model.context_length());
            prop_assert_eq!(record["max_output_tokens"].as_u64(), model.max_output_tokens());
            let shape = &record["architecture"];
            prop_assert_eq!(&shape["input_modalities"], &to_json(model.input()));
            prop_assert_eq!(&shape["output_modalities"], &to_json(model.output()));
            let tools = model.capabilities().get(Capability::Tools);
            prop_assert_eq!(record["capabilities"]["tools"].as_bool(), tools);
            let price = model.prices().and_then(|prices| prices.prompt);
            let price = price.map(|price| price.to_string());
            prop_assert_eq!(record["pricing"]["prompt"].as_str(), price.as_deref());
            let end = model.deprecation().map(|end| end.to_string());
            prop_assert_eq!(record["deprecation_date"].as_str(), end.as_deref());
            let license = model.extra("license").map(|json| serde_json::from_str(json).unwrap());
            prop_assert_eq!(record.get("license"), license.as_ref());
            if created.as_ref().is_none_or(|at| kept(at) || dropped(at)) {
                prop_assert_eq!(&record["created"], created.filter(kept).unwrap_or(0));
            }
            Ok(())
        })?;
    }
}

/// The set as JSON, or null if it is empty.
fn to_json(set: Modalities) -> serde_json::Value {
    if set.is_empty() {
        return serde_json::Value::Null;
    }
    serde_json::to_value(set).unwrap()
}

// ===== Incremental publication =====

/// An event for some provider, selected by position.
#[derive(Clone, Debug)]
enum Step {
    Answer(usize, Vec<Model>),
    Confirm(usize),
    Fail(usize),
    Remove(usize),
    Add(usize, bool),
    Swap(usize, usize),
    Turn(usize),
    Name(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..NAMES.len();
    prop_oneof![
        4 => (at(), vec(stable_model(), 0..6)).prop_map(|(at, models)| Step::Answer(at, models)),
        1 => at().prop_map(Step::Confirm),
        1 => at().prop_map(Step::Fail),
        1 => at().prop_map(Step::Remove),
        3 => (at(), any::<bool>()).prop_map(|(at, prefixed)| Step::Add(at, prefixed)),
        1 => (at(), at()).prop_map(|(one, two)| Step::Swap(one, two)),
        1 => at().prop_map(Step::Turn),
        1 => (at(), any::<bool>()).prop_map(|(at, named)| Step::Name(at, named)),
    ]
}

/// Few ids, so that they collide and reappear.
fn stable_model() -> impl Strategy<Value = Model> {
    let id = prop_oneof!["[abc]", "(a|b|ü x)/[ab]", "(a|b)/(a|b)/[ab]"];
    (id, option::of(1..3_u64)).prop_map(|(id, tokens)| Model::new(id).with_context_length(tokens))
}

#[derive(Clone)]
struct Known {
    provider: Provider,
    shared: SharedList,
    last_good: Option<ModelList>,
    prefixed: bool,
    named: bool,
}

impl Known {
    fn new(name: &str, prefixed: bool) -> Self {
        let shared = SharedList::new([]);
        shared.set(Err(ListErrorKind::Transport));
        Self {
            provider: Provider::source(name, ScriptedSource::shared(&shared)),
            shared,
            last_good: None,
            prefixed,
            named: false,
        }
    }

    fn set(&self, provider: Provider) -> Provider {
        let provider = provider.prefix(self.prefixed);
        if self.named {
            provider.display_name("N")
        } else {
            provider
        }
    }

    fn provider(&self) -> Provider {
        self.set(self.provider.clone())
    }

    /// A layer that never had another configuration.
    fn fresh(&self) -> Provider {
        let shared = SharedList::new([]);
        shared.set(self.last_good.clone().ok_or(ListErrorKind::Transport));
        self.set(Provider::source(
            self.provider.name(),
            ScriptedSource::shared(&shared),
        ))
    }
}

/// Performs a step and returns whether the set of providers has changed.
async fn take(step: Step, known: &mut Vec<Known>, layer: &StaticModelsCacheLayer) -> bool {
    let cache = layer.cache();
    let count = known.len();
    match step {
        Step::Add(at, prefixed) => {
            if known.iter().any(|one| one.provider.name() == NAMES[at]) {
                return false;
            }
            known.insert(at.min(count), Known::new(NAMES[at], prefixed));
            return true;
        }
        _ if count == 0 => return false,
        Step::Answer(at, models) => {
            let one = &mut known[at % count];
            let list = ModelList::from(models);
            one.shared.set(Ok(list.clone()));
            one.last_good = Some(list);
            cache.refresh_provider(one.provider.name()).await.unwrap();
        }
        Step::Confirm(at) => {
            let name = known[at % count].provider.name();
            let _ = cache.refresh_provider(name).await;
        }
        Step::Fail(at) => {
            let one = &known[at % count];
            one.shared.set(Err(ListErrorKind::Timeout));
            cache
                .refresh_provider(one.provider.name())
                .await
                .unwrap_err();
        }
        Step::Remove(at) => {
            known.remove(at % count);
            return true;
        }
        Step::Swap(one, two) => {
            known.swap(one % count, two % count);
            return true;
        }
        Step::Turn(at) => {
            known[at % count].prefixed ^= true;
            return true;
        }
        Step::Name(at, named) => {
            known[at % count].named = named;
            return true;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn incremental_list_equals_fresh_list(steps in vec(step(), 1..24)) {
        run(async {
            let layer = builder([]).accept_empty(true).build().unwrap();
            let mut known = Vec::new();
            for step in steps {
                if take(step, &mut known, &layer).await {
                    let providers = known.iter().map(Known::provider);
                    layer.cache().set_providers(providers).await.unwrap();
                }
                let fresh = builder(known.iter().map(Known::fresh)).build().unwrap();
                let _ = fresh.cache().refresh().await;
                let (ours, theirs) = (layer.cache().snapshot(), fresh.cache().snapshot());
                prop_assert_eq!(ours.body(), theirs.body());
                prop_assert_eq!(ours.etag(), theirs.etag());
                for (one, other) in ours.iter().zip(theirs.iter()) {
                    prop_assert_eq!(one.id(), other.id());
                    prop_assert_eq!(one.provider(), other.provider());
                }
                let counts = |layer: &StaticModelsCacheLayer| -> Vec<_> {
                    let status = layer.cache().status();
                    status.providers.iter().map(|one| (one.models, one.shadowed)).collect()
                };
                prop_assert_eq!(counts(&layer), counts(&fresh));
            }
            let house = Known::new("house", true);
            house.shared.set_ids(["x"]);
            known.push(house);
            layer.cache().set_providers(known.iter().map(Known::provider)).await.unwrap();
            check(&layer).await
        })?;
    }
}

// ===== Hostile bytes =====

/// Bytes from nonsense to almost a list.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let good = r#"{"object":"list","data":[{"id":"a","object":"model","created":1,"owned_by":"x"},{"id":"b"}]}"#;
    let cut = move |(at, with): (usize, Vec<u8>)| {
        let mut bytes = good.as_bytes().to_vec();
        let at = at % bytes.len();
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        bytes
    };
    let deep = |(depth, open): (usize, bool)| {
        if open {
            "[".repeat(depth)
        } else {
            r#"{"data":"#.repeat(depth)
        }
        .into_bytes()
    };
    prop_oneof![
        2 => vec(any::<u8>(), 0..300),
        4 => (any::<usize>(), vec(any::<u8>(), 0..4)).prop_map(cut),
        2 => (0..good.len()).prop_map(move |length| good.as_bytes()[..length].to_vec()),
        1 => (0..200_000_usize, any::<bool>()).prop_map(deep),
        2 => r#"\{"(data|models|object|error)":(\[\]|\{\}|null|1|"x"|\[\{"id":("[ab]"|1|null)\}\])\}"#
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * CASES, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_body_never_clears_a_list(body in body(), status in prop_oneof![Just(200_u16), 200..599_u16]) {
        run(async {
            let responses = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let service = tower::service_fn(move |_: Request<Empty<Bytes>>| {
                let first = responses.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
                let response = if first {
                    Response::new(Full::<Bytes>::from(r#"{"data":[{"id":"good"}]}"#))
                } else {
                    let response = Response::builder().status(status);
                    response.body(Full::from(body.clone())).unwrap()
                };
                async { Ok::<_, Infallible>(response) }
            });
            let layer = builder([Provider::http("lab", service)]).build().unwrap();
            layer.cache().refresh().await.unwrap();
            let before = layer.cache().snapshot();
            match layer.cache().refresh_provider("lab").await {
                Ok(_) => prop_assert!(!layer.cache().snapshot().is_empty()),
                Err(error) => {
                    prop_assert!(error.kind() != ListErrorKind::Panic);
                    prop_assert_eq!(layer.cache().snapshot().body(), before.body());
                }
            }
            check(&layer).await
        })?;
    }
}
