//! `ResponseBody<B>`: prepared bytes, or the inner service's body.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// A prepared body, which nearly always is one piece.
#[derive(Debug)]
pub(crate) enum Prepared {
    One(Bytes),
    /// Boxed, because only pages have several, and every response would carry the space.
    Pieces(Box<[Bytes; 3]>),
}

impl Default for Prepared {
    #[inline]
    fn default() -> Self {
        Self::One(Bytes::new())
    }
}

impl From<Bytes> for Prepared {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Self::One(bytes)
    }
}

impl Prepared {
    /// A body of consecutive pieces.
    pub(crate) fn pieces(pieces: [Bytes; 3]) -> Self {
        Self::Pieces(Box::new(pieces))
    }

    fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Pieces(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    /// The next piece that is not empty.
    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        let next = match self {
            Self::One(bytes) => std::mem::take(bytes),
            Self::Pieces(pieces) => {
                let mut rest = pieces.iter_mut().filter(|piece| !piece.is_empty());
                rest.next().map(std::mem::take).unwrap_or_default()
            }
        };
        (!next.is_empty()).then_some(next)
    }
}

pin_project! {
    /// Response body of [`StaticModelsCache`](crate::StaticModelsCache) and the other services
    /// of this crate: a prepared body, or that of the inner service.
    ///
    /// A prepared body has an exact size hint. The body of the inner service is passed through,
    /// with its frames, trailers and size hint.
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

/// An empty body, which tower-http's CORS and auth layers need around this service.
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
            Inner::Prepared { bytes } => bytes.len() == 0,
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

/// Response body of [`ModelsService`](crate::ModelsService).
pub type ModelsBody = ResponseBody<http_body_util::Empty<Bytes>>;
