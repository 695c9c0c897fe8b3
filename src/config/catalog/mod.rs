//! `CatalogConfig`: the catalogue by which models are described.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{StaticModelsCacheConfig, duration, reference::check_text};
use crate::{builder::Builder, catalog::Catalog, error::BuildError};

/// A [`Catalog`] as it stands in a file: `api.json` of models.dev, or what is like it.
///
/// ```toml
/// [catalog]
/// file = "models.dev.json"
/// refresh_interval = "10m"
/// ```
///
/// Without a `file` it is asked for by the crate's own client, which takes feature `client`:
/// at the `base_url`, or else at models.dev.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogConfig {
    /// The address below which `api.json` lies. The default is `"https://models.dev"`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The file that it is read from. Only one of it and `base_url` may be set.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// How long it is good. The default is `"1h"`.
    #[serde(default, deserialize_with = "duration::optional")]
    pub refresh_interval: Option<Duration>,
    /// How long a fetch of it may take. The default is that of providers.
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
                return Err(BuildError::new("file", file, "only one of it and base_url"));
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
    let expected = "a file, or feature `client`";
    Err(BuildError::hidden(
        "file",
        "missing, while nothing can fetch a catalogue",
        expected,
    ))
}
