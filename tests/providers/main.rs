//! Providers: how their lists are requested, read and described.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "bedrock")]
mod bedrock;
mod captured;
#[cfg(feature = "catalog")]
mod catalog;
#[cfg(feature = "client")]
mod client;
mod credentials;
mod enrich;
mod ingest_properties;
mod offered;
#[cfg(feature = "client")]
mod paging;
mod presets;
mod records;
mod revalidation;
mod samples;
mod secrets;
