//! The cost of a publication, and of each coding: `cargo bench --all-features --bench
//! publish`.
//!
//! For comparison: a copy of the body, which every publication needs, and what a gateway
//! without a prepared body does per request: merge and serialise everything.

mod support;
// The codings as built in. They are not part of the crate's public interface.
#[path = "../src/compress/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a bench uses its part of it")]
mod compress;
#[path = "../src/encoding.rs"]
#[allow(dead_code, unreachable_pub, reason = "a bench uses its part of it")]
mod encoding;
#[path = "../src/header_values.rs"]
#[allow(dead_code, unreachable_pub, reason = "a bench uses its part of it")]
mod header_values;

use std::{
    cell::RefCell,
    convert::Infallible,
    hint::black_box,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::header;
use serde::Serialize;
use support::{
    Constant, LIST_REQUESTS, ListRequest,
    rounds::{self, Case, human, time},
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tower_models_cache::{
    ClientDialect, Model, ModelsCache, Provider, StaticModelsCache, StaticModelsCacheLayer,
    model::ModelList, provider::ListModels,
};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    println!("## Publication of everything");
    for (models, rounds) in [(50, 200), (500, 100), (5_000, 30), (50_000, 5)] {
        whole(&runtime, models, if quick { 1 } else { rounds });
    }
    println!("\n## Publication of everything, in all five dialects");
    for (models, rounds) in [(500, 100), (5_000, 30)] {
        in_all_dialects(&runtime, models, if quick { 1 } else { rounds });
    }
    println!("\n## One of 50 providers changes, of 5,000 models");
    one_of_fifty(&runtime, if quick { 1 } else { 15 });
    println!("\n## Codings");
    for bytes in [100_000, 1_500_000, 15_000_000] {
        codings(bytes, quick, true);
    }
    println!("\n## Codings where their levels change, just below");
    for bytes in [128 << 10, 1 << 20, 2 << 20, 4 << 20] {
        codings(bytes - (bytes >> 6), quick, false);
    }
}

fn print(cases: &[Case<'_>], floor: usize) {
    println!(
        "| | median | to {} |\n| --- | --: | --: |",
        cases[floor].name
    );
    for case in cases {
        let ratio = case.ratio(&cases[floor]);
        println!("| {} | {} | {ratio:.2} |", case.name, human(case.median()));
    }
}

// ===== Publication =====

/// Different models with the same structure, so that they compress like a real list.
fn models(count: usize, created: u32) -> Vec<Model> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    let mut pick = |of: &[&'static str]| of[random.usize(..of.len())];
    (0..count)
        .map(|index| {
            let owner = pick(&[
                "acme",
                "meadow",
                "north-star",
                "open-lab",
                "quill",
                "vector",
            ]);
            let family = pick(&[
                "aurora", "basalt", "cobalt", "delta", "ember", "flint", "gale",
            ]);
            let size = pick(&["1b", "3b", "7b", "8x7b", "13b", "70b", "405b"]);
            let kind = pick(&["instruct", "chat", "coder", "vision", "embed", "preview"]);
            let made = pick(&["A fast model for", "The largest model for", "A preview for"]);
            let purpose = pick(&[
                "code",
                "long documents",
                "tools and agents",
                "images",
                "search",
            ]);
            let context = pick(&["8192", "32768", "131072", "200000", "1048576"]);
            let digest = fastrand::Rng::with_seed(index as u64).u32(..);
            Model::new(format!(
                "{owner}/{family}-{size}-{kind}-{index:05}-{digest:08x}"
            ))
            .with_created(1_500_000_000 + digest % 250_000_000 + created)
            .with_owned_by(owner)
            .with_display_name(format!("{family} {size} {kind} {index}. {made} {purpose}"))
            .with_context_length(context.parse::<u64>().ok())
            .with_max_output_tokens(u64::from(digest % 32) * 1024)
        })
        .collect()
}

fn split(models: Vec<Model>, providers: usize) -> impl Iterator<Item = (String, Vec<Model>)> {
    let size = models.len() / providers;
    let name = |index| format!("provider-{index}");
    let parts: Vec<_> = models.chunks(size).map(<[_]>::to_vec).collect();
    parts
        .into_iter()
        .enumerate()
        .map(move |(index, part)| (name(index), part))
}

/// Every provider is new, and every record is rendered.
fn whole(runtime: &Runtime, count: usize, rounds: usize) {
    // A cache that is shut down still publishes, but does not compress.
    let stop = CancellationToken::new();
    stop.cancel();
    let layer = StaticModelsCacheLayer::builder().cancellation_token(stop);
    let cache = layer.build().expect("settings are good").cache();
    let turn = AtomicU32::new(0);
    let publish = || {
        let models = models(count, turn.fetch_add(1, Ordering::Relaxed));
        let fixed = |(name, models)| Provider::fixed(name, models);
        let providers: Vec<_> = split(models, 10).map(fixed).collect();
        time(|| {
            let published = runtime.block_on(cache.set_providers(providers));
            published.expect("providers are good");
        })
    };
    publish();
    let body = cache.snapshot().body();
    assert_eq!(cache.snapshot().len(), count);
    let held: Vec<_> = split(models(count, 0), 10).collect();
    let mut cases = [
        Case::whole("a copy of the body", || body.to_vec()),
        Case::whole("merge and serialise", || serialise(&held)),
        Case::new("**publication**", publish),
    ];
    rounds::run(rounds, &mut cases);
    println!("\n### {count} models, {} kB\n", body.len() / 1000);
    print(&cases, 0);
}

/// A publication with further dialects: none requested, some requested, and two views.
fn in_all_dialects(runtime: &Runtime, count: usize, rounds: usize) {
    let turn = AtomicU32::new(0);
    let publish = |dialects: &[ClientDialect], requested: &[ListRequest]| {
        let stop = CancellationToken::new();
        stop.cancel();
        let builder = StaticModelsCacheLayer::builder()
            .client_dialects(dialects.iter().copied())
            .views(support::view)
            .cancellation_token(stop);
        let layer = builder.build().expect("settings are good");
        let (cache, requested) = (layer.cache(), requested.to_vec());
        let mut service = layer.service();
        let turn = &turn;
        move || {
            // Lists that were requested since the last publication are rendered for the
            // next.
            for (_, request) in &requested {
                runtime
                    .block_on(service.call(request()))
                    .expect("never fails");
            }
            let models = models(count, turn.fetch_add(1, Ordering::Relaxed));
            let fixed = |(name, models)| Provider::fixed(name, models);
            let providers: Vec<_> = split(models, 10).map(fixed).collect();
            time(|| {
                let published = runtime.block_on(cache.set_providers(providers));
                published.expect("providers are good");
            })
        }
    };
    let of = |names: &[&str]| -> Vec<ListRequest> {
        let is_named = |(name, _): &ListRequest| names.contains(name);
        LIST_REQUESTS.into_iter().filter(is_named).collect()
    };
    let all = support::DIALECTS;
    let mut cases = [
        Case::new(
            "OpenAI's dialect only",
            publish(&[ClientDialect::OpenAi], &[]),
        ),
        Case::new("all five enabled, none requested", publish(&all, &[])),
        Case::new("Anthropic's requested", publish(&all, &of(&["anthropic"]))),
        Case::new(
            "**all five requested**",
            publish(&all, &of(&["anthropic", "gemini", "ollama", "codex"])),
        ),
        Case::new("a view requested", publish(&all, &of(&["view"]))),
    ];
    rounds::run(rounds, &mut cases);
    println!("\n### {count} models\n");
    print(&cases, 0);
}

/// The list as a gateway makes it that caches only the providers' lists.
fn serialise(held: &[(String, Vec<Model>)]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Record<'a> {
        id: String,
        object: &'static str,
        created: u32,
        owned_by: &'a str,
        name: Option<&'a str>,
        context_length: Option<u64>,
        max_output_tokens: Option<u64>,
    }
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<Record<'a>>,
    }
    let mut data = Vec::new();
    for (name, models) in held {
        data.extend(models.iter().map(|model| Record {
            id: format!("{name}/{}", model.id()),
            object: "model",
            created: model.created().unwrap_or(0),
            owned_by: model.owned_by().unwrap_or(name),
            name: model.display_name(),
            context_length: model.context_length(),
            max_output_tokens: model.max_output_tokens(),
        }));
    }
    let object = "list";
    serde_json::to_vec(&List { object, data }).expect("is serialisable")
}

/// A provider is fetched again and returns other models: from the call to the new list.
fn one_of_fifty(runtime: &Runtime, rounds: usize) {
    const CHANGING: &str = "provider-25";
    let turn = Arc::new(AtomicU32::new(0));
    let source = |(name, models): (String, Vec<Model>)| {
        let turn = Arc::clone(&turn);
        let changes = name == CHANGING;
        Provider::source(
            name,
            tower::service_fn(move |_: ListModels| {
                let mut models = models.clone();
                if changes {
                    let turn = turn.fetch_add(1, Ordering::Relaxed);
                    models[0] = Model::new(format!("new-in-round-{turn}"));
                }
                async { Ok::<_, Infallible>(ModelList::from(models)) }
            }),
        )
    };
    let layer = StaticModelsCacheLayer::builder()
        .providers(split(models(5_000, 0), 50).map(source))
        .build()
        .expect("settings are good");
    let cache = layer.cache();
    let mut service = layer.layer(Constant::plain("{}".into()));
    runtime.block_on(cache.refresh()).expect("all have lists");
    let change = || {
        runtime.block_on(async {
            // Do not compress the last list in the meantime.
            encoded(&mut service).await;
            let before = cache.snapshot().etag().to_owned();
            let took = rounds::time_of(cache.refresh_provider(CHANGING)).await;
            assert_ne!(cache.snapshot().etag(), before);
            took
        })
    };
    let body = cache.snapshot().body();
    let held: Vec<_> = split(models(5_000, 0), 50).collect();
    let hashed = || {
        let copy = body.to_vec();
        (twox_hash::XxHash3_128::oneshot(&copy), copy)
    };
    let mut cases = [
        Case::new("a copy of the body", cold(|| body.to_vec())),
        Case::new("a copy and its hash", cold(hashed)),
        Case::new("merge and serialise", cold(|| serialise(&held))),
        Case::new("**fetch, ingest, publish**", change),
    ];
    rounds::run(rounds, &mut cases);
    println!("\n{} kB\n", body.len() / 1000);
    print(&cases, 0);
}

/// Measures work after other work, as compression runs between any two publications, so
/// that the processor's caches are cold.
fn cold<T>(mut work: impl FnMut() -> T) -> impl FnMut() -> Duration {
    move || {
        drop(black_box(vec![1_u8; 64 << 20]));
        time(|| drop(black_box(work())))
    }
}

/// Waits until the list is compressed.
async fn encoded(service: &mut StaticModelsCache<Constant>) {
    let br = || support::with(support::get("/v1/models"), header::ACCEPT_ENCODING, "br");
    while !support::run(service, br())
        .headers()
        .contains_key(header::CONTENT_ENCODING)
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

// ===== Codings =====

/// The time budget per coding, on one core.
const BUDGET: Duration = Duration::from_millis(200);

/// The codings of a list of about this size: as built in, and at other levels.
fn codings(bytes: usize, quick: bool, other_levels: bool) {
    let body = list_of(bytes);
    let runs = if quick { 1 } else { 3 };
    println!("\n### {} kB\n", body.len() / 1000);
    println!("| | of one core | ratio |\n| --- | --: | --: |");
    let row = |name: &str, took: Duration, encoded: usize| {
        let ratio = body.len() as f64 / encoded as f64;
        let mark = if took > BUDGET { ", over budget" } else { "" };
        println!(
            "| {name} | {}{mark} | {ratio:.1} |",
            human(took.as_secs_f64())
        );
    };
    let mut built_in: Vec<(String, Duration, usize)> = Vec::new();
    for _ in 0..runs {
        let moments = RefCell::new(Vec::new());
        let tick = || {
            moments.borrow_mut().push(rounds::now());
            false
        };
        let encoded = compress::encode(&body, encoding::CompressionLevel::Best, tick)
            .expect("is never stopped");
        tick();
        let moments = moments.into_inner();
        for (index, (coding, encoded)) in encoded.iter().enumerate() {
            let took = moments[index + 1] - moments[index];
            match built_in.get_mut(index) {
                Some((_, least, _)) => *least = took.min(*least),
                None => {
                    let name = format!("**{}, built in**", coding.token());
                    built_in.push((name, took, encoded.len()));
                }
            }
        }
    }
    for (name, took, encoded) in built_in {
        row(&name, took, encoded);
    }
    if quick || !other_levels {
        return;
    }
    type Encode = fn(&[u8], u32) -> Vec<u8>;
    let levels: [(&str, &[u32], Encode); 3] = [
        ("gzip", &[6, 9], gzip),
        ("zstd", &[3, 6, 9, 12, 15, 19], zstd),
        ("br", &[4, 5, 6, 7, 9, 11], brotli),
    ];
    for (name, levels, encode) in levels {
        for &level in levels {
            let mut encoded = Vec::new();
            let took = (0..runs)
                .map(|_| time(|| encoded = encode(&body, level)))
                .min();
            let took = took.expect("ran");
            row(&format!("{name} {level}"), took, encoded.len());
            if took > 4 * BUDGET {
                break; // higher levels are slower still
            }
        }
    }
}

fn list_of(bytes: usize) -> Bytes {
    let fixed = |count: usize| {
        let fixed = |(name, models)| Provider::fixed(name, models);
        let layer =
            StaticModelsCacheLayer::builder().providers(split(models(count, 0), 10).map(fixed));
        let cache: ModelsCache = layer.build().expect("settings are good").cache();
        cache.snapshot().body()
    };
    let one = fixed(1000).len() / 1000;
    fixed(bytes / one)
}

fn gzip(body: &[u8], level: u32) -> Vec<u8> {
    let level = flate2::Compression::new(level);
    let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
    to.write_all(body).expect("a vector takes all");
    to.finish().expect("a vector takes all")
}

fn zstd(body: &[u8], level: u32) -> Vec<u8> {
    zstd::bulk::compress(body, level as i32).expect("there is room")
}

fn brotli(body: &[u8], level: u32) -> Vec<u8> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: level as i32,
        size_hint: body.len(),
        lgwin: 22,
        ..Default::default()
    };
    let mut to = Vec::new();
    brotli::BrotliCompress(&mut &body[..], &mut to, &params).expect("a vector takes all");
    to
}
