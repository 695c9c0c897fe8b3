//! `ResponseFuture<F>`: a ready response, one that is awaited, or the inner service's.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use http::Response;
use pin_project_lite::pin_project;

use crate::body::{Prepared, ResponseBody};

pin_project! {
    /// Response future of [`StaticModelsCache`](crate::StaticModelsCache) and of
    /// [`OllamaShow`](crate::ollama_show::OllamaShow).
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Kind<F> {
        Inner { #[pin] future: F },
        Own { response: OwnResponse },
    }
}

/// A response of this crate, or a future of one.
pub(crate) enum OwnResponse {
    /// Taken when it is polled.
    Ready(Option<Response<Prepared>>),
    /// Boxed, because waiting is rare, for example for a first attempt, and every other request
    /// would carry the space.
    Awaited(BoxFuture<'static, Response<Prepared>>),
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(crate) fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
        }
    }

    #[inline]
    pub(crate) fn own(response: OwnResponse) -> Self {
        Self {
            kind: Kind::Own { response },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            Projected::Inner { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            Projected::Own { response } => {
                let response = match response {
                    OwnResponse::Ready(response) => response
                        .take()
                        .expect("a future is not polled after completion"),
                    OwnResponse::Awaited(response) => ready!(response.as_mut().poll(cx)),
                };
                Poll::Ready(Ok(response.map(ResponseBody::prepared)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
