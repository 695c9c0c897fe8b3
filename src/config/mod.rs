//! The settings as they stand in a configuration file.
//!
//! Serde reads the types, from whatever format; [`StaticModelsCacheConfig::builder`]
//! checks what serde cannot and applies it. A setting that is absent keeps the
//! builder's default, so each default is written down once.

mod cache;
#[cfg(feature = "catalog")]
mod catalog;
#[cfg(not(feature = "catalog"))]
#[path = "catalog/none.rs"]
mod catalog;
mod duration;
mod overrides;
mod prefix;
mod provider;
mod reference;
mod view;

#[cfg(feature = "catalog")]
pub use self::catalog::CatalogConfig;
pub use self::{
    cache::StaticModelsCacheConfig,
    duration::MaxStale,
    overrides::{OverrideConfig, PricingConfig},
    provider::{ListOrigin, ProviderConfig},
    view::ViewConfig,
};
