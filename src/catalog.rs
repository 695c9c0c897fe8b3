//! A catalogue of models, which describes the models that providers list.
//!
//! It is fetched like a provider's list: in the background or on demand, with conditional
//! requests, backoff and the same limits. Requests never wait for it, and its own models are
//! never listed. When it changes, the models that it describes are published again.

use std::{fmt, io::Read, path::PathBuf, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    builder::Builder,
    error::{BoxError, CatalogError, ListError, ListErrorKind},
    handle::ModelsCache,
    model::ModelList,
    provider::{Dialect, DynSource, ListFuture, ListModels, Provider},
    tasks::compute_apart,
};

/// Model metadata from [models.dev](https://models.dev), in the format of its `api.json`.
///
/// The catalogue only fills properties that are unknown otherwise: providers,
/// [enrichers](crate::enrich::Enrich) and [overrides](Builder::override_model) take precedence.
///
/// # Matching
///
/// A provider is looked up by its [`catalog_id`](Provider::catalog_id), and a model by its ids:
///
/// 1. The provider's record with the [upstream id](crate::Model::upstream_id) of the model, or
///    else with its listed id. All of its properties are used, including prices.
/// 2. If there is none and the id is `vendor/rest`, as at resellers: the vendor's record of
///    `rest`, or the provider's record of `rest`. Prices and deprecation are not used, because
///    they may differ. If both records exist and have different properties, neither is used.
///
/// Ids are compared exactly: case is not folded, and dates and suffixes are not removed.
///
/// # Failures
///
/// If a fetch fails, the last catalogue is kept, however old it is. The
/// [status](crate::status::Status::catalog) reports its age and the error. Until the first fetch
/// succeeds, models are listed without the catalogue. The limits are 16 MiB and 100,000 models,
/// whatever limits are set for providers.
///
/// ```
/// use tower_models_cache::{Catalog, Model, Provider, StaticModelsCacheLayer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::fixed("claude", [Model::new("claude-opus-4-5")]).catalog_id("anthropic"))
///     .catalog(Catalog::file("models.dev.json"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a catalogue does nothing until it is given to a builder"]
pub struct Catalog(Provider);

/// The name of its slot, for errors and logs.
const NAME: &str = "catalog";

/// The default refresh interval.
const INTERVAL: Duration = Duration::from_secs(3600);

impl Catalog {
    /// Creates a catalogue that is fetched from an HTTP service with `GET /api.json`, below the
    /// [`base_url`](Self::base_url) if one is set. See [`Provider::http`].
    pub fn http<S, ReqBody, ResBody>(service: S) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        Self::from_provider(Provider::http(NAME, service).dialect(Dialect::ModelsDev))
    }

    /// Creates a catalogue that is read from a file, and read again in each refresh interval.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let file = File(path.into().into());
        Self::from_provider(Provider::erased(NAME, Arc::new(file)))
    }

    /// Creates a catalogue that is fetched from `https://models.dev/api.json` with the built-in
    /// [client](Provider::client).
    #[cfg(feature = "client")]
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn client() -> Self {
        let provider = Provider::client(NAME, "https://models.dev");
        Self::from_provider(provider.dialect(Dialect::ModelsDev))
    }

    fn from_provider(provider: Provider) -> Self {
        Self(provider.refresh_interval(INTERVAL))
    }

    /// Sets the base URL that `/api.json` is appended to. Setting it for a
    /// [file](Self::file) is an error when the layer is built.
    pub fn base_url(self, url: impl Into<String>) -> Self {
        Self(self.0.base_url(url))
    }

    /// Sets the refresh interval, from 1 ms to 365 days, with a random jitter of 10 %. The
    /// default is 1 h.
    pub fn refresh_interval(self, interval: Duration) -> Self {
        Self(self.0.refresh_interval(interval))
    }

    /// Sets the deadline for a whole fetch, from 1 ms to 365 days. The default is the
    /// [builder's](Builder::fetch_timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets the catalogue that fills properties of models which neither their provider nor an
    /// enricher knows. A second call replaces the first.
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    pub fn catalog(self, catalog: Catalog) -> Self {
        self.with_catalog(catalog.0)
    }
}

impl ModelsCache {
    /// Fetches the catalogue now, whether it is due or not, and waits until the result is
    /// published. Returns `Ok(false)` if no catalogue is set.
    ///
    /// # Errors
    ///
    /// Returns an error if the fetch fails. The last catalogue is kept. Outside a Tokio runtime,
    /// and after the cache is shut down, the fetch is
    /// [cancelled](crate::error::ListErrorKind::Cancelled).
    ///
    /// # Cancel safety
    ///
    /// The fetch continues in the background if the future is dropped.
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    pub async fn refresh_catalog(&self) -> Result<bool, CatalogError> {
        let Some(fetch) = self.0.fetch_catalog() else {
            return Ok(false);
        };
        match self.end_of(fetch).await {
            Ok(()) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

// ===== File =====

/// A source that reads a file.
struct File(Arc<std::path::Path>);

impl DynSource for File {
    fn list(&self, request: ListModels) -> ListFuture {
        let path = Arc::clone(&self.0);
        let max_bytes = request.max_bytes();
        Box::pin(compute_apart(move || {
            let body = read(&path, max_bytes)?;
            let page = Dialect::ModelsDev.read(&body)?;
            let list = ModelList::from(page.models).with_flaws(page.flaws);
            Ok(list.into())
        }))
    }
}

/// Reads a file of at most `max_bytes`.
fn read(path: &std::path::Path, max_bytes: usize) -> Result<Vec<u8>, ListError> {
    let failed = |error| ListError::new(ListErrorKind::Transport).with_cause(error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut body = Vec::new();
    let limit = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(limit).read_to_end(&mut body).map_err(failed)?;
    if body.len() > max_bytes {
        return Err(ListErrorKind::TooLarge.into());
    }
    Ok(body)
}
