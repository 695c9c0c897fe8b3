//! `ResponseBody<B>`: prepared bytes, or the inner service's body.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// Response body of [`StaticModelsCache`](crate::StaticModelsCache).
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Debug)]
    enum Inner<B> {
        Prepared { bytes: Bytes },
        Body { #[pin] body: B },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn prepared(bytes: Bytes) -> Self {
        Self {
            inner: Inner::Prepared { bytes },
        }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self {
            inner: Inner::Body { body },
        }
    }
}

/// The empty body: what tower-http's CORS and auth layers answer with where they
/// stand around the service.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::prepared(Bytes::new())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().inner.project() {
            Projected::Prepared { bytes } if bytes.is_empty() => Poll::Ready(None),
            Projected::Prepared { bytes } => {
                let frame = Frame::data(std::mem::take(bytes).into());
                Poll::Ready(Some(Ok(frame)))
            }
            Projected::Body { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Prepared { bytes } => bytes.is_empty(),
            Inner::Body { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Prepared { bytes } => SizeHint::with_exact(bytes.len() as u64),
            Inner::Body { body } => body.size_hint(),
        }
    }
}
