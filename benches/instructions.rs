//! Instructions of the hot paths, counted under callgrind: the same number for every run of
//! one build, whatever the load on the machine.
//!
//! `cargo bench --all-features --bench instructions` prints them.
//! `benches/instructions.toml` has the limits for each build.

#![allow(missing_docs, reason = "the macros make items without docs")]

mod support;

use std::{convert::Infallible, hint::black_box};

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::{Response, header};
use support::{
    Cached, Constant, Incoming, LIST_REQUESTS, all_dialects, cached, encoded, get, request, run,
    with,
};
use tower::Service;

/// A service and its request, boxed, so that passing them on costs the same for all.
type Case<S> = Box<(S, Option<Incoming>)>;

/// The whole cost of a request: readiness, call, poll, and dropping both messages. Set-up
/// and the drop of the service are not counted.
#[inline(never)]
fn serve<S, B>(mut case: Case<S>) -> Case<S>
where
    S: Service<Incoming, Response = Response<B>, Error = Infallible>,
{
    let (service, request) = &mut *case;
    let request = request.take().expect("a case is served once");
    let mut response = run(service, request);
    black_box(&mut response);
    drop(response);
    case
}

const LIST: &str = "/v1/models";
const MODEL: &str = "/v1/models/provider-3/vendor-3/a-model-with-a-long-name-000007-instruct";

fn case<S>(service: S, request: Incoming) -> Case<S> {
    Box::new((service, Some(request)))
}

/// A service that has responded before, so that one-time work per thread is done.
fn warm(models: usize) -> Cached {
    let mut service = cached(models);
    drop(run(&mut service, get(LIST)));
    drop(run(&mut service, get(MODEL)));
    drop(run(&mut service, get("/healthz")));
    service
}

fn constant() -> Case<Constant> {
    let body = warm(500).cache().snapshot().body();
    warmed(Constant::plain(body), get(LIST))
}

fn constant_etag() -> Case<Constant> {
    warmed(Constant::like(&mut warm(500)), get(LIST))
}

fn warmed(mut service: Constant, request: Incoming) -> Case<Constant> {
    drop(run(&mut service, get(LIST)));
    case(service, request)
}

fn hit(models: usize) -> Case<Cached> {
    case(warm(models), get(LIST))
}

/// As browsers and client libraries send it.
const CODINGS: &str = "gzip, deflate, br, zstd";

fn negotiated() -> Case<Cached> {
    let request = with(get(LIST), header::ACCEPT_ENCODING, CODINGS);
    case(encoded(500), request)
}

fn not_modified() -> Case<Cached> {
    let service = warm(500);
    let etag = service.cache().snapshot().etag().to_owned();
    let request = with(get(LIST), header::IF_NONE_MATCH, &etag);
    case(service, request)
}

fn model() -> Case<Cached> {
    case(warm(500), get(MODEL))
}

/// A list in another dialect that was requested before.
fn listed(name: &str) -> Case<Cached> {
    let (_, request) = LIST_REQUESTS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect(name);
    let mut service = all_dialects(500);
    drop(run(&mut service, get(LIST)));
    drop(run(&mut service, request()));
    case(service, request())
}

fn bare(request: Incoming) -> Case<Constant> {
    warmed(Constant::plain("{}".into()), request)
}

fn ours(request: Incoming) -> Case<Cached> {
    case(warm(500), request)
}

#[library_benchmark]
#[bench::constant(constant())]
#[bench::constant_etag(constant_etag())]
fn floor(input: Case<Constant>) -> Case<Constant> {
    serve(input)
}

#[library_benchmark]
#[bench::hit_50(hit(50))]
#[bench::hit_500(hit(500))]
#[bench::hit_50000(hit(50_000))]
#[bench::negotiated(negotiated())]
#[bench::not_modified(not_modified())]
#[bench::model(model())]
fn response(input: Case<Cached>) -> Case<Cached> {
    serve(input)
}

#[library_benchmark]
#[bench::openai(listed("openai"))]
#[bench::view(listed("view"))]
#[bench::anthropic(listed("anthropic"))]
#[bench::anthropic_page(listed("anthropic page"))]
#[bench::anthropic_later_page(listed("anthropic later page"))]
#[bench::gemini(listed("gemini"))]
#[bench::ollama(listed("ollama"))]
#[bench::codex(listed("codex"))]
fn representations(input: Case<Cached>) -> Case<Cached> {
    serve(input)
}

#[library_benchmark]
#[bench::post(bare(request("POST", "/v1/chat/completions")))]
#[bench::get(bare(get("/healthz")))]
fn pass_bare(input: Case<Constant>) -> Case<Constant> {
    serve(input)
}

#[library_benchmark]
#[bench::post(ours(request("POST", "/v1/chat/completions")))]
#[bench::get(ours(get("/healthz")))]
fn pass_ours(input: Case<Cached>) -> Case<Cached> {
    serve(input)
}

library_benchmark_group!(
    name = paths,
    benchmarks = [floor, response, representations, pass_bare, pass_ours]
);
main!(library_benchmark_groups = paths);
