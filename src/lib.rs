//! Tower middleware that answers `GET /v1/models` from memory.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod body;
mod builder;
mod cache;
#[cfg(feature = "client")]
mod client;
mod clock;
#[cfg(feature = "compression")]
mod compress;
#[cfg(not(feature = "compression"))]
#[path = "compress/none.rs"]
mod compress;
mod conditional;
#[cfg(feature = "config")]
mod config;
mod document;
mod encoding;
mod entry;
mod error;
mod flight;
mod future;
mod handle;
mod layer;
mod model;
mod models_service;
mod provider;
mod refresher;
mod render;
mod request;
mod secret;
mod service;
mod snapshot;
mod status;
mod tasks;

pub use self::{
    body::ResponseBody,
    builder::Builder,
    error::{BoxError, BuildError, ListError, ListErrorKind, ProviderError},
    future::ResponseFuture,
    handle::{ModelsCache, Readiness, RefreshError, Updates},
    layer::StaticModelsCacheLayer,
    model::{Model, ModelList},
    models_service::{ModelsBody, ModelsService},
    provider::{Dialect, ListModels, Provider, Source},
    refresher::Refresher,
    secret::Secret,
    service::StaticModelsCache,
    snapshot::{ListedModel, ModelsSnapshot},
    status::{AttemptStatus, ProviderStatus, Status},
};

#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub use self::config::{MaxStale, ProviderConfig, StaticModelsCacheConfig};
