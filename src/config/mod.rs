//! The settings and providers of a configuration file, as serde types of any format.
//!
//! [`StaticModelsCacheConfig::builder`] validates what serde cannot, and applies the settings to
//! a [`Builder`](crate::Builder). An absent setting keeps the builder's default, so that each
//! default is defined once.

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
