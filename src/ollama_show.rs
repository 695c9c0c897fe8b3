//! `OllamaShowLayer`: serves `POST /api/show`, with which Ollama's clients request one model.

use std::{
    fmt,
    pin::pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response, request::Parts};
use http_body::Body;
use serde::Deserialize;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::{Prepared, ResponseBody},
    future::{OwnResponse, ResponseFuture},
    service::Responder,
};

/// Layer that serves `POST /api/show` of [Ollama's](crate::ClientDialect::Ollama) API, with the
/// facts of a listed model.
///
/// Some clients show only models for which this request succeeds. It is a separate layer
/// because it has to read the request body, which
/// [`StaticModelsCacheLayer`](crate::StaticModelsCacheLayer) never does.
///
/// - Bodies of `POST` requests to this path are read up to 64 KiB. A body that is longer, or
///   that names no `model`, gets a 400. All other requests reach the inner service unchanged.
/// - Responses come from the snapshot and follow the caller's [view](crate::View). A model that
///   is hidden and one that is not listed get the same 404 in Ollama's format.
/// - As for the list, a request waits for a provider's first attempt, and gets a 503 if the list
///   would.
/// - A refused caller never waits, and its body is not read.
///
/// The path is `{path}/show` for each of [`ollama_paths`](crate::Builder::ollama_paths).
/// Readiness and errors are those of the inner service. See
/// [`StaticModelsCacheLayer::ollama_show`](crate::StaticModelsCacheLayer::ollama_show).
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct OllamaShowLayer {
    responder: Responder,
}

impl OllamaShowLayer {
    pub(crate) fn new(responder: Responder) -> Self {
        Self { responder }
    }
}

impl<S> Layer<S> for OllamaShowLayer {
    type Service = OllamaShow<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OllamaShow {
            inner,
            responder: self.responder.clone(),
        }
    }
}

impl fmt::Debug for OllamaShowLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OllamaShowLayer").finish_non_exhaustive()
    }
}

/// Service of an [`OllamaShowLayer`].
#[derive(Clone)]
pub struct OllamaShow<S> {
    inner: S,
    responder: Responder,
}

impl<S> OllamaShow<S> {
    /// Gets a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Gets a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes this service and returns the inner one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for OllamaShow<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ReqBody: Body + Send + 'static,
    ReqBody::Data: Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let is_show =
            request.method() == Method::POST && self.responder.is_show(request.uri().path());
        if !is_show {
            return ResponseFuture::inner(self.inner.call(request));
        }
        let (parts, body) = request.into_parts();
        let response = show(self.responder.clone(), parts, body);
        ResponseFuture::own(OwnResponse::Awaited(Box::pin(response)))
    }
}

impl<S> fmt::Debug for OllamaShow<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OllamaShow").finish_non_exhaustive()
    }
}

// ===== Response =====

/// The maximum length of a body in bytes: ample for an id and the options that clients send.
const LONGEST: usize = 64 * 1024;

/// The part of a body that is used: the model, under its current field name or the former one.
#[derive(Deserialize)]
struct ShowRequest {
    #[serde(default)]
    model: String,
    #[serde(default)]
    name: String,
}

async fn show<B>(responder: Responder, parts: Parts, body: B) -> Response<Prepared>
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let view = responder.view(&parts);
    if view.is_closed() {
        return responder.show(&view, None).await; // refused, whatever the body
    }
    let body = read(body).await;
    let request = body.and_then(|body| serde_json::from_slice::<ShowRequest>(&body).ok());
    let id = request.map(|request| match request.model.is_empty() {
        true => request.name,
        false => request.model,
    });
    let id = id.filter(|id| !id.is_empty());
    responder.show(&view, id.as_deref()).await
}

/// Reads the whole body. `None` if it is too long or fails.
async fn read<B: Body>(body: B) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.ok()?.into_data() else {
            continue;
        };
        if all.len() + data.remaining() > LONGEST {
            return None;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            all.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
    }
    Some(all.into())
}
