//! An HTTP service of any type: the response's head, then its body, bounded.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::{BoxError, ListError, ListErrorKind};

pub(super) type BodyFuture = BoxFuture<'static, Result<Bytes, ListError>>;
type TransportFuture = BoxFuture<'static, Result<Response<BodyFuture>, ListError>>;

/// A service with its types erased.
pub(super) trait Transport: Send + Sync {
    /// Sends a request. The body that comes back fails when it is longer than `most`
    /// bytes.
    fn send(&self, request: Request<()>, most: usize) -> TransportFuture;
}

/// The lock is for cloning alone: it makes services shareable that are not `Sync`.
pub(super) fn erase<S, ReqBody, ResBody>(service: S) -> Arc<dyn Transport>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    ReqBody: Default + Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    let service = Mutex::new(service);
    Arc::new(
        move |request: Request<()>, most: usize| -> TransportFuture {
            let service = service
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            Box::pin(exchange(
                service,
                request.map(|()| ReqBody::default()),
                most,
            ))
        },
    )
}

impl<F> Transport for F
where
    F: Fn(Request<()>, usize) -> TransportFuture + Send + Sync,
{
    fn send(&self, request: Request<()>, most: usize) -> TransportFuture {
        self(request, most)
    }
}

async fn exchange<S, ReqBody, ResBody>(
    mut service: S,
    request: Request<ReqBody>,
    most: usize,
) -> Result<Response<BodyFuture>, ListError>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(broken)?;
    let response = service.call(request).await.map_err(broken)?;
    Ok(response.map(|body| -> BodyFuture { Box::pin(collect(body, most)) }))
}

fn broken(error: impl Into<BoxError>) -> ListError {
    ListError::new(ListErrorKind::Transport).with_cause(error)
}

/// The whole body, unless it is longer than `most` bytes.
async fn collect<B>(body: B, most: usize) -> Result<Bytes, ListError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    if body.size_hint().lower() > most as u64 {
        return Err(ListErrorKind::TooLarge.into());
    }
    let mut whole = Bytes::new();
    while let Some(frame) = next_frame(body.as_mut()).await {
        let Ok(mut data) = frame.map_err(broken)?.into_data() else {
            continue; // trailers
        };
        if whole.len() + data.remaining() > most {
            return Err(ListErrorKind::TooLarge.into());
        }
        whole = if whole.is_empty() {
            // A body of one frame is not copied, where its data is `Bytes`.
            data.copy_to_bytes(data.remaining())
        } else {
            // Copied once; from then on nobody else has it, and it grows in place.
            let mut longer = BytesMut::from(whole);
            longer.put(data);
            longer.freeze()
        };
    }
    Ok(whole)
}

async fn next_frame<B: Body>(
    mut body: Pin<&mut B>,
) -> Option<Result<http_body::Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}
