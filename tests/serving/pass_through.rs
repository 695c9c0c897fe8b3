//! Requests that the layer does not handle reach the inner service unchanged, and so do its
//! responses on the way back.

use crate::support::net;
use std::{
    cell::RefCell,
    collections::VecDeque,
    convert::Infallible,
    io,
    marker::PhantomPinned,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::support::ScriptedSource;
use crate::support::net::{Client, Server, within};
use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    routing::{any, post},
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tower::{Layer, Service, service_fn};
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer, error::BoxError};
use tower_test::{assert_request_eq, mock};

fn house() -> StaticModelsCacheLayer {
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", [Model::new("small")]))
        .build()
        .unwrap()
}

// ===== heads =====

/// Paths close to ours under every method, and other methods on our paths.
fn not_ours() -> Vec<(Method, &'static str)> {
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "/v1/model",
        "/v1/modelsx",
        "/v1/models.json",
        "/v1/models;v=1",
        "/v1/models%2F",
        "/v1/models%2Fhouse%2Fsmall",
        "/v1/%6Dodels",
        "/V1/models",
        "/v1/Models",
        "/v2/models",
        "//v1/models",
        "/v1//models",
        "/./v1/models",
        "/v1/x/../models",
        "/api/v1/models",
        "/v1/chat/completions?model=/v1/models",
        "http://host.test/x/v1/models",
    ];
    let mut requests = Vec::new();
    for path in paths {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            requests.push((method, path));
        }
    }
    for path in ["/v1/models", "/v1/models/", "/v1/models/house/small"] {
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "get",
        ] {
            requests.push((method.parse().unwrap(), path));
        }
    }
    requests.push((Method::OPTIONS, "*"));
    requests.push((Method::CONNECT, "host.test:443"));
    requests
}

/// A value that no request or response has by accident.
#[derive(Clone, Debug, PartialEq)]
struct Marker(u32);

#[test]
fn other_requests_pass_through_unchanged() {
    let headers = || {
        let mut headers = HeaderMap::new();
        headers.append("x-many", HeaderValue::from_static("one"));
        headers.append("x-many", HeaderValue::from_static("two"));
        headers.append("x-many", HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        headers
    };
    for (method, uri) in not_ours() {
        let uri: Uri = uri.parse().unwrap();
        let seen = Rc::new(RefCell::new(None));
        let inner = service_fn(|request: Request<Marker>| {
            *seen.borrow_mut() = Some(request);
            let mut response = Response::new(Scripted::new([]));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            *response.version_mut() = Version::HTTP_10;
            *response.headers_mut() = headers();
            response.extensions_mut().insert(Marker(2));
            // Neither body has to be `Send`.
            std::future::ready(Ok::<_, Rc<str>>(response))
        });
        let mut service = house().layer(inner);

        let mut request = Request::new(Marker(3));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.version_mut() = Version::HTTP_3;
        *request.headers_mut() = headers();
        request.extensions_mut().insert(Marker(1));
        let response = service.call(request).now_or_never().unwrap().unwrap();

        let seen = seen.take().expect("the inner service was not called");
        assert_eq!((seen.method(), seen.uri()), (&method, &uri));
        assert_eq!(seen.version(), Version::HTTP_3);
        assert_eq!(seen.headers(), &headers());
        assert_eq!(seen.extensions().get(), Some(&Marker(1)));
        assert_eq!(seen.extensions().len(), 1);
        assert_eq!(seen.body(), &Marker(3));

        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(response.version(), Version::HTTP_10);
        assert_eq!(response.headers(), &headers());
        assert_eq!(response.extensions().get(), Some(&Marker(2)));
        assert_eq!(response.extensions().len(), 1);
    }
}

#[tokio::test]
async fn other_requests_do_not_fetch() {
    let source = ScriptedSource::always(["x"]);
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", source.clone()))
        .build()
        .unwrap();
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let mut service = layer.layer(inner);
    for (method, uri) in not_ours() {
        let request = Request::builder().method(method).uri(uri);
        let Ok(_) = service.call(request.body(()).unwrap()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(source.calls(), 0);
}

// ===== bodies =====

type Step = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

/// A body with scripted frames, neither `Sync` nor `Unpin`.
struct Scripted {
    steps: RefCell<VecDeque<Step>>,
    polls: Rc<RefCell<usize>>,
    _pinned: PhantomPinned,
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: RefCell::new(steps.into_iter().collect()),
            polls: Rc::default(),
            _pinned: PhantomPinned,
        }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Step {
        *self.polls.borrow_mut() += 1;
        let step = self.steps.borrow_mut().pop_front();
        let step = step.unwrap_or(Poll::Ready(None));
        if step.is_pending() {
            cx.waker().wake_by_ref();
        }
        step
    }

    fn is_end_stream(&self) -> bool {
        self.steps.borrow().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.steps.borrow().len() as u64);
        hint.set_upper(1000);
        hint
    }
}

#[test]
fn inner_body_is_polled_frame_by_frame() {
    let data = |text: &'static str| Poll::Ready(Some(Ok(Frame::data(text.into()))));
    let trailers = HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Scripted::new([
        data("one"),
        Poll::Pending,
        data(""),
        data("two"),
        Poll::Ready(Some(Ok(Frame::trailers(trailers.clone())))),
        Poll::Ready(Some(Err(io::Error::other("broke off")))),
    ]);
    let polls = Rc::clone(&body.polls);
    let mut body = Some(body);
    let inner = service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(body.take().unwrap())))
    });
    let mut service = house().layer(inner);
    let response = service.call(Request::new(())).now_or_never().unwrap();
    let mut body = pin!(response.unwrap().into_body());
    assert_eq!(*polls.borrow(), 0);

    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    for left in (0..6).rev() {
        assert_eq!(body.size_hint().lower(), left + 1);
        assert_eq!(body.size_hint().upper(), Some(1000));
        assert!(!body.is_end_stream());
        seen.push(match body.as_mut().poll_frame(&mut cx) {
            Poll::Pending => "pending".to_owned(),
            Poll::Ready(None) => "end".to_owned(),
            Poll::Ready(Some(Err(error))) => error.to_string(),
            Poll::Ready(Some(Ok(frame))) => format!("{frame:?}"),
        });
    }
    assert!(body.is_end_stream());
    assert_eq!(*polls.borrow(), 6);
    let frame = |frame: Frame<Bytes>| format!("{frame:?}");
    assert_eq!(
        seen,
        [
            frame(Frame::data("one".into())),
            "pending".to_owned(),
            frame(Frame::data("".into())),
            frame(Frame::data("two".into())),
            frame(Frame::trailers(trailers)),
            "broke off".to_owned(),
        ]
    );
}

/// A body whose frames are sent through a channel.
fn fed() -> (
    mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>,
    net::RequestBody,
) {
    let (feed, frames) = mpsc::unbounded_channel();
    let frames = stream::unfold(frames, |mut frames| async {
        Some((frames.recv().await?, frames))
    });
    // Request bodies are boxed as `Sync`, which this stream is.
    (feed, BodyExt::boxed(StreamBody::new(frames)))
}

async fn next_data(body: &mut Incoming) -> Bytes {
    let frame = within(body.frame()).await.unwrap().unwrap();
    frame.into_data().unwrap()
}

#[tokio::test]
async fn frames_and_trailers_stream_both_ways() {
    // Like a gRPC server: responds while the request body is still streaming.
    let echo = service_fn(|request: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let server = Server::hyper(house().layer(echo)).await;
    for (version, path) in [
        (Version::HTTP_11, "/v1/chat/completions"),
        (Version::HTTP_2, "/models.v1.Models/List"),
        (Version::HTTP_2, "/v1/models"),
    ] {
        let mut client = Client::connect(server.addr(), version).await;
        let (feed, body) = fed();
        let request = Request::post(path)
            .header(header::TE, "trailers")
            .header(header::CONTENT_TYPE, "application/grpc");
        feed.send(Ok(Frame::data("0".into()))).unwrap();
        let response = client.start(request.body(body).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut answer = response.into_body();
        assert_eq!(next_data(&mut answer).await, "0");
        for chunk in ["1", "22", "333"] {
            feed.send(Ok(Frame::data(chunk.into()))).unwrap();
            assert_eq!(next_data(&mut answer).await, chunk, "{version:?}");
        }
        if version == Version::HTTP_2 {
            let trailers = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("7"),
            )]);
            feed.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
            let frame = within(answer.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_trailers().unwrap(), trailers);
        }
        drop(feed);
        assert!(within(answer.frame()).await.is_none());
    }
}

#[tokio::test]
async fn endless_response_ends_with_its_reader() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (feeds, mut fed_responses) = mpsc::unbounded_channel();
        let events = service_fn(move |_: Request<Incoming>| {
            let (feed, body) = fed();
            feeds.send(feed).unwrap();
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let server = Server::hyper(house().layer(events)).await;
        let mut client = Client::connect(server.addr(), version).await;
        let request = Request::get("/v1/events").body(net::empty()).unwrap();
        let mut response = client.start(request).await.into_body();
        let feed = fed_responses.recv().await.unwrap();
        for n in 0..100 {
            let event = format!("data: {n}\n\n");
            feed.send(Ok(Frame::data(event.clone().into()))).unwrap();
            assert_eq!(next_data(&mut response).await, event);
        }
        drop((response, client));
        within(feed.closed()).await;
    }
}

// ===== upgrades =====

#[tokio::test]
async fn websocket_upgrade_passes_through() {
    let socket = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if let Message::Text(text) = message {
                    let response = format!("{text} to you");
                    socket.send(Message::Text(response.into())).await.unwrap();
                }
            }
        })
    };
    let app = Router::new()
        .route("/v1/realtime", any(socket))
        .route("/v1/modelsx", any(socket))
        .layer(house());
    let server = Server::axum(app).await;
    for path in ["/v1/realtime", "/v1/modelsx"] {
        let mut stream = TcpStream::connect(server.addr()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");

        // A text frame of two bytes, with a zero mask (RFC 6455, section 5.2).
        stream.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
        let mut response = [0; 11];
        within(stream.read_exact(&mut response)).await.unwrap();
        assert_eq!(&response, b"\x81\x09hi to you");
    }
}

#[tokio::test]
async fn upgrade_request_on_list_path_gets_list() {
    let app = Router::new().route("/", post(|| async {})).layer(house());
    let server = Server::axum(app).await;
    let request = "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\n\
                   upgrade: h2c\r\n\r\n";
    let response = net::raw(server.addr(), request).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("house/small"));
}

#[tokio::test]
async fn connect_tunnel_passes_through() {
    let tunnel = service_fn(|request: Request<Incoming>| async {
        assert_eq!(request.method(), Method::CONNECT);
        tokio::spawn(async {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            let mut io = hyper_util::rt::TokioIo::new(upgraded);
            io.write_all(b"tunnelled").await.unwrap();
            io.shutdown().await.unwrap();
        });
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let server = Server::hyper(house().layer(tunnel)).await;
    let response = net::raw(
        server.addr(),
        "CONNECT a.test:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\ntunnelled"), "{response}");
}

// ===== readiness =====

type Sent = Request<&'static str>;
type Mocked = mock::Mock<&'static str, Response<Full<Bytes>>>;
type Handle = mock::Handle<&'static str, Response<Full<Bytes>>>;

/// The layer around a mock, which gets only the path, because a mock compares requests.
fn mocked() -> (
    mock::Spawn<impl Service<Sent, Response = StatusCode, Error = BoxError> + Clone>,
    Handle,
) {
    mock::spawn_with(|mock: Mocked| {
        let inner = tower::ServiceExt::<&'static str>::map_request(mock, |request: Sent| {
            request.into_body()
        });
        let status = |response: Response<_>| response.status();
        tower::ServiceExt::<Sent>::map_response(house().layer(inner), status)
    })
}

fn request(path: &'static str) -> Sent {
    Request::get(path).body(path).unwrap()
}

#[tokio::test]
async fn readiness_follows_inner_service() {
    let (mut service, mut handle) = mocked();
    handle.allow(0);
    assert!(service.poll_ready::<Sent>().is_pending());
    assert!(!service.is_woken());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(matches!(service.poll_ready::<Sent>(), Poll::Ready(Ok(()))));

    let response = service.call(request("/x"));
    assert_request_eq!(handle, "/x").send_response(Response::new(Full::default()));
    assert_eq!(response.await.unwrap(), StatusCode::OK);
    // The one permit is used up.
    assert!(service.poll_ready::<Sent>().is_pending());
}

#[tokio::test]
async fn list_response_keeps_reserved_readiness() {
    let (mut service, mut handle) = mocked();
    handle.allow(1);
    assert!(matches!(service.poll_ready::<Sent>(), Poll::Ready(Ok(()))));
    for _ in 0..3 {
        let response = service.call(request("/v1/models"));
        assert_eq!(response.await.unwrap(), StatusCode::OK);
        assert!(matches!(service.poll_ready::<Sent>(), Poll::Ready(Ok(()))));
    }
    assert!(handle.next_request().now_or_never().is_none());
    let response = service.call(request("/x"));
    assert_request_eq!(handle, "/x").send_response(Response::new(Full::default()));
    assert_eq!(response.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn call_uses_the_instance_polled_ready() {
    // A mock panics when it is called without having been polled ready, as a fresh clone is.
    let (mut service, mut handle) = mocked();
    handle.allow(10);
    for _ in 0..10 {
        assert!(matches!(service.poll_ready::<Sent>(), Poll::Ready(Ok(()))));
        let idle = service.get_ref().clone();
        let response = service.call(request("/x"));
        drop(idle);
        assert_request_eq!(handle, "/x").send_response(Response::new(Full::default()));
        assert_eq!(response.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn inner_errors_pass_through() {
    let (mut service, mut handle) = mocked();
    handle.allow(1);
    assert!(matches!(service.poll_ready::<Sent>(), Poll::Ready(Ok(()))));
    let response = service.call(request("/x"));
    assert_request_eq!(handle, "/x").send_error("error of the call");
    assert_eq!(response.await.unwrap_err().to_string(), "error of the call");

    handle.send_error("error of readiness");
    let Poll::Ready(Err(error)) = service.poll_ready::<Sent>() else {
        panic!("the mock is ready");
    };
    assert_eq!(error.to_string(), "error of readiness");
}
