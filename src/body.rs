//! `ResponseBody<B>`: prepared bytes, or the inner service's body.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Bytes that were there before they were asked for: nearly always one piece.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    first: Bytes,
    /// Boxed, for only pages have further pieces, and all answers would carry the room.
    rest: Option<Box<[Bytes; 2]>>,
}

impl From<Bytes> for Prepared {
    #[inline]
    fn from(first: Bytes) -> Self {
        Self { first, rest: None }
    }
}

impl Prepared {
    /// Pieces that follow each other.
    pub(crate) fn pieces(first: Bytes, rest: [Bytes; 2]) -> Self {
        Self {
            first,
            rest: Some(Box::new(rest)),
        }
    }

    fn len(&self) -> usize {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        self.first.len() + rest.map(Bytes::len).sum::<usize>()
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    /// The next piece that is not empty.
    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        if self.first.is_empty() {
            self.advance();
        }
        let next = std::mem::take(&mut self.first);
        (!next.is_empty()).then_some(next)
    }

    #[cold]
    fn advance(&mut self) {
        while self.first.is_empty()
            && let Some(rest) = &mut self.rest
        {
            let [second, third] = &mut **rest;
            self.first = std::mem::replace(second, std::mem::take(third));
            if second.is_empty() {
                self.rest = None;
            }
        }
    }
}

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
        Prepared { bytes: Prepared },
        Body { #[pin] body: B },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn prepared(bytes: Prepared) -> Self {
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
        Self::prepared(Bytes::new().into())
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
            Projected::Prepared { bytes } => {
                let next = bytes.next();
                Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes.into()))))
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
