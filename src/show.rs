//! `OllamaShowLayer`: what Ollama's clients ask about one model.

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

/// Layer that answers `POST /api/show` of [Ollama's](crate::ClientDialect::Ollama) API with
/// what is known of a model that is listed.
///
/// Some clients list no model that they cannot ask about so. The layer that answers the list
/// leaves bodies unread, whatever they are; this one reads that of a `POST` to this path, up
/// to 64 KiB, and leaves all other requests to the service inside. Its answers come from
/// the snapshot and follow the caller's [view](crate::View). A model that is not listed and
/// one that the caller may not see get the same status 404 in Ollama's form. A caller that is
/// refused waits for nothing, and its body is not read. As for the list, a provider's first
/// attempt is waited for, and the answer is 503 where the list's would be.
///
/// Its readiness is the inner service's. See [`StaticModelsCacheLayer::ollama_show`](
/// crate::StaticModelsCacheLayer::ollama_show).
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
        let is_ours =
            request.method() == Method::POST && self.responder.is_show(request.uri().path());
        if !is_ours {
            return ResponseFuture::inner(self.inner.call(request));
        }
        let (parts, body) = request.into_parts();
        let answer = show(self.responder.clone(), parts, body);
        ResponseFuture::ours(OwnResponse::Awaited(Box::pin(answer)))
    }
}

impl<S> fmt::Debug for OllamaShow<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OllamaShow").finish_non_exhaustive()
    }
}

// ===== The answer =====

/// More than an id takes, and than clients send beside it.
const LONGEST: usize = 64 * 1024;

/// What is read of a body: the model by its name of today, or by that of before.
#[derive(Deserialize)]
struct Named {
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
        return responder.show(&view, None).await; // refused, whatever the body says
    }
    let body = read(body).await;
    let named = body.and_then(|body| serde_json::from_slice::<Named>(&body).ok());
    let id = named.map(|named| match named.model.is_empty() {
        true => named.name,
        false => named.model,
    });
    let id = id.filter(|id| !id.is_empty());
    responder.show(&view, id.as_deref()).await
}

/// The whole body; `None`: it is too long, or broke off.
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
