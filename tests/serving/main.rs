//! Serving: responses on every HTTP stack and in every state of the list.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod axum;
#[cfg(feature = "compression")]
mod conditional;
#[cfg(feature = "compression")]
mod http_properties;
mod hyper;
mod ids;
mod names;
#[cfg(feature = "compression")]
mod negotiation;
mod pass_through;
mod placement;
mod properties;
mod refused;
mod serve;
mod stack;
#[cfg(feature = "compression")]
mod torn;
mod view_health;
#[cfg(feature = "globs")]
mod view_properties;
mod view_races;
mod views;
