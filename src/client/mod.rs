//! A built-in HTTPS client for providers.
//!
//! - HTTP/1.1, and HTTP/2 if the server supports it. Plain HTTP works as well, but sending a
//!   key over it to another machine is rejected.
//! - TLS with rustls, the ring provider and Mozilla's root certificates, whatever the
//!   process-wide default is.
//! - gzip, br and zstd response bodies are decoded. The size limit applies to the decoded
//!   body.
//! - Up to three redirects are followed, within the same origin only.
//! - The connect timeout is 5 s, including DNS resolution and the TLS handshake. The cache
//!   enforces the deadline of the whole fetch.
//! - Dropping a fetch cancels the request. An idle connection is kept for at most 5 s, in a
//!   task that shutdown does not wait for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body_util::Empty;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, crypto::ring};
use tokio::net::TcpStream;
use tower::{timeout::Timeout, util::BoxCloneSyncService};
use tower_http::{
    decompression::Decompression,
    follow_redirect::{
        FollowRedirect,
        policy::{self, PolicyExt},
    },
};

use crate::{
    error::BoxError,
    provider::{Preset, Provider},
    secret::IntoSecret,
};

/// The connect timeout, from DNS resolution to the end of the TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: long enough for the next page of a list, too short to
/// last until the next refresh.
const IDLE: Duration = Duration::from_secs(5);

const REDIRECTS: usize = 3;

// Boxed, because hyper requires the future of a connector to be `Unpin`.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;
type Policy = policy::And<policy::Limited, policy::SameOrigin>;
type HttpService = Decompression<FollowRedirect<Client<Connector, Empty<Bytes>>, Policy>>;

impl Provider {
    /// Creates a provider with the OpenAI dialect, fetched with the built-in
    /// [client](Self::client).
    ///
    /// The key, if any, is sent as `Authorization: Bearer`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), tower_models_cache::BuildError> {
    /// use tower_models_cache::{Provider, Secret};
    ///
    /// let key = Secret::from_env("OPENAI_API_KEY")?;
    /// let openai = Provider::openai("openai", "https://api.openai.com/v1", key);
    /// let lab = Provider::openai("lab", "http://localhost:8000", None);
    /// # let _ = (openai, lab);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn openai(
        name: impl Into<String>,
        base_url: impl Into<String>,
        secret: impl IntoSecret,
    ) -> Self {
        let provider = Self::client(name, base_url);
        match secret.into_secret() {
            Some(secret) => provider.bearer(secret),
            None => provider,
        }
    }

    /// Creates a provider from a [preset](Preset), which sets the address, the header of the
    /// key and the dialect, fetched with the built-in [client](Self::client).
    ///
    /// The provider has the preset's [name](Preset::name). All settings can be overridden
    /// afterwards. If the preset [needs a key](Preset::needs_key), building the layer fails
    /// unless a key, a [`token`](Self::token) or a header with a credential is set.
    ///
    /// ```
    /// use tower_models_cache::{Preset, Provider, Secret};
    ///
    /// let claude = Provider::preset(Preset::Anthropic, Secret::new("sk-7d1f"));
    /// assert_eq!(claude.name(), "anthropic");
    ///
    /// let lab = Provider::preset(Preset::Ollama, None)
    ///     .with_name("lab")
    ///     .base_url("http://10.0.0.7:11434");
    /// # let _ = lab;
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn preset(preset: Preset, secret: impl IntoSecret) -> Self {
        let provider = Self::preset_with(preset, secret, http_service());
        provider.service_kind("client").forbid_plain_http_key(true)
    }

    /// Creates a provider that is fetched with the built-in HTTPS client, in the OpenAI dialect
    /// unless [`dialect`](Self::dialect) sets another.
    ///
    /// The client supports HTTP/1.1 and HTTP/2, decodes gzip, br and zstd, has a connect
    /// timeout of 5 s, follows up to three redirects within the same origin, and trusts
    /// Mozilla's root certificates. If you need anything else, such as a proxy, a private
    /// certificate authority or a client certificate, pass a service to [`http`](Self::http).
    ///
    /// Building the layer fails if a key would be sent over plain HTTP to another machine,
    /// unless [`allow_plain_http_key`](Self::allow_plain_http_key) is set. Keys are the values
    /// set by [`api_key`](Self::api_key), [`bearer`](Self::bearer),
    /// [`secret_header`](Self::secret_header) and [`token`](Self::token), and the values of
    /// other headers whose names suggest a credential, such as `x-api-key`.
    ///
    /// An idle connection is closed after 5 s, or when the last clone of the provider is
    /// dropped. Shutdown does not wait for it.
    ///
    /// Two such providers with the same settings are equal, so a provider that is built again
    /// from its configuration keeps its list.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_models_cache::{Provider, Secret};
    ///
    /// let provider = Provider::client("azure", "https://a.test/openai/v1")
    ///     .secret_header(HeaderName::from_static("api-key"), Secret::new("7d1f"));
    /// # let _ = provider;
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn client(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self::over_client(name).base_url(base_url)
    }

    /// Creates a provider without a base URL.
    pub(crate) fn over_client(name: impl Into<String>) -> Self {
        Self::http(name, http_service())
            .service_kind("client")
            .forbid_plain_http_key(true)
    }

    /// Sets whether a key may be sent over plain HTTP to another machine, where it can be read
    /// on the network. The default is `false`.
    ///
    /// It applies to [`client`](Self::client), [`openai`](Self::openai) and
    /// [`preset`](Self::preset). Providers with your own service are not restricted.
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn allow_plain_http_key(self, allow: bool) -> Self {
        self.forbid_plain_http_key(!allow)
    }
}

fn http_service() -> HttpService {
    let mut client = Client::builder(TokioExecutor::new());
    client
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new());
    let client = client.build(connector());
    let policy = policy::Limited::new(REDIRECTS)
        .and::<_, (), hyper_util::client::legacy::Error>(policy::SameOrigin::new());
    // `deflate` denotes two formats in practice. Another crate may have enabled it in tower-http.
    Decompression::new(FollowRedirect::with_policy(client, policy)).no_deflate()
}

fn connector() -> Connector {
    // Explicit: rustls panics if two crypto providers are compiled in and none is installed as
    // the process-wide default.
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions of TLS")
        .with_webpki_roots()
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .build();
    BoxCloneSyncService::new(Timeout::new(connector, CONNECT))
}
