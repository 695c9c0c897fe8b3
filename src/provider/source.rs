//! Sources: services that respond to [`ListModels`], with their types erased.

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

/// A request for a provider's model list: what a [source](Source) is called with.
///
/// The cache creates one per fetch. To test a source, create one with [`new`](Self::new):
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower::ServiceExt;
/// use tower_models_cache::{Model, model::ModelList, provider::ListModels};
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
    /// The validator of the current list, for a conditional request.
    pub(crate) validator: Option<Validator>,
}

/// The default timeouts of a fetch: for the whole list, and for the response headers.
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
    /// Creates a request with the defaults of a [builder](crate::Builder): a timeout of 15 s,
    /// 100,000 models, 1,000 pages and 16 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the timeout for the whole list.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self.headers_timeout = HEADERS_TIMEOUT.min(timeout);
        self
    }

    /// Sets the maximum number of models.
    pub fn with_max_models(mut self, models: usize) -> Self {
        self.bounds.models = models;
        self
    }

    /// Sets the maximum number of pages.
    pub fn with_max_pages(mut self, pages: usize) -> Self {
        self.bounds.pages = pages;
        self
    }

    /// Sets the maximum size of the decoded response, in bytes, over all pages.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.bounds.body = bytes;
        self
    }

    /// Returns the timeout for the whole list. The cache enforces it, whatever the source does.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the maximum number of models. A list with more is a failure.
    pub fn max_models(&self) -> usize {
        self.bounds.models
    }

    /// Returns the maximum number of pages. A list with more is a failure.
    pub fn max_pages(&self) -> usize {
        self.bounds.pages
    }

    /// Returns the maximum size of the decoded response, in bytes, over all pages. A larger
    /// response is a failure.
    pub fn max_bytes(&self) -> usize {
        self.bounds.body
    }
}

/// A service that lists models.
///
/// This trait is sealed. It is implemented for every
/// `Service<ListModels, Response = ModelList> + Clone + Send + 'static` whose future is `Send`
/// and whose error is `Into<BoxError>`.
///
/// A [`ListError`] keeps its kind. Any other error is reported as
/// [`ListErrorKind::Other`](crate::error::ListErrorKind::Other).
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

    /// The sealed supertrait, with the method behind `Source`.
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

/// A source with its type erased.
pub(crate) trait DynSource: Send + Sync {
    fn list(&self, request: ListModels) -> ListFuture;

    /// The address of the list without credentials, if there is one.
    fn address(&self) -> Option<&str> {
        None
    }
}

pub(crate) type ListFuture = BoxFuture<'static, Result<SourceResponse, ListError>>;

/// The response of a source.
#[derive(Debug)]
pub(crate) enum SourceResponse {
    /// A list, with its validator if the provider sent one.
    List(ModelList, Option<Validator>),
    /// The list that the validator in the request belongs to is still current.
    Unchanged,
}

impl From<ModelList> for SourceResponse {
    fn from(list: ModelList) -> Self {
        Self::List(list, None)
    }
}

/// Makes a service `Sync`. The lock is held only while the service is cloned.
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

/// The source of a provider with a fixed list.
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
