//! Real sockets on loopback: a hyper server, and clients with one connection each.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "each test file uses its part of it, and tests spawn and unwrap"
)]

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tower::Service;
use tower_models_cache::error::BoxError;

/// Turns a test that hangs into one that fails. The timeout is not a promise.
pub async fn within<F: Future>(future: F) -> F::Output {
    let safety = Duration::from_secs(30);
    tokio::time::timeout(safety, future)
        .await
        .expect("test timed out")
}

/// A server that stops when it is dropped.
pub struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Bare hyper: HTTP/1.1, and HTTP/2 with prior knowledge.
    pub async fn hyper<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let service = TowerToHyperService::new(service.clone());
                tasks.spawn(async move {
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection_with_upgrades(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            addr,
            connections,
            task,
        }
    }

    /// `axum::serve`.
    pub async fn axum(app: axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            addr: listener.local_addr().unwrap(),
            connections: Arc::default(),
            task: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The number of accepted connections (bare hyper only).
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub type RequestBody = BoxBody<Bytes, BoxError>;

pub fn empty() -> RequestBody {
    Empty::new().map_err(never).boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(never).boxed()
}

fn never(never: Infallible) -> BoxError {
    match never {}
}

/// A client with one connection, which it never reopens.
pub struct Client {
    addr: SocketAddr,
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Client {
    pub async fn connect(addr: SocketAddr, version: Version) -> Self {
        let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let sender = if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection.with_upgrades());
            Sender::Http1(sender)
        };
        Self { addr, sender }
    }

    /// Sends a request in the form that the HTTP version requires and returns the head of the
    /// response.
    pub async fn start(&mut self, mut request: Request<RequestBody>) -> Response<Incoming> {
        let path = request.uri().path_and_query().unwrap().clone();
        within(async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    let host = self.addr.to_string().parse().unwrap();
                    request.headers_mut().insert(header::HOST, host);
                    *request.uri_mut() = path.into();
                    sender.ready().await.unwrap();
                    sender.send_request(request).await.unwrap()
                }
                Sender::Http2(sender) => {
                    *request.uri_mut() = format!("http://{}{path}", self.addr).parse().unwrap();
                    sender.ready().await.unwrap();
                    sender.send_request(request).await.unwrap()
                }
            }
        })
        .await
    }

    /// Sends a request and collects the response.
    pub async fn send(&mut self, request: Request<RequestBody>) -> Response<Bytes> {
        let (head, body) = self.start(request).await.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        Response::from_parts(head, body)
    }

    pub async fn request(&mut self, method: Method, path: &str) -> Response<Bytes> {
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(empty()).unwrap()).await
    }

    pub async fn get(&mut self, path: &str) -> Response<Bytes> {
        self.request(Method::GET, path).await
    }
}

/// `GET` over a connection of its own.
pub async fn get(addr: SocketAddr, path: &str) -> Response<Bytes> {
    Client::connect(addr, Version::HTTP_11)
        .await
        .get(path)
        .await
}

/// Writes these bytes and reads until the server closes the connection.
pub async fn raw(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    within(stream.read_to_end(&mut response)).await.unwrap();
    String::from_utf8(response).unwrap()
}

/// The headers without `Date`, which changes.
pub fn dateless(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(header::DATE);
    headers
}
