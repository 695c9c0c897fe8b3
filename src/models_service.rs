//! `ModelsService`: serves the list without an inner service.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Empty;
use tower_service::Service;

use crate::{
    body::ModelsBody,
    future::ResponseFuture,
    service::{Responder, StaticModelsCache},
};

/// Service that serves the same responses as the layer, without an inner service.
///
/// Use it on a separate route, so that the list stays available while the other routes are
/// busy. It is always ready and never fails. A `GET` or `HEAD` of another path gets a 404, and
/// any other method a 405 with `Allow: GET, HEAD`, both without a body.
///
/// See [`StaticModelsCacheLayer::service`](crate::StaticModelsCacheLayer::service).
#[derive(Clone, Debug)]
pub struct ModelsService {
    inner: StaticModelsCache<NoService>,
}

impl ModelsService {
    pub(crate) fn new(responder: Responder) -> Self {
        Self {
            inner: StaticModelsCache::new(NoService, responder),
        }
    }
}

impl<ReqBody> Service<Request<ReqBody>> for ModelsService {
    type Response = Response<ModelsBody>;
    type Error = Infallible;
    type Future = ResponseFuture<Ready<Result<Response<Empty<Bytes>>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        self.inner.call(request)
    }
}

/// The inner service, which rejects every request.
#[derive(Clone, Debug)]
struct NoService;

impl<ReqBody> Service<Request<ReqBody>> for NoService {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        // Requests for the list or a model never get here.
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            *response.status_mut() = StatusCode::NOT_FOUND;
        } else {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        ready(Ok(response))
    }
}
