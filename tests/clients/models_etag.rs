//! `ModelsEtagLayer`: every inference response carries the `ETag` of the list as Codex would get
//! it now.

use crate::support::dialects;
use std::convert::Infallible;

use crate::support::dialects::with_all_dialects;
use crate::support::{ScriptedSource, SharedList, builder, send};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt};
use tower_models_cache::{ClientDialect, Model, Provider, StaticModelsCacheLayer, View};

use ClientDialect::Codex;

const HEADER: &str = "x-models-etag";

async fn chat(layer: &StaticModelsCacheLayer, caller: Option<&'static str>) -> Response<Body> {
    let inner = tower::service_fn(|request: Request<Body>| async move {
        // The body is returned as it was sent.
        assert_eq!(request.headers()["x-mark"], "1");
        let stale = HeaderValue::from_static("\"of another list\"");
        Ok::<_, Infallible>(
            Response::builder()
                .header(HEADER, stale)
                .body(request.into_body())
                .unwrap(),
        )
    });
    let mut request = Request::post("/v1/responses").header("x-mark", "1");
    if let Some(caller) = caller {
        request = request.header("x-caller", caller);
    }
    let request = request.body(Body::from("hello")).unwrap();
    layer
        .models_etag()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap()
}

async fn etag_of_list(layer: &StaticModelsCacheLayer, caller: Option<&'static str>) -> HeaderValue {
    let mut request = dialects::whole_list(Codex);
    if let Some(caller) = caller {
        let caller = HeaderValue::from_static(caller);
        request.headers_mut().insert("x-caller", caller);
    }
    send(layer, request).await.headers()["etag"].clone()
}

#[tokio::test]
async fn x_models_etag_matches_current_list() {
    let shared = SharedList::new(["a"]);
    let provider = Provider::source("lab", ScriptedSource::shared(&shared));
    let layer = with_all_dialects(builder([provider])).build().unwrap();
    layer.cache().refresh().await.unwrap();
    assert!(
        !chat(&layer, None).await.headers().contains_key(HEADER),
        "no list is rendered in this dialect"
    );

    let first = etag_of_list(&layer, None).await;
    assert_eq!(chat(&layer, None).await.headers()[HEADER], first);
    shared.set_ids(["a", "b"]);
    layer.cache().refresh().await.unwrap();
    let response = chat(&layer, None).await;
    assert_ne!(response.headers()[HEADER], first);
    assert_eq!(response.headers().get_all(HEADER).iter().count(), 1);
    assert_eq!(response.headers()[HEADER], etag_of_list(&layer, None).await);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "hello");
}

#[tokio::test]
async fn x_models_etag_follows_the_view() {
    let layer = with_all_dialects(builder([Provider::fixed(
        "house",
        ["a", "b"].map(Model::new),
    )]))
    .views(|request| {
        Ok(
            match request.headers.get("x-caller").map(HeaderValue::as_bytes) {
                Some(b"few") => View::named("few", |model| model.model().id() == "a"),
                Some(b"denied") => View::denied(http::StatusCode::FORBIDDEN),
                Some(_) => return Err("no caller".into()),
                None => View::all(),
            },
        )
    })
    .build()
    .unwrap();
    let (all, few) = (
        etag_of_list(&layer, None).await,
        etag_of_list(&layer, Some("few")).await,
    );
    assert_ne!(all, few);
    assert_eq!(chat(&layer, None).await.headers()[HEADER], all);
    assert_eq!(chat(&layer, Some("few")).await.headers()[HEADER], few);
    for caller in ["denied", "error"] {
        let response = chat(&layer, Some(caller)).await;
        assert!(!response.headers().contains_key(HEADER), "{caller}");
        assert_eq!(
            response.status(),
            200,
            "this layer does not refuse requests"
        );
    }
}

#[tokio::test]
async fn x_models_etag_is_absent_without_list() {
    let shared = SharedList::new(["a"]);
    let lab = Provider::source("lab", ScriptedSource::shared(&shared));
    let house = Provider::fixed("house", [Model::new("small")]);
    let view = View::named("lab", |model| model.provider() == "lab");
    let layer = with_all_dialects(builder([house, lab]).views(move |_| Ok(view.clone())));
    let layer = layer.build().unwrap();
    layer.cache().refresh().await.unwrap();
    let tag = etag_of_list(&layer, None).await;
    assert_eq!(chat(&layer, None).await.headers()[HEADER], tag);
    // Now the only provider of the view has no list: the tag would be that of an empty list.
    let house = Provider::fixed("house", [Model::new("small")]);
    let lost = Provider::source("lab", ScriptedSource::failing());
    layer.cache().set_providers([house, lost]).await.unwrap();
    layer.cache().refresh().await.unwrap_err();
    assert_eq!(
        send(&layer, dialects::whole_list(Codex)).await.status(),
        503
    );
    assert!(!chat(&layer, None).await.headers().contains_key(HEADER));
}

/// The body of the inner service passes frame by frame, with trailers and size hint.
#[tokio::test]
async fn streamed_body_passes_frame_by_frame() {
    let layer = with_all_dialects(builder([Provider::fixed("house", [Model::new("a")])]));
    let layer = layer.build().unwrap();
    let tag = etag_of_list(&layer, None).await;
    let (send, mut frames) = mpsc::unbounded_channel::<Result<Frame<Bytes>, Infallible>>();
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    let mut body = Some(StreamBody::new(frames));
    let inner = tower::service_fn(move |_: Request<()>| {
        let body = body.take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = layer.models_etag().layer(inner);
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.headers()[HEADER], tag);
    let mut body = response.into_body();
    assert!(
        body.frame().now_or_never().is_none(),
        "no frame was sent yet"
    );
    for part in ["data: 1\n\n", "da", "ta: 2\n", "\n", "data: [DONE]\n\n"] {
        // The next frame is not sent before this one has arrived.
        send.send(Ok(Frame::data(part.into()))).unwrap();
        let frame = body
            .frame()
            .now_or_never()
            .expect("the frame is forwarded at once");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), part);
        assert!(body.frame().now_or_never().is_none());
    }
    let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-end"), tag.clone())]);
    send.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    let frame = body.frame().now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap(), trailers);
    drop(send);
    assert!(body.frame().now_or_never().unwrap().is_none());
}

#[tokio::test]
async fn errors_and_readiness_pass_through() {
    let layer = with_all_dialects(builder([])).build().unwrap();
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let mut service = tower_test::mock::Spawn::new(layer.models_etag().layer(service));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(Request::post("/v1/responses").body(Body::empty()).unwrap());
    let (request, send) = handle.next_request().await.unwrap();
    assert_eq!(request.uri(), "/v1/responses");
    send.send_error("error of the inner service");
    assert_eq!(
        response.await.unwrap_err().to_string(),
        "error of the inner service"
    );
}
