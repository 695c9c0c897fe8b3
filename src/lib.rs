//! Tower middleware that serves an LLM gateway's list of models from memory.
//!
//! Every client of a gateway calls `GET /v1/models` first and often. This layer wraps any
//! HTTP service, takes over that endpoint, and serves one merged, pre-rendered list of the
//! models of all configured providers. Each provider's list is fetched once, refreshed in the
//! background, and served while the provider is down.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, routing::post};
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_models_cache::{
//!     Model, Provider, StaticModelsCacheLayer, model::ModelList, provider::ListModels,
//! };
//!
//! // A source is a provider's HTTP service (`Provider::http`), the crate's own client
//! // (`Provider::preset`, feature `client`), a declared list, or any `Service<ListModels>`.
//! let lab = tower::service_fn(|_: ListModels| async {
//!     Ok::<_, std::io::Error>(ModelList::from_iter([Model::new("llama-4")]))
//! });
//! let (layer, refresher) = StaticModelsCacheLayer::builder()
//!     .provider(Provider::source("lab", lab))
//!     .provider(Provider::fixed("house", [Model::new("house-small")]))
//!     .spawn()?;
//!
//! let app = Router::new()
//!     .route("/v1/chat/completions", post(|| async { "..." }))
//!     .layer(layer);
//!
//! let request = Request::get("/v1/models").body(Body::empty())?;
//! let list = app.oneshot(request).await?.into_body().collect().await?.to_bytes();
//! let list: serde_json::Value = serde_json::from_slice(&list)?;
//! assert_eq!(list["object"], "list");
//! assert_eq!(list["data"][0]["id"], "lab/llama-4");
//! assert_eq!(list["data"][1]["id"], "house/house-small");
//!
//! refresher.shutdown().await; // dropping it stops the refresh as well
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - **Constant-time hits.** The snapshot is immutable and swapped atomically. A hit takes no
//!   lock, waits for nothing and renders nothing. It costs the same for 10 models and for
//!   50,000.
//! - **Single flight.** At most one fetch per provider runs at a time, in its own task. A
//!   client that disconnects cancels nothing, and the result is always written back.
//! - **No waiting while there is something to serve**, except for a provider's first attempt,
//!   and then at most until 1.5 s ([`miss_timeout`](Builder::miss_timeout)) after it began.
//! - **Independent providers.** A provider that is slow, hangs, fails, panics or returns bad
//!   data does not affect the models of the others.
//! - **Only a valid response replaces a list.** A failed fetch keeps the last good list, for
//!   up to 24 h ([`max_stale`](Builder::max_stale)). An empty list from a provider that had
//!   models is a failure ([`accept_empty`](Builder::accept_empty)).
//! - **Backoff.** Failures back off exponentially with jitter. `Retry-After` is honoured up to
//!   a limit. The refresher and all requests share this state.
//! - **Complete lists.** All pages of a list are fetched, from one origin and within limits
//!   ([`max_bytes`](Builder::max_bytes), [`max_models`](Builder::max_models),
//!   [`max_pages`](Builder::max_pages)). If one page fails, the fetch fails. A malformed
//!   record is skipped and counted in the [status](status::ProviderStatus::flaws).
//! - **Stable validators.** Equal models have equal bytes and an equal strong `ETag` in every
//!   process. The order of a provider's response, duplicates and made-up dates have no effect.
//! - **Transparent pass-through.** Other requests reach the inner service unchanged. Readiness
//!   and errors are those of the inner service.
//! - **Views hide models.** A view decides per model, independent of the name in the request. A
//!   hidden model is indistinguishable from an unknown one, in body, headers and timing. If
//!   the hook fails, the caller sees nothing. A refused caller causes no fetch
//!   ([`views`](Builder::views)).
//! - **Listing and routing agree.** Every listed id resolves to its provider and upstream id
//!   ([`ModelsSnapshot::get`]).
//! - **No leaks.** A client's credentials never reach a provider. A provider's key, URL
//!   userinfo, query and error text never reach a client, a log or `Debug` output.
//!
//! # Requests and responses
//!
//! | request | response |
//! | --- | --- |
//! | `GET /v1/models`, with or without a trailing slash | 200: OpenAI's envelope with `ETag`, `Cache-Control`, `Cache-Status` (RFC 9211) and `Content-Length` |
//! | the same with a matching `If-None-Match` (RFC 9110, section 13) | 304 |
//! | the same with `Accept-Encoding` (RFC 9110, section 12.5.3), feature `compression` | br, zstd, gzip or identity, each with its own `ETag` |
//! | `GET /v1/models/{id}` | 200: the model, with the same bytes as in the list; for an id that is not listed, 404 with OpenAI's error object |
//! | with `anthropic-version`, with `x-goog-api-key`, or below `/v1beta/models` | Anthropic's or Gemini's format, in pages: see [`ClientDialect`] |
//! | `/api/tags`, `/api/version`; the list with `client_version` | Ollama's and Codex's formats, if [enabled](Builder::client_dialects) |
//! | `HEAD` of any of these | the same without a body |
//! | a provider has no list | 200 with the models of the others and `detail=partial` in `Cache-Status` ([`serve_partial`](Builder::serve_partial)) |
//! | the caller's list is empty while a provider has no list | 503 with `Retry-After`, never an empty list |
//! | everything else | the inner service's response |
//!
//! A model has these fields, named as most clients expect them. Unknown values are omitted.
//!
//! | field | value |
//! | --- | --- |
//! | `id`, `object`, `created`, `owned_by` | always present; `created` is 0 if no true date is known, `owned_by` is the provider if no owner is |
//! | `name` | the display name |
//! | `context_length`, `max_input_tokens`, `max_output_tokens` | in tokens; `max_input_tokens` defaults to the whole context |
//! | `family`, `open_weights` | the model's family, and whether its weights are available |
//! | `architecture` | `input_modalities` and `output_modalities`: `text`, `image`, `file`, `audio`, `video`, `embeddings`, `speech`, `transcription`, `rerank` |
//! | `capabilities` | booleans: `chat`, `tools`, `reasoning`, `structured_output`, `fine_tuning`, `batch` |
//! | `pricing` | US dollars as decimal text: `prompt`, `completion`, `input_cache_read`, `input_cache_write` per token, `request` per request, `image` per image |
//! | `deprecated`, `deprecation_date` | whether the provider advises against the model, and the day on which it is withdrawn |
//! | others | further fields of the provider's record: see [`ExtraFields`](provider::ExtraFields) |
//!
//! Your code ([`Enrich`](enrich::Enrich)) or a catalogue (feature `catalog`) supplies what a provider omits, and
//! [overrides](Builder::override_model) replace what it reports. Both apply at publication,
//! never per request.
//!
//! A list in a format other than OpenAI's is rendered on its first request, and from then on at
//! each publication. `Vary` names the headers that select the format.
//!
//! Clients cannot force a fetch: `Cache-Control: no-cache` and query parameters are ignored
//! unless [`allow_refresh`](Builder::allow_refresh) permits them. [Sources](provider::Source) are called
//! on schedule.
//!
//! # Names
//!
//! A model is listed as `provider/id`, as `id`, or as `id` and on a conflict as `provider/id`
//! ([`Prefix`](provider::Prefix)). If two providers list the same id, the one declared first keeps it.
//! [Aliases](Builder::alias) are additional names, and take precedence over all models. A model
//! that was looked up has its own [`id`](ListedModel::id) and the [`name`](ListedModel::name)
//! under which it was found. For Anthropic's clients, [`claude_aliases`](Builder::claude_aliases)
//! adds names that begin with `claude-`. The [status](status::Status) reports aliases without a model and
//! models without a name.
//!
//! # Deployment
//!
//! - The layer's readiness is that of the inner service. Put the layer outside concurrency
//!   limits, or serve the list from its own route with [`StaticModelsCacheLayer::service`].
//! - [`spawn`](Builder::spawn) starts a refresher, so requests never trigger a refresh. With
//!   [`build`](Builder::build) there is no background task: the first request after a list is
//!   due starts the fetch and is served the current list, and
//!   [`ModelsCache::snapshot`] starts due fetches as well.
//! - Put authentication around the layer. Every caller that reaches it sees the whole list,
//!   unless a [view](Builder::views) restricts it.
//! - For a readiness probe, use [`Readiness::Attempted`]. [`Readiness::AnyProvider`] can turn
//!   false on all replicas at once.
//! - A view's predicate, a provider's [filter](Provider::filter) and an [enricher](enrich::Enrich) must
//!   return promptly and do no I/O. A publication that does not finish within 10 s is abandoned
//!   and repeated without predicates and enrichers. If rendering a view takes longer than 10 s,
//!   its callers get a 500. A fetch whose filter does not return fails with
//!   [`Timeout`](error::ListErrorKind::Timeout).
//! - For Codex, wrap the inference routes in [`StaticModelsCacheLayer::models_etag`]. For
//!   Ollama's clients, add [`StaticModelsCacheLayer::ollama_show`] beside the layer.
//! - Inside axum's `nest`, the layer sees the path without the prefix.
//!
//! # Features
//!
//! No feature is on by default. Each works without the others.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `bedrock` | `Provider::sigv4`: requests to AWS signed with Signature Version 4 |
//! | `catalog` | `Catalog`: model metadata from models.dev |
//! | `client` | `Provider::preset`, `Provider::openai` and `Provider::client`: an HTTPS client over hyper-util and rustls |
//! | `compression` | br, zstd and gzip variants of the list, encoded at publication |
//! | `config` | `StaticModelsCacheConfig`: settings and providers as serde types, durations as `"5m"`; enables `globs` |
//! | `globs` | `View::globs`: views by globs over listed ids |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
#[cfg(feature = "bedrock")]
#[cfg_attr(docsrs, doc(cfg(feature = "bedrock")))]
pub mod bedrock;
pub mod body;
mod builder;
mod cache;
#[cfg(feature = "catalog")]
mod catalog;
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
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub mod config;
mod encoding;
pub mod enrich;
mod entry;
pub mod error;
mod flight;
pub mod future;
#[cfg(feature = "globs")]
#[cfg_attr(docsrs, doc(cfg(feature = "globs")))]
pub mod globs;
pub mod handle;
mod header_values;
mod hook;
mod layer;
pub mod model;
pub mod models_etag;
mod models_service;
pub mod ollama_show;
mod page;
pub mod provider;
mod refresher;
mod render;
mod request;
pub mod secret;
mod service;
mod snapshot;
pub mod status;
mod tasks;
mod variants;

pub use self::{
    builder::Builder,
    error::BuildError,
    handle::{ModelsCache, Readiness},
    layer::StaticModelsCacheLayer,
    model::Model,
    models_service::ModelsService,
    provider::{Preset, Provider},
    refresher::Refresher,
    render::ClientDialect,
    secret::Secret,
    service::StaticModelsCache,
    snapshot::{ListedModel, ModelsSnapshot, View},
};

#[cfg(feature = "catalog")]
#[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
pub use self::catalog::Catalog;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub use self::config::StaticModelsCacheConfig;

/// The dialects in which clients get the list.
pub mod client_dialect {
    pub use crate::render::{ClientDialect, UnknownClientDialect};
}

#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
