//! The layer in stacks of tower and tower-http, inside and outside of each of their layers.

use crate::support;
use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    future::Future,
    io::Read,
    marker::PhantomPinned,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use crate::support::{ScriptedSource, ids};
use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    limit::ConcurrencyLimitLayer,
    service_fn,
    timeout::TimeoutLayer,
    util::{BoxCloneService, Either},
};
use tower_http::{
    auth::{AddAuthorizationLayer, AsyncRequireAuthorizationLayer},
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    csrf::CsrfLayer,
    decompression::DecompressionLayer,
    map_response_body::MapResponseBodyLayer,
    metrics::InFlightRequestsLayer,
    normalize_path::NormalizePathLayer,
    propagate_header::PropagateHeaderLayer,
    sensitive_headers::SetSensitiveHeadersLayer,
    set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer},
    trace::TraceLayer,
    validate_request::ValidateRequestHeaderLayer,
};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, body::ResponseBody};

type In = Request<Full<Bytes>>;

fn house() -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed(
            "house",
            (0..20).map(|n| Model::new(format!("small-{n}"))),
        ))
        .build()
        .unwrap()
}

fn expected() -> Bytes {
    house().cache().snapshot().body()
}

/// The inner service: reports the request that reached it, and panics on `/panic`.
async fn inside(request: In) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    assert_ne!(path, "/panic", "requested panic");
    let marks = request.headers().get("x-mark").map(HeaderValue::as_bytes);
    let marks = String::from_utf8(marks.unwrap_or_default().to_vec()).unwrap();
    // Long enough to be compressed.
    let text = format!(
        "inside {} {path} {marks}{}",
        request.method(),
        " ".repeat(99)
    );
    let mut response = Response::new(Full::from(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

fn request(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> In {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(Full::default()).unwrap()
}

fn get(path: &str) -> In {
    request(Method::GET, path, &[])
}

async fn send<S, B>(service: &S, request: In) -> Response<Bytes>
where
    S: Service<In, Response = Response<B>, Error: fmt::Debug> + Clone,
    B: Body<Error: fmt::Debug>,
{
    let response = service.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// Checks that the list, a model, HEAD, a 304 and the inner service are all reachable through
/// this stack.
async fn serves_everything<S, B>(service: &S)
where
    S: Service<In, Response = Response<B>, Error: fmt::Debug> + Clone,
    B: Body<Error: fmt::Debug>,
{
    let list = send(service, get("/v1/models")).await;
    assert_eq!(list.status(), StatusCode::OK);
    assert_eq!(list.body(), &expected());
    let length = list.body().len().to_string();
    assert_eq!(list.headers()[header::CONTENT_LENGTH], length);
    let head = send(service, request(Method::HEAD, "/v1/models", &[])).await;
    let mut promised = list.headers().clone();
    if !head.headers().contains_key(header::VARY) {
        // tower-http's compression ignores responses without a body.
        promised.remove(header::VARY);
    }
    assert_eq!(head.headers(), &promised);
    assert!(head.body().is_empty());
    let etag = list.headers()[header::ETAG].to_str().unwrap();
    let again = [(header::IF_NONE_MATCH, etag)];
    let again = send(service, request(Method::GET, "/v1/models", &again)).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(again.body().is_empty());
    assert!(!again.headers().contains_key(header::CONTENT_LENGTH));
    let model = send(service, get("/v1/models/house/small-7")).await;
    assert!(model.body().starts_with(br#"{"id":"house/small-7""#));
    let other = send(service, request(Method::POST, "/v1/models", &[])).await;
    assert!(other.body().starts_with(b"inside POST /v1/models"));
}

// ===== tower =====

/// An error type that only this test has.
#[derive(Debug, PartialEq)]
struct OwnError(Cell<u8>);

#[tokio::test]
async fn inner_error_keeps_its_type() {
    let failing = service_fn(|_: Request<()>| async {
        Err::<Response<Empty<Bytes>>, _>(OwnError(Cell::new(7)))
    });
    let mut service = house().layer(failing);
    let other = Request::get("/x").body(()).unwrap();
    let error: OwnError = service
        .ready()
        .await
        .unwrap()
        .call(other)
        .await
        .unwrap_err();
    assert_eq!(error, OwnError(Cell::new(7)));
    let ours = Request::get("/v1/models").body(()).unwrap();
    assert_eq!(service.call(ours).await.unwrap().status(), StatusCode::OK);
}

/// Neither `Sync` nor `Unpin` nor `Send`, with a data type of its own.
struct OddBody {
    _not_sync: Cell<()>,
    _not_send: std::rc::Rc<()>,
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct OddData(Bytes);

impl From<Bytes> for OddData {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Buf for OddData {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

impl Body for OddBody {
    type Data = OddData;
    type Error = OwnError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<OddData>, OwnError>>> {
        Poll::Ready(Some(Err(OwnError(Cell::new(9)))))
    }
}

#[tokio::test]
async fn body_may_be_non_send_with_custom_data() {
    let odd = service_fn(|request: Request<OddBody>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let mut service = house().layer(odd);
    let body = || OddBody {
        _not_sync: Cell::default(),
        _not_send: Default::default(),
        _pinned: PhantomPinned,
    };
    let Ok(echoed) = service.call(Request::get("/x").body(body()).unwrap()).await;
    let error = echoed.into_body().collect().await.unwrap_err();
    assert_eq!(error, OwnError(Cell::new(9)));
    let Ok(list) = service
        .call(Request::get("/v1/models").body(body()).unwrap())
        .await;
    let mut list: Pin<Box<ResponseBody<OddBody>>> = Box::pin(list.into_body());
    let frame = list.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap().0, expected());
    assert!(list.frame().await.is_none());
}

#[tokio::test]
async fn service_can_be_boxed_shared_and_sent() {
    fn sendable<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn future<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    let service = house().layer(service_fn(inside));
    sendable(&service);
    sendable(&house());
    sendable(&house().service());
    drop(future(service.clone().call(get("/v1/models"))));

    let boxed: BoxCloneService<In, Response<ResponseBody<Full<Bytes>>>, Infallible> =
        BoxCloneService::new(service.clone());
    serves_everything(&boxed).await;
    let list = tokio::spawn(boxed.oneshot(get("/v1/models")))
        .await
        .unwrap();
    assert_eq!(list.unwrap().status(), StatusCode::OK);
    serves_everything(&ServiceBuilder::new().buffer(8).service(service)).await;
}

#[tokio::test]
async fn two_layers_serve_their_own_lists() {
    let mine = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("mine", [Model::new("x")]))
        .paths(["/mine/models"])
        .build()
        .unwrap();
    let stack = ServiceBuilder::new().layer(house()).layer(mine);
    let service = stack.service(service_fn(inside));
    serves_everything(&service).await;
    let list = send(&service, get("/mine/models")).await;
    assert_eq!(ids(list.body()), ["mine/x"]);
}

#[tokio::test]
async fn layer_with_boxed_bodies_can_be_optional() {
    for enabled in [true, false] {
        let boxed = ServiceBuilder::new()
            .layer(MapResponseBodyLayer::new(|body: ResponseBody<_>| {
                body.boxed()
            }))
            .layer(house());
        let plain = MapResponseBodyLayer::new(|body: Full<Bytes>| body.boxed());
        let layer = match enabled {
            true => Either::Left(boxed),
            false => Either::Right(plain),
        };
        let service = ServiceBuilder::new().layer(layer);
        let response = send(&service.service(service_fn(inside)), get("/v1/models")).await;
        assert_eq!(response.body() == &expected(), enabled);
    }
}

#[tokio::test(start_paused = true)]
async fn inner_timeout_does_not_affect_list() {
    let hung =
        service_fn(|_: In| std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>());
    let stack = ServiceBuilder::new()
        .layer(house())
        .layer(TimeoutLayer::new(Duration::from_secs(1)));
    let service = stack.service(hung);
    let list = send(&service, get("/v1/models")).await;
    assert_eq!(list.body(), &expected());
    let error = service.oneshot(get("/x")).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
}

#[tokio::test(start_paused = true)]
async fn outer_timeout_does_not_cancel_fetch() {
    let source = ScriptedSource::new(|_| async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        Ok::<_, Infallible>(support::models(["x"]))
    });
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", source.clone()))
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(layer.clone());
    let service = stack.service(service_fn(inside));
    let error = service.clone().oneshot(get("/v1/models")).await;
    assert!(error.unwrap_err().is::<tower::timeout::error::Elapsed>());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let list = send(&service, get("/v1/models")).await;
    assert_eq!(ids(list.body()), ["lab/x"]);
    assert_eq!(source.calls(), 1);

    // tower-http's timeout responds instead of failing.
    let answering = tower_http::timeout::TimeoutLayer::with_status_code(
        StatusCode::GATEWAY_TIMEOUT,
        Duration::from_secs(1),
    );
    let hung = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", ScriptedSource::hung()))
        .build()
        .unwrap();
    let service = ServiceBuilder::new()
        .layer(answering)
        .layer(hung)
        .service(service_fn(inside));
    let timed_out = send(&service, get("/v1/models")).await;
    assert_eq!(timed_out.status(), StatusCode::GATEWAY_TIMEOUT);
    let inside_of = ServiceBuilder::new().layer(house()).layer(answering);
    serves_everything(&inside_of.service(service_fn(inside))).await;
}

#[tokio::test]
async fn saturated_inner_limit_delays_only_the_layer() {
    let hung =
        service_fn(|_: In| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let layer = house();
    let stack = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(ConcurrencyLimitLayer::new(1));
    let mut busy = stack.service(hung);
    let mut waits = busy.clone();
    let holds = busy.ready().await.unwrap().call(get("/x"));

    assert!(waits.ready().now_or_never().is_none());
    let models = layer.service();
    assert_eq!(send(&models, get("/v1/models")).await.body(), &expected());
    drop(holds);
    assert!(waits.ready().now_or_never().is_some());
}

#[tokio::test]
async fn list_response_keeps_inner_permit() {
    let limit = ConcurrencyLimitLayer::new(1);
    let stack = ServiceBuilder::new().layer(house()).layer(limit);
    let mut one = stack.service(service_fn(inside));
    let mut other = one.clone();
    let Ok(list) = one.ready().await.unwrap().call(get("/v1/models")).await;
    assert_eq!(list.status(), StatusCode::OK);
    assert!(other.ready().now_or_never().is_none());
    // The same instance uses its reserved permit and then releases it ...
    let Ok(_) = one.ready().await.unwrap().call(get("/x")).await;
    assert!(other.ready().now_or_never().is_some());
    // ... and so does an instance that is dropped, as servers do with theirs.
    let mut third = one.clone();
    drop(other);
    let Ok(_) = one.ready().await.unwrap().call(get("/v1/models")).await;
    assert!(third.ready().now_or_never().is_none());
    drop(one);
    assert!(third.ready().now_or_never().is_some());
}

#[tokio::test]
async fn outer_limit_counts_list_requests() {
    let stack = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .layer(house());
    let service = stack.service(service_fn(|_: In| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let list = service.clone().oneshot(get("/v1/models")).await.unwrap();
    drop(list); // its body does not hold the permit
    let mut busy = service.clone();
    let holds = busy.ready().await.unwrap().call(get("/x"));
    let shed = service.clone().oneshot(get("/v1/models")).await;
    assert!(
        shed.unwrap_err()
            .is::<tower::load_shed::error::Overloaded>()
    );
    drop(holds);
    assert!(service.oneshot(get("/v1/models")).await.is_ok());
}

// ===== tower-http =====

/// Checks that both stacks serve everything, with the layer outside of ours and inside. The
/// effect of the layer itself is tested by the caller.
macro_rules! serves_under_and_over {
    ($layer:expr) => {{
        let under = ServiceBuilder::new().layer($layer).layer(house());
        serves_everything(&under.service(service_fn(inside))).await;
        let over = ServiceBuilder::new().layer(house()).layer($layer);
        serves_everything(&over.service(service_fn(inside))).await;
    }};
}

fn decoded(response: &Response<Bytes>) -> Vec<u8> {
    let body = response.body().clone();
    let coding = response.headers().get(header::CONTENT_ENCODING);
    let Some(coding) = coding.map(|coding| coding.to_str().unwrap().to_owned()) else {
        return body.to_vec();
    };
    let coded = service_fn(move |_: Request<()>| {
        let response = Response::builder().header(header::CONTENT_ENCODING, &coding);
        let response = response.body(Full::new(body.clone())).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let response = DecompressionLayer::new()
        .layer(coded)
        .oneshot(Request::new(()))
        .now_or_never()
        .unwrap();
    let Ok(response) = response;
    let body = response.into_body().collect().now_or_never().unwrap();
    let mut all = Vec::new();
    let mut reader = body.unwrap().aggregate().reader();
    reader.read_to_end(&mut all).unwrap();
    all
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn outer_compression_keeps_list_and_etag() {
    serves_under_and_over!(CompressionLayer::new());

    let stack = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(house());
    let service = stack.service(service_fn(inside));
    let plain = send(&service, get("/v1/models")).await;
    for coding in ["gzip", "br", "zstd", "deflate", "identity", "gzip;q=0, br"] {
        let accepted = [(header::ACCEPT_ENCODING, coding)];
        let coded = send(&service, request(Method::GET, "/v1/models", &accepted)).await;
        assert_eq!(coded.status(), StatusCode::OK);
        assert_eq!(decoded(&coded), expected(), "{coding}");
        let vary = coded.headers()[header::VARY].to_str().unwrap();
        assert!(vary.starts_with("accept-encoding, "), "{vary}");
        let expected = match coding {
            "identity" => None,
            "gzip;q=0, br" => Some("br"),
            other => Some(other),
        };
        let sent = coded.headers().get(header::CONTENT_ENCODING);
        assert_eq!(sent.map(|sent| sent.to_str().unwrap()), expected);
        match coded.headers().get(header::CONTENT_LENGTH) {
            Some(length) => assert_eq!(length, &coded.body().len().to_string()),
            None => assert!(expected.is_some()),
        }

        // The tag of a compressed response is matched by a 304 without a body.
        let etag = coded.headers()[header::ETAG].to_str().unwrap();
        assert_eq!(etag, plain.headers()[header::ETAG]);
        let again = [
            (header::ACCEPT_ENCODING, coding),
            (header::IF_NONE_MATCH, etag),
        ];
        let again = send(&service, request(Method::GET, "/v1/models", &again)).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.body().is_empty());
        assert!(!again.headers().contains_key(header::CONTENT_ENCODING));

        let head = send(&service, request(Method::HEAD, "/v1/models", &accepted)).await;
        assert!(head.body().is_empty());
        assert_eq!(head.headers()[header::ETAG], etag);
        let model = send(
            &service,
            request(Method::GET, "/v1/models/house/small-1", &accepted),
        );
        let model = decoded(&model.await);
        assert!(model.starts_with(br#"{"id":"house/small-1""#));
    }
}

#[tokio::test]
async fn inner_compression_does_not_affect_list() {
    let stack = ServiceBuilder::new()
        .layer(house())
        .layer(CompressionLayer::new());
    let service = stack.service(service_fn(inside));
    let gzip = [(header::ACCEPT_ENCODING, "gzip")];
    let other = send(&service, request(Method::GET, "/x", &gzip)).await;
    assert_eq!(other.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(decoded(&other).starts_with(b"inside GET /x"));
    let list = send(&service, request(Method::GET, "/v1/models", &gzip)).await;
    assert_eq!(decoded(&list), expected());
}

#[tokio::test]
async fn cors_applies_to_list_only_when_outside() {
    serves_under_and_over!(CorsLayer::permissive());

    let origin = (header::ORIGIN, "https://chat.example");
    let preflight = [
        origin.clone(),
        (header::ACCESS_CONTROL_REQUEST_METHOD, "GET"),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization"),
    ];
    let preflight = || request(Method::OPTIONS, "/v1/models", &preflight);
    let list = || request(Method::GET, "/v1/models", std::slice::from_ref(&origin));
    let allowed = header::ACCESS_CONTROL_ALLOW_ORIGIN;

    let stack = ServiceBuilder::new()
        .layer(CorsLayer::very_permissive())
        .layer(house());
    let outside = stack.service(service_fn(inside));
    let response = send(&outside, preflight()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[&allowed], "https://chat.example");
    assert_eq!(
        response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "authorization"
    );
    assert!(response.body().is_empty());
    let response = send(&outside, list()).await;
    assert_eq!(response.headers()[&allowed], "https://chat.example");
    assert_eq!(response.body(), &expected());

    // Inside, the preflight reaches the CORS layer, but the list never passes through it.
    let stack = ServiceBuilder::new()
        .layer(house())
        .layer(CorsLayer::very_permissive());
    let inside = stack.service(service_fn(inside));
    let response = send(&inside, preflight()).await;
    assert_eq!(response.headers()[&allowed], "https://chat.example");
    let response = send(&inside, list()).await;
    assert!(!response.headers().contains_key(&allowed));
}

#[tokio::test]
async fn trace_sees_list_only_when_outside() {
    serves_under_and_over!(TraceLayer::new_for_http());

    let ended = Arc::new(Mutex::new(Vec::new()));
    let trace = || {
        let ended = Arc::clone(&ended);
        TraceLayer::new_for_http().on_eos(()).on_response(
            move |response: &Response<_>, _: Duration, _: &tracing::Span| {
                let _: &Response<ResponseBody<Full<Bytes>>> = response;
                ended.lock().unwrap().push(response.status());
            },
        )
    };
    let stack = ServiceBuilder::new().layer(trace()).layer(house());
    let outside = stack.service(service_fn(inside));
    send(&outside, get("/v1/models")).await;
    send(&outside, get("/x")).await;
    send(&outside, get("/v1/models/nothing")).await;
    assert_eq!(*ended.lock().unwrap(), [200, 200, 404]);
}

#[tokio::test]
#[expect(deprecated, reason = "it is what many a stack has")]
async fn auth_protects_list_only_when_outside() {
    let token = [(header::AUTHORIZATION, "Bearer the-token")];
    async fn keeps<S, B>(service: S, token: &[(HeaderName, &str)], list_is_public: bool)
    where
        S: Service<In, Response = Response<B>, Error: fmt::Debug> + Clone,
        B: Body<Error: fmt::Debug>,
    {
        let known = request(Method::GET, "/v1/models", token);
        assert_eq!(send(&service, known).await.body(), &expected());
        for path in ["/v1/models", "/v1/models/house/small-1", "/x"] {
            let wrong = [(header::AUTHORIZATION, "Bearer another")];
            for headers in [&[][..], &wrong] {
                let refused = send(&service, request(Method::GET, path, headers)).await;
                if list_is_public && path != "/x" {
                    assert_eq!(refused.status(), StatusCode::OK);
                } else {
                    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
                    assert!(refused.body().is_empty());
                    assert!(!refused.headers().contains_key(header::ETAG));
                }
            }
        }
    }
    let bearer = ValidateRequestHeaderLayer::bearer("the-token");
    let stack = ServiceBuilder::new().layer(bearer).layer(house());
    keeps(stack.service(service_fn(inside)), &token, false).await;
    let bearer = ValidateRequestHeaderLayer::bearer("the-token");
    let stack = ServiceBuilder::new().layer(house()).layer(bearer);
    keeps(stack.service(service_fn(inside)), &token, true).await;
    let bearer = ValidateRequestHeaderLayer::bearer("the-token");
    let alone = ServiceBuilder::new().layer(bearer);
    let alone = alone.service(house().service());
    let known = request(Method::GET, "/v1/models", &token);
    assert_eq!(send(&alone, known).await.body(), &expected());
    assert_eq!(send(&alone, get("/v1/models")).await.status(), 401);

    let check = |request: In| async move {
        let given = request.headers().get(header::AUTHORIZATION);
        if given.is_some_and(|given| given == "Bearer the-token") {
            return Ok(request);
        }
        let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
        Err(refused.body(ResponseBody::default()).unwrap())
    };
    let asked = AsyncRequireAuthorizationLayer::new(check);
    let stack = ServiceBuilder::new().layer(asked).layer(house());
    keeps(stack.service(service_fn(inside)), &token, false).await;
    serves_under_and_over!(AddAuthorizationLayer::bearer("the-token"));
}

#[tokio::test]
async fn set_header_affects_list_only_when_outside() {
    let mark = HeaderName::from_static("x-mark");
    let value = HeaderValue::from_static("marked");
    let layer = || SetResponseHeaderLayer::overriding(mark.clone(), value.clone());
    serves_under_and_over!(layer());
    serves_under_and_over!(SetRequestHeaderLayer::overriding(
        mark.clone(),
        value.clone()
    ));

    let stack = ServiceBuilder::new().layer(layer()).layer(house());
    let list = send(&stack.service(service_fn(inside)), get("/v1/models")).await;
    assert_eq!(list.headers()[&mark], "marked");
    let stack = ServiceBuilder::new().layer(house()).layer(layer());
    let service = stack.service(service_fn(inside));
    assert!(
        !send(&service, get("/v1/models"))
            .await
            .headers()
            .contains_key(&mark)
    );
    assert_eq!(send(&service, get("/x")).await.headers()[&mark], "marked");

    // Layers outside may replace the headers that we set.
    let public = HeaderValue::from_static("public, max-age=60");
    let stack = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(
            header::CACHE_CONTROL,
            public.clone(),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::ETAG,
            value.clone(),
        ))
        .layer(house());
    let list = send(&stack.service(service_fn(inside)), get("/v1/models")).await;
    assert_eq!(list.headers()[header::CACHE_CONTROL], public);
    assert_ne!(list.headers()[header::ETAG], value);
}

#[tokio::test]
async fn catch_panic_keeps_list_available() {
    serves_under_and_over!(CatchPanicLayer::new());

    let stack = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(house());
    let outside = stack.service(service_fn(inside));
    let stack = ServiceBuilder::new()
        .layer(house())
        .layer(CatchPanicLayer::new());
    let inside = stack.service(service_fn(inside));
    for _ in 0..2 {
        for response in [
            send(&outside, get("/panic")).await,
            send(&inside, get("/panic")).await,
        ] {
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert_eq!(send(&outside, get("/v1/models")).await.body(), &expected());
        assert_eq!(send(&inside, get("/v1/models")).await.body(), &expected());
    }
}

#[tokio::test]
async fn normalize_path_trims_list_path_only_outside() {
    serves_under_and_over!(NormalizePathLayer::trim_trailing_slash());
    serves_under_and_over!(NormalizePathLayer::append_trailing_slash());

    let trim = NormalizePathLayer::trim_trailing_slash;
    let stack = ServiceBuilder::new().layer(trim()).layer(house());
    let outside = stack.service(service_fn(inside));
    let stack = ServiceBuilder::new().layer(house()).layer(trim());
    let within = stack.service(service_fn(inside));
    // It treats several slashes at either end as one, which we do not.
    for path in ["/v1/models/", "/v1/models///", "//v1/models"] {
        let list = send(&outside, get(path)).await;
        assert_eq!(list.body(), &expected(), "{path}");
    }
    let list = send(&within, get("/v1/models/")).await;
    assert_eq!(list.body(), &expected());
    let missed = send(&within, get("//v1/models")).await;
    assert!(missed.body().starts_with(b"inside GET /v1/models "));
    for response in [
        send(&outside, get("/x/")).await,
        send(&within, get("/x/")).await,
    ] {
        assert!(response.body().starts_with(b"inside GET /x "));
    }
}

#[tokio::test]
async fn other_tower_http_layers_compose() {
    let (in_flight, _) = InFlightRequestsLayer::pair();
    serves_under_and_over!(in_flight.clone());
    serves_under_and_over!(CsrfLayer::new());
    serves_under_and_over!(PropagateHeaderLayer::new(header::USER_AGENT));
    serves_under_and_over!(SetSensitiveHeadersLayer::new([header::ETAG]));
}
