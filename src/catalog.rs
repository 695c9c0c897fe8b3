//! A catalogue of models: what it says of the models that providers list.
//!
//! It is fetched as a provider's list is: in the background or on demand, asked with its
//! `ETag` whether it still holds, left alone after a failure, and bounded. It is never waited
//! for and never listed; when it arrives, the models that it describes are published again.

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

/// Facts of models from [models.dev](https://models.dev): its `api.json`.
///
/// What a provider, an [enricher](crate::Enrich) or an
/// [override](Builder::override_model) says of a model goes before what the catalogue says.
///
/// # Which record describes which model
///
/// A provider is looked for under its [`catalog_id`](Provider::catalog_id), a model under its
/// ids, exactly as they are:
///
/// 1. The catalogue's record of this provider, by the id that the provider is asked for, or
///    else by the id that is listed. All of it counts, prices included.
/// 2. Where there is none, and the id is `vendor/rest`, as resellers have it: the vendor's own
///    record of `rest`, or this provider's record of `rest`. Prices and deprecation are not
///    taken then: they may be other ones here. Where there are both records and they tell
///    different things, neither counts.
///
/// No other likeness counts: no case is folded, no date or suffix is cut off.
///
/// # When it fails
///
/// The catalogue that was read last stays, however old it is; the
/// [status](crate::Status::catalog) tells its age and what is wrong. Without one, models are
/// listed as their providers describe them. Bounds are those of a provider by default, whatever
/// is set for providers: 16 MiB and 100,000 models.
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

/// The name of its slot, which no status shows.
const NAME: &str = "catalog";

/// How long a catalogue is good.
const INTERVAL: Duration = Duration::from_secs(3600);

impl Catalog {
    /// The catalogue that an HTTP service answers `GET /api.json` with, or what is below its
    /// [`base_url`](Self::base_url). Otherwise as [`Provider::http`].
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
        Self::of(Provider::http(NAME, service).dialect(Dialect::ModelsDev))
    }

    /// The catalogue in a file, which is read again in each interval.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let file = File(path.into().into());
        Self::of(Provider::erased(NAME, Arc::new(file)))
    }

    /// The catalogue at `https://models.dev/api.json`, asked by the crate's own
    /// [client](Provider::client).
    #[cfg(feature = "client")]
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn client() -> Self {
        let provider = Provider::client(NAME, "https://models.dev");
        Self::of(provider.dialect(Dialect::ModelsDev))
    }

    fn of(provider: Provider) -> Self {
        Self(provider.refresh_interval(INTERVAL))
    }

    /// Sets the address below which `api.json` lies. Not of a file.
    pub fn base_url(self, url: impl Into<String>) -> Self {
        Self(self.0.base_url(url))
    }

    /// Sets how long the catalogue is good, give or take a tenth at random. The default is
    /// 1 h.
    pub fn refresh_interval(self, interval: Duration) -> Self {
        Self(self.0.refresh_interval(interval))
    }

    /// Sets how long a fetch of it may take in all. The default is that of providers.
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
    /// Describes models by a catalogue, where neither their provider nor an enricher does.
    /// There is one at the most: a second one takes the place of the first.
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    pub fn catalog(self, catalog: Catalog) -> Self {
        self.with_catalog(catalog.0)
    }
}

impl ModelsCache {
    /// Fetches the catalogue now, due or not, and waits until what came is published.
    ///
    /// `Ok(false)`: there is none.
    ///
    /// # Errors
    ///
    /// There was no catalogue to be had; the one there was stays.
    ///
    /// # Cancel safety
    ///
    /// The fetch goes on when the caller leaves.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
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

/// A file as a source.
struct File(Arc<std::path::Path>);

impl DynSource for File {
    fn list(&self, asked: ListModels) -> ListFuture {
        let path = Arc::clone(&self.0);
        let most = asked.max_bytes();
        Box::pin(compute_apart(move || {
            let body = read(&path, most)?;
            let page = Dialect::ModelsDev.read(&body)?;
            let list = ModelList::from(page.models).with_flaws(page.flaws);
            Ok(list.into())
        }))
    }
}

/// The bytes of a file, if they are no more than `most`.
fn read(path: &std::path::Path, most: usize) -> Result<Vec<u8>, ListError> {
    let failed = |error| ListError::new(ListErrorKind::Transport).with_cause(error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut body = Vec::new();
    let within = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(within).read_to_end(&mut body).map_err(failed)?;
    if body.len() > most {
        return Err(ListErrorKind::TooLarge.into());
    }
    Ok(body)
}
