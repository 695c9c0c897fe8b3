//! Shared by the benches: a gateway's providers, the floors, and one request.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each bench uses its part of it"
)]

pub mod rich;
pub mod rounds;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_models_cache::{
    ClientDialect, Model, Provider, StaticModelsCache, StaticModelsCacheLayer, View,
    error::BoxError, provider::Dialect,
};

/// A request as a server passes it on: without a body, with the headers that a client
/// library sends.
pub type Incoming = Request<Full<Bytes>>;

pub fn get(path: &'static str) -> Incoming {
    request("GET", path)
}

pub fn request(method: &'static str, path: &'static str) -> Incoming {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "OpenAI/Python 2.1.0")
        .header(header::AUTHORIZATION, "Bearer sk-0123456789abcdef")
        .body(Full::default())
        .unwrap()
}

/// The same request with one more header.
pub fn with(mut request: Incoming, name: header::HeaderName, value: &str) -> Incoming {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Models of about 300 bytes each when rendered, spread over ten providers.
pub fn providers(models: usize) -> Vec<Provider> {
    let model = |provider: usize, index: usize| {
        Model::new(format!(
            "vendor-{provider}/a-model-with-a-long-name-{index:06}-instruct"
        ))
        .with_created(1_700_000_000 + index as u32 * 60)
        .with_owned_by(format!("An Owner of Models {provider}"))
        .with_display_name(format!(
            "Vendor {provider}: A Model With a Long Name, Number {index:06} (Instruct)"
        ))
        .with_context_length(131_072)
        .with_max_output_tokens(16_384)
    };
    (0..10)
        .map(|provider| {
            let models = (0..models / 10).map(|index| model(provider, index));
            Provider::fixed(format!("provider-{provider}"), models)
        })
        .collect()
}

pub fn layer(models: usize) -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .providers(providers(models))
        .build()
        .unwrap()
}

/// A layer with one provider, which responds with these bytes at once.
pub fn of_response(body: Bytes, dialect: Dialect) -> StaticModelsCacheLayer {
    let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let response = Response::new(Full::new(body.clone()));
        async { Ok::<_, Infallible>(response) }
    });
    let provider = Provider::http("lab", service).dialect(dialect);
    StaticModelsCacheLayer::builder()
        .provider(provider)
        .build()
        .unwrap()
}

/// Always responds with the same bytes and headers.
#[derive(Clone)]
pub struct Constant {
    body: Bytes,
    head: HeaderMap,
}

impl Constant {
    /// The floor: a body and its content type.
    pub fn plain(body: Bytes) -> Self {
        let head = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]);
        Self { body, head }
    }

    /// The floor with exactly the headers of a hit.
    pub fn like(service: &mut Cached) -> Self {
        let response = run(service, get("/v1/models"));
        let head = response.headers().clone();
        Self {
            body: service.cache().snapshot().body(),
            head,
        }
    }
}

impl<B> Service<Request<B>> for Constant {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.head.clone();
        ready(Ok(response))
    }
}

pub type Cached = StaticModelsCache<Constant>;

pub fn cached(models: usize) -> Cached {
    layer(models).layer(Constant::plain(Bytes::from_static(b"{}")))
}

/// The same, after the list is compressed.
pub fn encoded(models: usize) -> Cached {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut service = cached(models);
    runtime.block_on(async {
        let br = || with(get("/v1/models"), header::ACCEPT_ENCODING, "br");
        while !run(&mut service, br())
            .headers()
            .contains_key(header::CONTENT_ENCODING)
        {
            tokio::task::yield_now().await;
        }
    });
    service
}

/// A request, and the name of its bench.
pub type ListRequest = (&'static str, fn() -> Incoming);

/// The list in every dialect, as a page, and for a view.
pub const LIST_REQUESTS: [ListRequest; 8] = [
    ("openai", || of_caller("/v1/models", false)),
    ("view", || of_caller("/v1/models", true)),
    ("anthropic", || of_anthropic("/v1/models?limit=1000")),
    ("anthropic page", || of_anthropic("/v1/models")),
    ("anthropic later page", || {
        of_anthropic(
            "/v1/models?limit=50&after_id=provider-3/vendor-3/a-model-with-a-long-name-000007-instruct",
        )
    }),
    ("gemini", || {
        of_caller("/v1beta/models?pageSize=1000", false)
    }),
    ("ollama", || of_caller("/api/tags", false)),
    ("codex", || {
        of_caller("/v1/models?client_version=0.169.0", false)
    }),
];

/// As an authentication layer leaves it.
fn of_caller(path: &'static str, sees_few: bool) -> Incoming {
    let mut request = get(path);
    request.extensions_mut().insert(Caller { sees_few });
    request
}

fn of_anthropic(path: &'static str) -> Incoming {
    let name = HeaderName::from_static("anthropic-version");
    with(of_caller(path, false), name, "2026-10-21")
}

#[derive(Clone)]
struct Caller {
    sees_few: bool,
}

pub const DIALECTS: [ClientDialect; 5] = [
    ClientDialect::OpenAi,
    ClientDialect::Anthropic,
    ClientDialect::Gemini,
    ClientDialect::Ollama,
    ClientDialect::Codex,
];

/// The hook of a gateway that knows its policies.
pub fn view(request: &http::request::Parts) -> Result<View, BoxError> {
    static FEW: LazyLock<View> =
        LazyLock::new(|| View::named("few", |model| model.provider() != "provider-3"));
    let caller = request.extensions.get::<Caller>();
    let is_few = caller.is_some_and(|caller| caller.sees_few);
    Ok(if is_few { FEW.clone() } else { View::all() })
}

/// A service with all dialects and a view, each requested before.
pub fn all_dialects(models: usize) -> Cached {
    let layer = StaticModelsCacheLayer::builder()
        .providers(providers(models))
        .client_dialects(DIALECTS)
        .views(view)
        .build()
        .unwrap();
    // Uses another clone, so that the measured service has only one caller.
    let mut first = layer.service();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (_, request) in LIST_REQUESTS {
        runtime.block_on(first.call(request())).unwrap();
    }
    layer.layer(Constant::plain(Bytes::from_static(b"{}")))
}

/// One request through a service that responds at the first poll. Never inlined, so that
/// every service is called across the same boundary.
#[inline(never)]
pub fn run<S, B>(service: &mut S, request: Incoming) -> Response<B>
where
    S: Service<Incoming, Response = Response<B>, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else {
        panic!("the service is always ready")
    };
    let future = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.poll(&mut cx) else {
        panic!("the service responds at the first poll")
    };
    response
}
