//! `ModelsEtagLayer`: sends Codex the current entity tag of its list with every response.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderName, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{render::ClientDialect, service::Responder, snapshot::View};

/// Layer that sets the response header `x-models-etag` to the current entity tag of the list in
/// [Codex's dialect](crate::ClientDialect::Codex).
///
/// Codex compares it with the tag of its own list, byte by byte, and fetches the list again if
/// they differ. Put this layer only around inference routes.
///
/// - The header is absent until the list was first requested in that dialect, and while the
///   list is not served.
/// - An `x-models-etag` of the inner service refers to another list, and is removed.
/// - A caller with a [view](crate::View) gets the tag of its own list. The
///   [hook](crate::Builder::views) runs for each request, before the inner service.
///
/// Readiness and errors are those of the inner service. See
/// [`StaticModelsCacheLayer::models_etag`](crate::StaticModelsCacheLayer::models_etag).
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ModelsEtagLayer {
    responder: Responder,
}

const MODELS_ETAG: HeaderName = HeaderName::from_static("x-models-etag");

impl ModelsEtagLayer {
    pub(crate) fn new(responder: Responder) -> Self {
        Self { responder }
    }
}

impl<S> Layer<S> for ModelsEtagLayer {
    type Service = ModelsEtag<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ModelsEtag {
            inner,
            responder: self.responder.clone(),
        }
    }
}

impl fmt::Debug for ModelsEtagLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelsEtagLayer").finish_non_exhaustive()
    }
}

/// Service of a [`ModelsEtagLayer`].
#[derive(Clone)]
pub struct ModelsEtag<S> {
    inner: S,
    responder: Responder,
}

impl<S> ModelsEtag<S> {
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

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ModelsEtag<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EtagFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // The inner service takes the head, so the view is computed now. The tag is read when
        // the response is ready.
        let (parts, body) = request.into_parts();
        let view = self.responder.view(&parts);
        EtagFuture {
            future: self.inner.call(Request::from_parts(parts, body)),
            responder: self.responder.clone(),
            view,
        }
    }
}

impl<S> fmt::Debug for ModelsEtag<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelsEtag").finish_non_exhaustive()
    }
}

pin_project! {
    /// Response future of [`ModelsEtag`].
    pub struct EtagFuture<F> {
        #[pin]
        future: F,
        responder: Responder,
        view: View,
    }
}

impl<F, B, E> Future for EtagFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        let headers = response.headers_mut();
        headers.remove(&MODELS_ETAG);
        let etag = this.responder.etag(this.view, ClientDialect::Codex);
        headers.extend(etag.map(|etag| (MODELS_ETAG, etag)));
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for EtagFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtagFuture").finish_non_exhaustive()
    }
}
