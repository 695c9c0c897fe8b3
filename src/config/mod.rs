//! The settings as they stand in a configuration file.
//!
//! Serde reads the types, from whatever format; [`StaticModelsCacheConfig::builder`]
//! checks what serde cannot and applies it. A setting that is absent keeps the
//! builder's default, so each default is written down once.

mod cache;
mod duration;
mod prefix;
mod provider;
mod view;

pub use self::{
    cache::StaticModelsCacheConfig, duration::MaxStale, provider::ProviderConfig, view::ViewConfig,
};
