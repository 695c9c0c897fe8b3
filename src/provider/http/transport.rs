//! A type-erased HTTP service: sends a request, and reads the response body up to a limit.

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

/// An HTTP service with its types erased.
pub(super) trait Transport: Send + Sync {
    /// Sends a request. Reading the response body fails if it is longer than `max_bytes`.
    fn send(&self, request: Request<()>, max_bytes: usize) -> TransportFuture;
}

/// Erases the type of a service. The lock makes it `Sync`, and is held only to clone it.
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
        move |request: Request<()>, max_bytes: usize| -> TransportFuture {
            let service = service
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            Box::pin(exchange(
                service,
                request.map(|()| ReqBody::default()),
                max_bytes,
            ))
        },
    )
}

impl<F> Transport for F
where
    F: Fn(Request<()>, usize) -> TransportFuture + Send + Sync,
{
    fn send(&self, request: Request<()>, max_bytes: usize) -> TransportFuture {
        self(request, max_bytes)
    }
}

async fn exchange<S, ReqBody, ResBody>(
    mut service: S,
    request: Request<ReqBody>,
    max_bytes: usize,
) -> Result<Response<BodyFuture>, ListError>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    poll_fn(|cx| service.poll_ready(cx))
        .await
        .map_err(transport_error)?;
    let response = service.call(request).await.map_err(transport_error)?;
    Ok(response.map(|body| -> BodyFuture { Box::pin(collect(body, max_bytes)) }))
}

fn transport_error(error: impl Into<BoxError>) -> ListError {
    ListError::new(ListErrorKind::Transport).with_cause(error)
}

/// Reads the whole body, or fails if it is longer than `max_bytes`.
async fn collect<B>(body: B, max_bytes: usize) -> Result<Bytes, ListError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(ListErrorKind::TooLarge.into());
    }
    let mut bytes = Bytes::new();
    while let Some(frame) = next_frame(body.as_mut()).await {
        let Ok(mut data) = frame.map_err(transport_error)?.into_data() else {
            continue; // trailers
        };
        if bytes.len() + data.remaining() > max_bytes {
            return Err(ListErrorKind::TooLarge.into());
        }
        bytes = if bytes.is_empty() {
            // A body with a single frame of `Bytes` is not copied.
            data.copy_to_bytes(data.remaining())
        } else {
            // Copied once. From then on the buffer is not shared, and grows in place.
            let mut buffer = BytesMut::from(bytes);
            buffer.put(data);
            buffer.freeze()
        };
    }
    Ok(bytes)
}

async fn next_frame<B: Body>(
    mut body: Pin<&mut B>,
) -> Option<Result<http_body::Frame<B::Data>, B::Error>> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}
