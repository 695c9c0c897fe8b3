//! Sources: whatever answers `ListModels`, with its type erased once, here.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{TryFutureExt, future::BoxFuture};
use tower_service::Service;

use super::validator::Validator;
use crate::{
    entry::Bounds,
    error::{BoxError, ListError},
    model::{Model, ModelList},
};

/// The request for a provider's list: what a [source](Source) is called with.
///
/// The cache makes one for each fetch. To test a source, make one yourself:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower::ServiceExt;
/// use tower_models_cache::{ListModels, Model, ModelList};
///
/// let source = tower::service_fn(|request: ListModels| async move {
///     let models = ["a", "b", "c"].map(Model::new).into_iter();
///     Ok::<_, std::io::Error>(ModelList::from_iter(models.take(request.max_models())))
/// });
///
/// let list = source.oneshot(ListModels::new().with_max_models(2)).await?;
/// assert_eq!(list.models().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ListModels {
    pub(crate) bounds: Bounds,
    pub(crate) timeout: Duration,
    pub(crate) headers_timeout: Duration,
    /// Of the list there is: one that still holds need not be sent again.
    pub(crate) validator: Option<Validator>,
}

/// How long a fetch may take in all, and until the head of the response, by default.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
pub(crate) const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for ListModels {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            timeout: FETCH_TIMEOUT,
            headers_timeout: HEADERS_TIMEOUT,
            validator: None,
        }
    }
}

impl ListModels {
    /// A request with the default timeout and bounds of a
    /// [builder](crate::Builder::fetch_timeout).
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the whole list is waited for.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.headers_timeout = HEADERS_TIMEOUT.min(timeout);
        self
    }

    /// Sets how many models are taken at most.
    pub fn with_max_models(mut self, models: usize) -> Self {
        self.bounds.models = models;
        self
    }

    /// Sets how many pages are requested at most.
    pub fn with_max_pages(mut self, pages: usize) -> Self {
        self.bounds.pages = pages;
        self
    }

    /// Sets how many bytes of decoded response are read at most.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.bounds.body = bytes;
        self
    }

    /// How long the answer is waited for in all. The cache keeps to it whatever
    /// the source does.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many models are taken at the most; more is a failure.
    pub fn max_models(&self) -> usize {
        self.bounds.models
    }

    /// How many pages are asked for at the most; more is a failure.
    pub fn max_pages(&self) -> usize {
        self.bounds.pages
    }

    /// How many bytes of decoded answer are taken at the most; more is a failure.
    pub fn max_bytes(&self) -> usize {
        self.bounds.body
    }
}

/// Anything that lists models: every cloneable `Service<ListModels>` whose
/// response is a [`ModelList`]. Sealed: be a service, and you are one.
///
/// An error of type [`ListError`] keeps its kind; any other is told as
/// [`ListErrorKind::Other`](crate::ListErrorKind::Other).
pub trait Source: sealed::Sealed {}

impl<S> Source for S
where
    S: Service<ListModels, Response = ModelList> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
}

mod sealed {
    use super::*;

    /// The supertrait that carries what `Source` promises.
    pub trait Sealed: Clone + Send + 'static {
        fn list(self, request: ListModels) -> BoxFuture<'static, Result<ModelList, ListError>>;
    }

    impl<S> Sealed for S
    where
        S: Service<ListModels, Response = ModelList> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        fn list(mut self, request: ListModels) -> BoxFuture<'static, Result<ModelList, ListError>> {
            Box::pin(async move {
                let boxed = |error: S::Error| ListError::from_boxed(error.into());
                poll_fn(|cx| self.poll_ready(cx)).await.map_err(boxed)?;
                self.call(request).await.map_err(boxed)
            })
        }
    }
}

/// A source of any type.
pub(crate) trait DynSource: Send + Sync {
    fn list(&self, request: ListModels) -> ListFuture;

    /// Where the list is requested, if that is known and can be shown.
    fn address(&self) -> Option<&str> {
        None
    }
}

pub(crate) type ListFuture = BoxFuture<'static, Result<SourceResponse, ListError>>;

/// What a source answers with.
#[derive(Debug)]
pub(crate) enum SourceResponse {
    /// A list, and what tells it from others, if the provider gave that.
    List(ModelList, Option<Validator>),
    /// The list is the one whose validator was sent.
    Unchanged,
}

impl From<ModelList> for SourceResponse {
    fn from(list: ModelList) -> Self {
        Self::List(list, None)
    }
}

/// The lock is for cloning alone: it makes services shareable that are not `Sync`.
struct Shared<S>(Mutex<S>);

impl<S: Source> DynSource for Shared<S> {
    fn list(&self, request: ListModels) -> ListFuture {
        let service = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Box::pin(service.list(request).map_ok(SourceResponse::from))
    }
}

pub(super) fn erase<S: Source>(service: S) -> Arc<dyn DynSource> {
    Arc::new(Shared(Mutex::new(service)))
}

/// A declared list.
pub(super) struct Declared(Arc<[Model]>);

impl Declared {
    pub(super) fn new(models: Arc<[Model]>) -> Self {
        Self(models)
    }
}

impl DynSource for Declared {
    fn list(&self, _: ListModels) -> ListFuture {
        let list = ModelList::from(self.0.to_vec()).into_declared();
        Box::pin(async { Ok(list.into()) })
    }
}
