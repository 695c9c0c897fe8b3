//! Readers while lists change as fast as they can be published: each response is from one list,
//! whatever its coding. No clock is involved.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::support::net::within;
use crate::support::transports::{CODINGS, VARY, coding, decoded, list_under, only};
use crate::support::{ScriptedSource, ids};
use bytes::Bytes;
use http::Response;
use tokio::task::{JoinSet, yield_now};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, model::ModelList};

const READERS: usize = 8;
const PUBLICATIONS: usize = 200;
/// After this many lists, the writer waits until the readers have read the compressed ones.
const REST: usize = 40;

/// The providers, with the number of models of each.
const PROVIDERS: [(&str, usize); 3] = [("a", 20), ("b", 1), ("c", 40)];

/// The models of a generation, which is part of each id. Their number depends on it too, so that
/// no list is a prefix of another.
fn models(count: usize, generation: usize) -> impl Iterator<Item = Model> {
    let count = count + generation % 7;
    (0..count).map(move |n| {
        Model::new(format!("model-{n:02}-of-{generation:04}")).with_owned_by(format!("{count}"))
    })
}

/// The generation of each provider's models, which must be the same for all of them.
fn generations(list: &[u8]) -> BTreeMap<String, usize> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for id in ids(list) {
        let (provider, model) = id.split_once('/').unwrap();
        let (_, generation) = model.rsplit_once('-').unwrap();
        let generations = found.entry(provider.to_owned()).or_default();
        generations.push(generation.parse().unwrap());
    }
    let one = |(name, generations): (String, Vec<usize>)| {
        let first = generations[0];
        assert!(
            generations.iter().all(|&n| n == first),
            "{name} mixes generations"
        );
        let (_, count) = PROVIDERS.iter().find(|(other, _)| *other == name).unwrap();
        assert_eq!(generations.len(), models(*count, first).count(), "{name}");
        (name, first)
    };
    found.into_iter().map(one).collect()
}

/// What all readers have seen.
#[derive(Default)]
struct Seen {
    /// Body and coding by tag.
    responses: Mutex<HashMap<String, (Bytes, String)>>,
    /// The number of responses under each coding.
    codings: [AtomicUsize; 4],
    over: AtomicBool,
}

impl Seen {
    /// Checks a response against its headers and all previous ones, and returns its list.
    fn take(&self, response: &Response<Bytes>, requested: &str) -> Vec<u8> {
        let served = coding(response.headers());
        assert!(served == requested || served == "identity", "{served}");
        assert_eq!(only(response.headers(), "vary"), VARY);
        let list = decoded(response);
        let etag = only(response.headers(), "etag").to_owned();
        let this = (response.body().clone(), served.to_owned());
        let mut responses = self.responses.lock().unwrap();
        let first = responses.entry(etag).or_insert_with(|| this.clone());
        assert!(first == &this, "one tag, two representations");
        drop(responses);
        let position = CODINGS.iter().position(|name| *name == served).unwrap();
        self.codings[position].fetch_add(1, Ordering::SeqCst);
        list
    }

    /// Waits until the readers have read another list under each coding but identity.
    async fn more_of_each_coding(&self) {
        let seen = || self.codings.each_ref().map(|n| n.load(Ordering::SeqCst));
        let before = seen();
        within(async {
            while seen()[..3]
                .iter()
                .zip(before)
                .any(|(now, before)| *now == before)
            {
                yield_now().await;
            }
        })
        .await;
    }
}

/// Reads until the writer has finished, and once more after that. Each reader requests the
/// codings in a different order and never sees a provider go back.
async fn read(layer: StaticModelsCacheLayer, seen: Arc<Seen>, number: usize, together: bool) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_last = false;
    for turn in number.. {
        let requested = CODINGS[turn % CODINGS.len()];
        let response = list_under(&layer, requested).await;
        let now = generations(&seen.take(&response, requested));
        assert_eq!(now.len(), PROVIDERS.len());
        for (name, generation) in &now {
            let before = last.get(name).copied().unwrap_or(0);
            assert!(*generation >= before, "{name} went back");
        }
        if together {
            let first = now["a"];
            assert!(now.values().all(|&n| n == first), "{now:?}");
        }
        last = now;
        if is_last {
            break;
        }
        is_last = seen.over.load(Ordering::SeqCst);
        yield_now().await;
    }
    assert!(last.values().all(|&n| n == PUBLICATIONS), "{last:?}");
}

/// Starts the readers, publishes every generation and joins the readers.
async fn publish_all<F>(layer: StaticModelsCacheLayer, together: bool, publish: F)
where
    F: AsyncFn(usize),
{
    let seen = Arc::new(Seen::default());
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        readers.spawn(read(layer.clone(), Arc::clone(&seen), number, together));
    }
    for generation in 1..=PUBLICATIONS {
        publish(generation).await;
        if generation % REST == 0 {
            seen.more_of_each_coding().await;
        }
        // A reader that failed ends the test, which would wait for it otherwise.
        if let Some(failed) = readers.try_join_next() {
            failed.unwrap();
        }
    }
    seen.over.store(true, Ordering::SeqCst);
    within(readers.join_all()).await;
    let codings = seen.codings.each_ref().map(|n| n.load(Ordering::SeqCst));
    assert!(codings.iter().all(|&n| n > 0), "{codings:?}");
    let responses = seen.responses.lock().unwrap().len();
    assert!(responses > PUBLICATIONS / REST * 4, "{responses}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_set_providers_as_one_change() {
    let of = |generation| {
        PROVIDERS.map(|(name, count)| Provider::fixed(name, models(count, generation)))
    };
    let layer = StaticModelsCacheLayer::builder()
        .providers(of(0))
        .build()
        .unwrap();
    let cache = layer.cache();
    publish_all(layer, true, async |generation| {
        cache.set_providers(of(generation)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_complete_lists_during_refresh() {
    let generation = Arc::new(AtomicUsize::new(0));
    let source = |count| {
        let generation = Arc::clone(&generation);
        ScriptedSource::new(move |_| {
            let generation = generation.load(Ordering::SeqCst);
            async move { Ok::<_, Infallible>(ModelList::from_iter(models(count, generation))) }
        })
    };
    let layer = StaticModelsCacheLayer::builder()
        .providers(PROVIDERS.map(|(name, count)| Provider::source(name, source(count))))
        .build()
        .unwrap();
    let cache = layer.cache();
    cache.refresh().await.unwrap();
    publish_all(layer, false, async |next| {
        generation.store(next, Ordering::SeqCst);
        cache.refresh().await.unwrap();
    })
    .await;
}
