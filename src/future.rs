//! `ResponseFuture<F>`: an answer at hand, one that is waited for, or the inner's.

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
    /// [`OllamaShow`](crate::OllamaShow).
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Kind<F> {
        Inner { #[pin] future: F },
        Ours { answer: OwnResponse },
    }
}

/// An answer of ours, or what it takes to get one.
pub(crate) enum OwnResponse {
    /// Taken when it is polled.
    Ready(Option<Response<Prepared>>),
    /// Boxed, because what takes time is rare, such as a first attempt that is waited for,
    /// and every other request would carry the room for it.
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
    pub(crate) fn ours(answer: OwnResponse) -> Self {
        Self {
            kind: Kind::Ours { answer },
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
            Projected::Ours { answer } => {
                let response = match answer {
                    OwnResponse::Ready(response) => response
                        .take()
                        .expect("a future is not polled after its end"),
                    OwnResponse::Awaited(answer) => ready!(answer.as_mut().poll(cx)),
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
