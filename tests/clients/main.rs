//! Clients: the list in the dialects of other vendors' clients.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests spawn, measure by the paused clock, and fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod dialects;
mod models_etag;
mod ollama_show;
mod pages;
mod typed_client;
