//! An HTTPS client for providers, for those who bring none of their own.
//!
//! - HTTP/1.1, and HTTP/2 where the server offers it; plain http as well, which is
//!   refused when a key would go over it to another machine.
//! - TLS by rustls with the ring provider and Mozilla's roots, whatever the process
//!   has installed as its default.
//! - Answers under gzip, br and zstd are decoded. The bound on an answer's size
//!   counts what is decoded.
//! - Up to three redirects are followed within the origin, none to another.
//! - A connection, TLS included, is there within 5 s or has failed. The deadline of
//!   the whole fetch is kept by the cache.
//! - A fetch that is dropped is over for the server as well. A connection that is
//!   idle stays for 5 s at the most, in a task that shutdown does not wait for.

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

/// How long a connection may take, from the name's resolution to the end of the
/// TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection is kept when nothing goes over it: long enough for the
/// next page of a list, too short to hold one until the next refresh.
const IDLE: Duration = Duration::from_secs(5);

const REDIRECTS: usize = 3;

// Boxed, because hyper wants a future that can be moved.
type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;
type Policy = policy::And<policy::Limited, policy::SameOrigin>;
type HttpService = Decompression<FollowRedirect<Client<Connector, Empty<Bytes>>, Policy>>;

impl Provider {
    /// A provider that speaks OpenAI's dialect, asked over HTTPS with a key, or
    /// without one.
    ///
    /// The key goes out as `authorization: Bearer`. What the client does is said at
    /// [`client`](Self::client).
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

    /// A provider of which a [preset](Preset) knows address, header of the key and
    /// dialect, asked over HTTPS.
    ///
    /// Everything of a preset can be set otherwise afterwards. Where it
    /// [needs a key](Preset::needs_key), building fails without one, or a
    /// [`token`](Self::token), or a header that holds one. What the client does is said at
    /// [`client`](Self::client).
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
        provider.of_kind("client").guarding_keys(true)
    }

    /// A provider of any dialect, asked by a client of its own.
    ///
    /// The client speaks HTTP/1.1 and HTTP/2, decodes gzip, br and zstd, connects
    /// within 5 s, follows up to three redirects and none to another origin, and
    /// trusts Mozilla's roots. For anything else (a proxy, a private authority, a
    /// client certificate) bring a service to [`http`](Self::http).
    ///
    /// A key over plain http to another machine is refused when the layer is built,
    /// unless [`allow_plain_http_key`](Self::allow_plain_http_key) is set. A key is
    /// what [`api_key`](Self::api_key), [`bearer`](Self::bearer),
    /// [`secret_header`](Self::secret_header) and [`token`](Self::token) set, and each
    /// other header whose name says so, such as `x-api-key`.
    ///
    /// A connection stays open for 5 s after its last use. It goes sooner with the last
    /// clone of the provider; a shutdown does not wait for it.
    ///
    /// Two such providers with the same settings are the same provider, so one that
    /// is built again from its configuration keeps its list.
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

    /// A provider without an address yet.
    pub(crate) fn over_client(name: impl Into<String>) -> Self {
        Self::http(name, http_service())
            .of_kind("client")
            .guarding_keys(true)
    }

    /// Lets a key go over plain http to another machine, where everybody on the way
    /// can read it. Only for [`client`](Self::client), [`openai`](Self::openai) and
    /// [`preset`](Self::preset); over a service of your own it is up to you.
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    pub fn allow_plain_http_key(self, allow: bool) -> Self {
        self.guarding_keys(!allow)
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
    // Deflate is two formats under one name; another crate may have it compiled in.
    Decompression::new(FollowRedirect::with_policy(client, policy)).no_deflate()
}

fn connector() -> Connector {
    // Named, not taken from the process: with two providers compiled in and none
    // installed, rustls would panic.
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
