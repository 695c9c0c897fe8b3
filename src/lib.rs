//! Tower middleware that answers the list of models of an LLM gateway from memory.
//!
//! Every client of a gateway calls `GET /v1/models` first and often. This layer takes
//! that endpoint over from any HTTP service and serves one merged, pre-rendered list
//! of what all configured providers offer. What is missing is fetched from the
//! providers, once, and written back; a refresher keeps it fresh, and ends the moment
//! it is told to.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, routing::post};
//! use http::Request;
//! use http_body_util::BodyExt;
//! use tower::ServiceExt;
//! use tower_models_cache::{ListModels, Model, ModelList, Provider, StaticModelsCacheLayer};
//!
//! // Anything that lists models is a source: an HTTP service of a provider
//! // (`Provider::http`), a client of our own (`Provider::preset`, feature `client`),
//! // a list that is declared, or any `Service<ListModels>`, as here.
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
//! refresher.shutdown().await; // dropping it ends the refreshing as well
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **A hit does no work.** The snapshot is immutable and swapped atomically; a
//!   request takes no lock, waits for nothing and renders nothing. It costs the same
//!   for 10 models and for 50,000.
//! - **One fetch of a provider at a time**, whoever asks. It is a task of its own: a
//!   client that hangs up cancels nothing, and what came is written back.
//! - **Nobody waits while there is something to serve**, but for a provider's first
//!   attempt, and for that no longer than 1.5 s
//!   ([`miss_timeout`](Builder::miss_timeout)) after it began.
//! - **Providers are independent.** One that is slow, hung, failing, panicking or
//!   lying changes nothing about the models of the others.
//! - **Only a valid answer replaces a list.** A failure keeps the last good one, for
//!   24 h at the most ([`max_stale`](Builder::max_stale)); an empty answer after a full
//!   one is not believed ([`accept_empty`](Builder::accept_empty)).
//! - **Failures are remembered**: exponential backoff with full jitter, `Retry-After`
//!   within a cap, shared by the refresher and all requests.
//! - **A list is whole or a failure.** All pages are taken, at one origin and under bounds
//!   ([`Builder::max_bytes`], [`max_models`](Builder::max_models),
//!   [`max_pages`](Builder::max_pages)); a failure on one of them fails them all. A record
//!   that cannot be read costs itself, and the [status](ProviderStatus::flaws) counts it.
//! - **Equal models have equal bytes and an equal strong `ETag`** in every process.
//!   Order, duplicates and made-up dates of a provider's answer change nothing.
//! - **What is not the list passes through untouched**, readiness and errors included.
//! - **A view hides.** It decides about a model, whichever name the model is asked for by. A
//!   hidden model is indistinguishable from an unknown one, in body, headers and time. A hook
//!   that fails shows nothing, and a refused caller causes no fetch ([`Builder::views`]).
//! - **Listing and routing agree.** Each listed id, under whatever name, leads to its
//!   provider and upstream id ([`ModelsSnapshot::get`]).
//! - **Nothing leaks.** A client's credentials never reach a provider, and a
//!   provider's key, userinfo, query and error text never reach a client, a log or a
//!   `Debug` output.
//!
//! # What a client gets
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /v1/models`, with or without a slash at the end | 200: OpenAI's envelope with `ETag`, `Cache-Control`, `Cache-Status` (RFC 9211), `Content-Length` |
//! | the same with an `If-None-Match` that matches (RFC 9110, section 13) | 304 |
//! | the same with `Accept-Encoding` (RFC 9110, section 12.5.3), feature `compression` | br, zstd, gzip or identity, each with its own `ETag` |
//! | `GET /v1/models/{id}` | 200: the model, the same bytes as in the list; 404 in OpenAI's form for an id that is not listed |
//! | with `anthropic-version`, or with `x-goog-api-key`, or below `/v1beta/models` | Anthropic's form, or Gemini's, in pages: see [`ClientDialect`] |
//! | `/api/tags`, `/api/version`; the list with `client_version` | Ollama's form, and Codex's, where [they are on](Builder::client_dialects) |
//! | `HEAD` of all these | the same without a body |
//! | a provider is still missing | 200 with the others', and `detail=partial` in `Cache-Status` ([`serve_partial`](Builder::serve_partial)) |
//! | there is nothing to show, to this caller or to any, while a provider is missing | 503 with `Retry-After`, never an empty list |
//! | everything else | the inner service's answer |
//!
//! A model has what is known of it, under the names that most clients read:
//!
//! | field | |
//! | --- | --- |
//! | `id`, `object`, `created`, `owned_by` | always; `created` is 0 where no true date is known, and `owned_by` the provider where no owner is |
//! | `name` | what people are shown |
//! | `context_length`, `max_input_tokens`, `max_output_tokens` | in tokens; where nothing else is known, what a model takes in is the whole context |
//! | `family`, `open_weights` | the family of the model, and whether its weights can be had |
//! | `architecture` | `input_modalities` and `output_modalities`: `text`, `image`, `file`, `audio`, `video`, `embeddings`, `speech`, `transcription`, `rerank` |
//! | `capabilities` | yes or no: `chat`, `tools`, `reasoning`, `structured_output`, `fine_tuning`, `batch` |
//! | `pricing` | US dollars as decimal text: `prompt`, `completion`, `input_cache_read`, `input_cache_write` for a token, `request`, `image` for one |
//! | `deprecated`, `deprecation_date` | that the provider advises against it, and the day on which it ends |
//! | others | further fields of the provider's record: see [`ExtraFields`] |
//!
//! What a provider does not tell, code of yours may ([`Enrich`]), or a catalogue (feature
//! `catalog`); what you know better than the provider, you [set](Builder::override_model). All
//! of that happens at publication. What nobody knows is left out.
//!
//! A list in another form than OpenAI's is rendered when it is asked for first, and from then
//! on with each publication. `Vary` names the headers that choose.
//!
//! No client can make the cache ask a provider: `Cache-Control: no-cache` and query
//! parameters are ignored, but for callers whom you [allow](Builder::allow_refresh) it.
//! [Sources](Source) are asked by the schedule.
//!
//! # Names
//!
//! A model is listed as `provider/id`, as `id`, or as the one only where the other is taken
//! ([`Prefix`]). On a clash the provider that was declared first wins.
//! [Aliases](Builder::alias) are further names of yours, and go before all models. A model
//! that was looked up has an [`id`](ListedModel::id), its own, and the
//! [`name`](ListedModel::name) by which it was found. For
//! Anthropic's clients every name can begin with [`claude-`](Builder::claude_aliases). The
//! [status](Status) tells of aliases without a model and of models without a name.
//!
//! # What a deployment has to know
//!
//! - The layer's readiness is the inner service's. Put it outside of concurrency
//!   limits, or give the list a route of its own with
//!   [`StaticModelsCacheLayer::service`].
//! - With [`build`](Builder::build) there is no task until a request comes: the first
//!   after a list is due renews it, and is answered from what is there. With
//!   [`spawn`](Builder::spawn) a refresher does it, and requests never do.
//! - Put authentication around the layer. Whoever gets through sees the whole list, unless
//!   a [view](Builder::views) says otherwise.
//! - [`StaticModelsCacheLayer::models_etag`] goes around the routes of inference where Codex
//!   is a client, and [`StaticModelsCacheLayer::ollama_show`] beside the layer where Ollama's
//!   clients are.
//! - Behind axum's `nest`, the path that is seen is the stripped one.
//!
//! # Features
//!
//! None is on by default, and each works without the others.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `bedrock` | `Provider::sigv4`: requests to AWS signed by Signature Version 4 |
//! | `catalog` | `Catalog`: facts that providers do not tell, from models.dev |
//! | `client` | `Provider::preset`, `Provider::openai` and `Provider::client`: an HTTPS client over hyper-util and rustls |
//! | `compression` | br, zstd and gzip variants of the list, made at publication |
//! | `config` | `StaticModelsCacheConfig`: settings and providers as serde types, durations as `"5m"`; brings `globs` |
//! | `globs` | `View::globs`: a view by globs over the ids that are listed |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
#[cfg(feature = "bedrock")]
mod bedrock;
mod body;
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
mod config;
mod encoding;
mod enrich;
mod entry;
mod error;
mod etag_layer;
mod flight;
mod future;
#[cfg(feature = "globs")]
mod globs;
mod handle;
mod header_values;
mod hook;
mod layer;
mod model;
mod models_service;
mod page;
mod provider;
mod refresher;
mod render;
mod request;
mod secret;
mod service;
mod show;
mod snapshot;
mod status;
mod tasks;
mod variants;

pub use self::{
    body::ResponseBody,
    builder::Builder,
    enrich::Enrich,
    error::{BoxError, BuildError, ListError, ListErrorKind, ProviderError},
    etag_layer::{EtagFuture, ModelsEtag, ModelsEtagLayer},
    future::ResponseFuture,
    handle::{FindError, FoundModel, ModelsCache, Readiness, RefreshError, Updates},
    layer::StaticModelsCacheLayer,
    model::{
        Capabilities, Capability, Deprecation, FlawCount, Modalities, Modality, Model, ModelList,
        ParsePriceError, Price, Prices, RecordFlaw,
    },
    models_service::{ModelsBody, ModelsService},
    provider::{
        AccessToken, Custom, CustomDialect, Dialect, ExtraFields, ListModels, ModelPage, NextPage,
        Prefix, Preset, Provider, Source, UnknownDialect, UnknownPreset,
    },
    refresher::Refresher,
    render::{ClientDialect, UnknownClientDialect},
    secret::{IntoSecret, Secret},
    service::StaticModelsCache,
    show::{OllamaShow, OllamaShowLayer},
    snapshot::{ListedModel, ModelsSnapshot, View},
    status::{
        AliasStatus, AttemptStatus, CatalogStatus, OverrideStatus, ProviderStatus, Refreshing,
        Status,
    },
};

#[cfg(feature = "bedrock")]
#[cfg_attr(docsrs, doc(cfg(feature = "bedrock")))]
pub use self::bedrock::AwsCredentials;
#[cfg(feature = "catalog")]
#[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
pub use self::catalog::Catalog;
#[cfg(all(feature = "catalog", feature = "config"))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "catalog", feature = "config"))))]
pub use self::config::CatalogConfig;
#[cfg(feature = "config")]
#[cfg_attr(docsrs, doc(cfg(feature = "config")))]
pub use self::config::{
    ListOrigin, MaxStale, OverrideConfig, PricingConfig, ProviderConfig, StaticModelsCacheConfig,
    ViewConfig,
};
#[cfg(feature = "catalog")]
#[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
pub use self::error::CatalogError;
#[cfg(feature = "globs")]
#[cfg_attr(docsrs, doc(cfg(feature = "globs")))]
pub use self::globs::GlobList;

#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
