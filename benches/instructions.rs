//! The hot paths in instructions, counted under callgrind: the same number on
//! every run of one build, however busy the machine is.
//!
//! `cargo bench --all-features --bench instructions` prints them; `benches/instructions.toml`
//! holds the figures that a change is held against.

#![allow(missing_docs, reason = "the macros make items that nobody reads")]

mod support;

use std::{convert::Infallible, hint::black_box};

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::{Response, header};
use support::{Cached, Constant, FACES, Incoming, cached, encoded, faced, get, request, run, with};
use tower::Service;

/// A service and its request, boxed: handing them over costs the same for all.
type Case<S> = Box<(S, Option<Incoming>)>;

/// Everything that a request costs: readiness, call, poll, and the drop of what
/// was sent. Set-up and the drop of the service are outside.
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

/// A service that has answered before: what is done once per thread is done.
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

/// As browsers and client libraries ask.
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

/// A list in another form, which was asked for before.
fn face(name: &str) -> Case<Cached> {
    let (_, request) = FACES
        .into_iter()
        .find(|(face, _)| *face == name)
        .expect(name);
    let mut service = faced(500);
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
fn answer(input: Case<Cached>) -> Case<Cached> {
    serve(input)
}

#[library_benchmark]
#[bench::openai(face("openai"))]
#[bench::view(face("view"))]
#[bench::anthropic(face("anthropic"))]
#[bench::anthropic_page(face("anthropic page"))]
#[bench::anthropic_later_page(face("anthropic later page"))]
#[bench::gemini(face("gemini"))]
#[bench::ollama(face("ollama"))]
#[bench::codex(face("codex"))]
fn faces(input: Case<Cached>) -> Case<Cached> {
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
    benchmarks = [floor, answer, faces, pass_bare, pass_ours]
);
main!(library_benchmark_groups = paths);
