//! `ModelsService`: the same answers, with nothing inside to forward to.

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
    body::ResponseBody,
    future::ResponseFuture,
    service::{Responder, StaticModelsCache},
};

/// Service that gives the layer's answers without an inner service: for a route of
/// its own, and for stacks where the list stays up while everything else is busy.
///
/// It is always ready and never fails. A path that is not ours is answered with
/// 404, and a method other than `GET` and `HEAD` with 405, both without a body.
#[derive(Clone, Debug)]
pub struct ModelsService {
    inner: StaticModelsCache<Refuse>,
}

/// Response body of [`ModelsService`].
pub type ModelsBody = ResponseBody<Empty<Bytes>>;

impl ModelsService {
    pub(crate) fn new(responder: Responder) -> Self {
        Self {
            inner: StaticModelsCache::new(Refuse, responder),
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

/// The inner service of one that has none.
#[derive(Clone, Debug)]
struct Refuse;

impl<ReqBody> Service<Request<ReqBody>> for Refuse {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut response = Response::new(Empty::new());
        // What is ours by path and method was answered before.
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
