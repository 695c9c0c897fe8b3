//! `CatalogConfig`: the catalogue in a configuration file.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{StaticModelsCacheConfig, duration, reference::check_text};
use crate::{builder::Builder, catalog::Catalog, error::BuildError};

/// A [`Catalog`] in a configuration file: `api.json` of models.dev, or one in the same format.
///
/// ```toml
/// [catalog]
/// file = "models.dev.json"
/// refresh_interval = "10m"
/// ```
///
/// Without a `file`, it is fetched by the crate's own client, which needs the feature `client`,
/// from the `base_url` or from models.dev.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogConfig {
    /// The base URL: the catalogue is at `{base_url}/api.json`. The default is
    /// `"https://models.dev"`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The path of a file to read it from, again in each interval. An error together with
    /// `base_url`.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// The interval between successful fetches, with ± 10 % jitter. The default is `"1h"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub refresh_interval: Option<Duration>,
    /// The timeout of a fetch. The default is the
    /// [`fetch_timeout`](StaticModelsCacheConfig::fetch_timeout) of providers.
    #[serde(default, deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
}

impl StaticModelsCacheConfig {
    pub(super) fn with_catalog(&self, builder: Builder) -> Result<Builder, BuildError> {
        let Some(config) = &self.catalog else {
            return Ok(builder);
        };
        let catalog = config.catalog();
        let catalog = catalog.map_err(|error| error.within("catalog"))?;
        Ok(builder.catalog(catalog))
    }
}

impl CatalogConfig {
    fn catalog(&self) -> Result<Catalog, BuildError> {
        check_text("base_url", &self.base_url)?;
        let file = self.file.as_ref();
        let file = file.map(|file| file.to_string_lossy().into_owned());
        check_text("file", &file)?;
        let mut catalog = match (&self.file, &self.base_url) {
            (Some(file), None) => Catalog::file(file),
            (Some(file), Some(_)) => {
                return Err(BuildError::new("file", file, "either file or base_url"));
            }
            (None, _) => fetched()?,
        };
        if let Some(url) = &self.base_url {
            catalog = catalog.base_url(url);
        }
        if let Some(interval) = self.refresh_interval {
            catalog = catalog.refresh_interval(interval);
        }
        if let Some(timeout) = self.timeout {
            catalog = catalog.timeout(timeout);
        }
        Ok(catalog)
    }
}

#[cfg(feature = "client")]
fn fetched() -> Result<Catalog, BuildError> {
    Ok(Catalog::client())
}

#[cfg(not(feature = "client"))]
fn fetched() -> Result<Catalog, BuildError> {
    let value = "missing, and without feature `client` no catalogue can be fetched";
    let expected = "the path of a file, or feature `client`";
    Err(BuildError::hidden("file", value, expected))
}
