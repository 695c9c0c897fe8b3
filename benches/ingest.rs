//! The cost of ingesting a provider's list: `cargo bench --bench ingest`.
//!
//! From the bytes of the response to the published list: fetched, parsed, validated,
//! sorted, rendered and hashed. The baseline is a parse of the same bytes into
//! `serde_json::Value`, which validates nothing and serves nothing.
//!
//! `MODELS_CAPTURES` names a folder of real lists; the largest of them is measured too.

mod support;

use std::{cell::Cell, fs, path::Path};

use bytes::Bytes;
use support::{
    rich,
    rounds::{self, Case, human},
};
use tower_models_cache::provider::Dialect;

const CAPTURE: &str = "openrouter/models_all_modalities_2026-08-04.json";

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let rounds = if quick { 1 } else { 200 };
    println!("## From the bytes of a response to the published list");
    ingest(
        "made up, as rich as OpenRouter's",
        rich::openrouter(700),
        rounds,
    );
    if let Some(folder) = std::env::var_os("MODELS_CAPTURES") {
        let list = fs::read(Path::new(&folder).join(CAPTURE));
        ingest("captured", list.expect("the capture is there"), rounds);
    }
}

fn ingest(name: &str, list: Vec<u8>, rounds: usize) {
    let list = Bytes::from(list);
    let (models, served) = (Cell::new(0), Cell::new(0));
    let parse = || serde_json::from_slice::<serde_json::Value>(&list).expect("is JSON");
    let parse_alone = || {
        let mut value = None;
        let took = rounds::time(|| value = Some(parse()));
        drop(value);
        took
    };
    let read = || Dialect::OpenRouter.read(&list).expect("is a list");
    let whole = || {
        // `block_on` returns before it polls another task, and the runtime is dropped then,
        // so compression of the list does not start.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(1)
            .enable_time()
            .build()
            .expect("a runtime");
        let cache = support::of_response(list.clone(), Dialect::OpenRouter).cache();
        let took = runtime.block_on(async {
            let thread = tokio::runtime::Handle::current().spawn_blocking(|| {});
            thread.await.expect("does nothing"); // start the thread
            rounds::time_of(cache.refresh()).await
        });
        models.set(cache.snapshot().len());
        served.set(cache.snapshot().body().len());
        took
    };
    let mut cases = [
        Case::new("`Value`: parse", parse_alone),
        Case::whole("`Value`: parse and drop", parse),
        Case::whole("`Dialect::read` alone", read),
        Case::new("**fetch, parse, ingest, publish**", whole),
    ];
    rounds::run(rounds, &mut cases);
    println!(
        "\n### {name}: {} models in {} kB, {} kB served\n",
        models.get(),
        list.len() / 1000,
        served.get() / 1000,
    );
    println!("| | median | to `Value` |\n| --- | --: | --: |");
    for case in &cases {
        let ratio = case.ratio(&cases[0]);
        println!("| {} | {} | {ratio:.2} |", case.name, human(case.median()));
    }
}
