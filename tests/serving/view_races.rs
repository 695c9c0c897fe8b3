//! A view never shows a model that its predicate rejects, whatever is published meanwhile.

use crate::support::dialects;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::dialects::with_all_dialects;
use crate::support::{builder, send};
use http::HeaderValue;
use tower_models_cache::{ClientDialect, Model, Provider, View};

/// In round `n`, `a` lists the even numbers below 12 + n % 7 and `b` the odd ones. Which of them
/// are secret changes with each round, from one provider to the other.
fn providers(round: usize) -> [Provider; 2] {
    let of = |odd: usize| {
        let numbers = (0..12 + round % 7).filter(move |number| number % 2 == odd);
        let secret = move |number: usize| (number + round).is_multiple_of(3);
        numbers.map(move |number| {
            let kind = if secret(number) { "secret" } else { "open" };
            Model::new(format!("{kind}-{number:02}-{round:05}"))
        })
    };
    let (a, b) = (Provider::fixed("a", of(0)), Provider::fixed("b", of(1)));
    if round.is_multiple_of(2) {
        [a, b]
    } else {
        [b, a]
    }
}

#[test]
fn hidden_models_stay_hidden_during_changes() {
    let hook = |request: &http::request::Parts| {
        let caller = request.headers.get("x-caller").ok_or("no caller")?;
        Ok(match caller.to_str()? {
            "open" => View::named("open", |model| model.model().id().starts_with("open")),
            "a" => View::named("a", |model| model.provider() == "a"),
            _ => View::all(),
        })
    };
    let layer = with_all_dialects(builder(providers(0)))
        .views(hook)
        .max_views(1);
    let layer = layer.build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let looked = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (layer, stop, looked) = (layer.clone(), Arc::clone(&stop), Arc::clone(&looked));
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let mut turn = reader;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let dialect = dialects::ALL[turn % 5];
                    let caller = ["open", "a", "all"][turn % 3];
                    let size = [3, 1_000][turn % 2];
                    let query = dialects::limit(dialect, size);
                    let mut request = dialects::list(dialect, &query);
                    let caller_value = HeaderValue::from_static(caller);
                    request.headers_mut().insert("x-caller", caller_value);
                    let response = runtime.block_on(send(&layer, request));
                    assert_eq!(response.status(), 200);
                    check(
                        caller,
                        dialect,
                        size,
                        &dialects::ids(dialect, response.body()),
                    );
                    looked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for round in 1..400 {
        let cache = layer.cache();
        let published = cache.set_providers(providers(round));
        runtime.block_on(published).unwrap();
        while looked.load(Ordering::Relaxed) < round {
            thread::yield_now();
            assert!(
                !readers.iter().any(thread::JoinHandle::is_finished),
                "a reader failed"
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Checks that the list is the caller's view of a single publication.
fn check(caller: &str, dialect: ClientDialect, size: usize, ids: &[String]) {
    let round = |id: &String| id.rsplit('-').next().unwrap().parse::<usize>().unwrap();
    let Some(round) = ids.first().map(round) else {
        panic!("{caller} sees a model in every round");
    };
    let all = providers(round);
    let snapshot = builder(all).build().unwrap().cache().snapshot();
    let sees = |id: &str| match caller {
        "open" => id.contains("/open-"),
        "a" => id.starts_with("a/"),
        _ => true,
    };
    let mut expected: Vec<_> = (snapshot.iter().map(|model| model.id().into_owned()))
        .filter(|id| sees(id))
        .collect();
    if dialects::PAGED.contains(&dialect) {
        expected.sort();
        expected.truncate(size);
    }
    assert_eq!(ids, expected, "{caller} {dialect:?} in round {round}");
}
