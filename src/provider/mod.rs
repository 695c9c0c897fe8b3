//! Providers: named sources of models.
//!
//! A [`Provider`] has a name, a backend that its list is fetched from, and options for how
//! its models are listed. `dialect` parses lists, `http` fetches them.

mod dialect;
mod http;
mod preset;
mod source;
mod validator;

use std::{fmt, sync::Arc, time::Duration};

use ::http::{HeaderName, HeaderValue, Request, Response, header};
use http_body::Body;
use tower_service::Service;

#[cfg(feature = "bedrock")]
pub(crate) use self::http::{Authorize, CachedCredential};
#[cfg(feature = "config")]
pub(crate) use self::http::{check_base_url, names_a_key};
#[cfg(feature = "catalog")]
pub(crate) use self::source::ListFuture;
pub use self::{
    dialect::{Custom, CustomDialect, Dialect, ExtraFields, ModelPage, NextPage, UnknownDialect},
    http::AccessToken,
    preset::{Preset, UnknownPreset},
    source::{ListModels, Source},
};
use self::{http::HttpBackend, source::Declared};
pub(crate) use self::{
    source::{DynSource, FETCH_TIMEOUT, HEADERS_TIMEOUT, SourceResponse},
    validator::Validator,
};
use crate::{
    entry::is_unsafe_char,
    error::{BoxError, BuildError},
    model::{Model, ModelList},
    secret::{IntoSecret, Secret},
};

/// The longest interval or timeout that is accepted: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A named source of models, and how its models are listed.
///
/// There are three kinds: a provider fetched over HTTP ([`http`](Self::http),
/// [`preset_with`](Self::preset_with)), a provider backed by a [`Source`]
/// ([`source`](Self::source)), and a provider with a fixed list ([`fixed`](Self::fixed)).
///
/// Clones share the source. Setters do not fail: all settings are validated when the layer is
/// built. A setter that has no effect on this kind of provider, such as a key on a fixed list,
/// is an error then, and the error names the setter.
#[derive(Clone)]
pub struct Provider {
    name: Arc<str>,
    backend: Backend,
    fallback: Option<Arc<[Model]>>,
    filter: Option<Filter>,
    /// The first setter that was called but has no effect on this kind of provider.
    misplaced: Option<&'static str>,
    pub(crate) options: Options,
}

/// How a provider is fetched and listed. None of it changes which models the provider offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) prefix: Prefix,
    pub(crate) display_name: Option<Arc<str>>,
    pub(crate) refresh_interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) catalog: CatalogName,
}

/// The name of a provider in the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CatalogName {
    /// The provider's own name.
    #[default]
    Own,
    Named(Arc<str>),
    /// The provider is not in the catalogue.
    Unknown,
}

/// Whether a provider's models are listed as `provider/id` or as `id`.
///
/// In a configuration file this is `true`, `false` or `"on-conflict"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefix {
    /// `provider/id`.
    #[default]
    Always,
    /// `id`. A model whose id is already listed by a provider declared earlier is not listed.
    Never,
    /// `id`, or `provider/id` if a provider declared earlier lists the same id. Every model
    /// can also be looked up as `provider/id`.
    OnConflict,
}

impl Prefix {
    /// Returns `always`, `never` or `on_conflict`. These names are stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::OnConflict => "on_conflict",
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<bool> for Prefix {
    fn from(prefixed: bool) -> Self {
        if prefixed { Self::Always } else { Self::Never }
    }
}

#[derive(Clone)]
enum Backend {
    Http(Box<HttpBackend>),
    Source(Arc<dyn DynSource>),
    Fixed(Arc<[Model]>),
}

/// Decides which of a provider's models are listed.
#[derive(Clone)]
pub(crate) struct Filter {
    keep: Arc<dyn Fn(&Model) -> bool + Send + Sync>,
    /// Filters with equal rules are equal. `None` for a closure, which is equal only to itself.
    rule: Option<String>,
}

impl Provider {
    /// Creates a provider whose list is fetched from an HTTP service, in the OpenAI dialect
    /// unless [`dialect`](Self::dialect) sets another.
    ///
    /// The service is called with `GET /v1/models` and an empty body, or with the absolute URI
    /// of the list if a [`base_url`](Self::base_url) is set. It is cloned for each page and
    /// polled ready before the call, so timeouts, retries, limits and credentials can be Tower
    /// layers around it. No part of a client's request is ever passed to it.
    ///
    /// If a list is received with an `ETag` or `Last-Modified`, the next fetch is a conditional
    /// request (RFC 9110, section 13), provided that the URI and the headers are the same. A
    /// credential that is added by a layer is not part of that comparison: if it changes, and
    /// the provider lists different models for each credential, use [`token`](Self::token)
    /// instead.
    ///
    /// If the type of the request body cannot be inferred (an axum `Router` accepts any), name
    /// it: `Provider::http::<_, axum::body::Body, _>("lab", router)`.
    pub fn http<S, ReqBody, ResBody>(name: impl Into<String>, service: S) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        Self::new(name, Backend::Http(Box::new(HttpBackend::new(service))))
    }

    /// Creates a provider from a preset, which sets the address, the header of the key and the
    /// dialect. The list is fetched through `service`.
    ///
    /// The provider has the preset's [name](Preset::name). All settings can be overridden
    /// afterwards. If the preset [needs a key](Preset::needs_key), building the layer fails
    /// unless a key, a [`token`](Self::token) or a header with a credential is set.
    pub fn preset_with<S, ReqBody, ResBody>(
        preset: Preset,
        secret: impl IntoSecret,
        service: S,
    ) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let provider = Self::http(preset.name(), service).with_preset(preset);
        match secret.into_secret() {
            Some(secret) => provider.api_key(secret),
            None => provider,
        }
    }

    /// Applies all settings of a preset except its name.
    pub(crate) fn with_preset(mut self, preset: Preset) -> Self {
        if let Backend::Http(backend) = &mut self.backend {
            backend.set_preset(preset.facts());
        }
        if let Some(id) = preset.catalog_id() {
            self = self.catalog_id(id);
        }
        self
    }

    /// Creates a provider whose list is fetched from a `Service<ListModels>`.
    ///
    /// ```
    /// use tower_models_cache::{Model, Provider, model::ModelList, provider::ListModels};
    ///
    /// let source = tower::service_fn(|_: ListModels| async {
    ///     Ok::<_, std::io::Error>(ModelList::from_iter([Model::new("house-small")]))
    /// });
    /// let provider = Provider::source("house", source);
    /// # let _ = provider;
    /// ```
    pub fn source<S: Source>(name: impl Into<String>, service: S) -> Self {
        Self::new(name, Backend::Source(source::erase(service)))
    }

    /// Creates a provider with a fixed list of models. Nothing is ever fetched.
    pub fn fixed(name: impl Into<String>, models: impl IntoIterator<Item = Model>) -> Self {
        Self::new(name, Backend::Fixed(models.into_iter().collect()))
    }

    /// Creates a provider from a source whose type is already erased.
    #[cfg(feature = "catalog")]
    pub(crate) fn erased(name: impl Into<String>, source: Arc<dyn DynSource>) -> Self {
        Self::new(name, Backend::Source(source))
    }

    fn new(name: impl Into<String>, backend: Backend) -> Self {
        Self {
            name: name.into().into(),
            backend,
            fallback: None,
            filter: None,
            misplaced: None,
            options: Options::default(),
        }
    }

    /// Returns the provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of an HTTP provider's list: scheme, host, port and path, such as
    /// `https://api.openai.com/v1/models`. Without a [base URL](Self::base_url) this is only
    /// the path.
    ///
    /// Userinfo, query and credentials are never included. Returns `None` if this is not an
    /// HTTP provider, or if the address is invalid, which is an error when the layer is built.
    pub fn address(&self) -> Option<String> {
        match &self.backend {
            Backend::Http(backend) => backend.address(),
            Backend::Source(_) | Backend::Fixed(_) => None,
        }
    }

    /// Sets the provider's name.
    ///
    /// A name is 1 to 128 bytes without slashes, control characters and leading or trailing
    /// whitespace, and no two providers of a layer have the same name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// Applies a setter to an HTTP provider. On any other kind of provider the setter has no
    /// effect, which is an error when the layer is built.
    fn over_http(mut self, setter: &'static str, set: impl FnOnce(&mut HttpBackend)) -> Self {
        match &mut self.backend {
            Backend::Http(backend) => set(backend),
            Backend::Source(_) | Backend::Fixed(_) => {
                self.misplaced.get_or_insert(setter);
            }
        }
        self
    }

    /// Checks that every setter that was called has an effect.
    fn check_effect(&self) -> Result<(), BuildError> {
        if let Some(setter) = self.misplaced {
            let value = "set for a provider that is not fetched over HTTP";
            let expected = "an HTTP provider: one of Provider::http, preset, openai or client";
            return Err(BuildError::hidden(setter, value, expected));
        }
        if !matches!(self.backend, Backend::Fixed(_)) {
            return Ok(());
        }
        for (setter, set) in [
            ("fallback", self.fallback.is_some()),
            ("refresh_interval", self.options.refresh_interval.is_some()),
            ("timeout", self.options.timeout.is_some()),
        ] {
            if set {
                let value = "set for a provider whose list is declared";
                let expected = "a provider whose list is fetched";
                return Err(BuildError::hidden(setter, value, expected));
            }
        }
        Ok(())
    }

    /// Sets the wire format of the list. The default is [`Dialect::OpenAi`]. HTTP providers
    /// only.
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.over_http("dialect", |backend| backend.set_dialect(dialect))
    }

    /// Sets the base URL of the provider's API, an absolute `http` or `https` URL without
    /// userinfo and query. HTTP providers only.
    ///
    /// A trailing slash is ignored. The [dialect](Self::dialect) determines the path of the
    /// list: in the OpenAI dialect it is `{base}/models`, or `{base}/v1/models` if the URL has
    /// no path. [`models_path`](Self::models_path) or a [preset](Preset) overrides it.
    pub fn base_url(self, url: impl Into<String>) -> Self {
        self.over_http("base_url", |backend| backend.set_base_url(url.into()))
    }

    /// Sets the path of the list. It starts with `/`, replaces the path of the base URL and
    /// can have a query. HTTP providers only.
    pub fn models_path(self, path: impl Into<String>) -> Self {
        self.over_http("models_path", |backend| {
            backend.set_models_path(path.into())
        })
    }

    /// Adds a header to every request, replacing a header of the same name. HTTP providers
    /// only.
    ///
    /// The value is marked as sensitive, so `Debug` output does not show it.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.over_http("header", |backend| backend.set_header(name, value))
    }

    /// Sends the secret as `Authorization: Bearer`. HTTP providers only.
    ///
    /// A secret that is empty or not a valid header value is an error when the layer is built.
    /// The error names the header, never the secret.
    pub fn bearer(self, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("bearer", |backend| {
            backend.set_secret(header::AUTHORIZATION, "Bearer ", &secret)
        })
    }

    /// Sends the secret in the header that the provider's [preset](Preset) uses for keys, or
    /// as `Authorization: Bearer` by default. HTTP providers only.
    ///
    /// The secret is checked as described for [`bearer`](Self::bearer).
    pub fn api_key(self, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("api_key", |backend| backend.set_key(&secret))
    }

    /// Sends the secret in the header `name`, such as `x-api-key`. HTTP providers only.
    ///
    /// The secret is checked as described for [`bearer`](Self::bearer).
    pub fn secret_header(self, name: HeaderName, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("secret_header", |backend| {
            backend.set_secret(name, "", &secret)
        })
    }

    /// Sends a token returned by `fetch` as `Authorization: Bearer`, for example an OAuth
    /// access token. HTTP providers only.
    ///
    /// The token is fetched when a list is fetched, within the same deadline, and cached until
    /// it [expires](AccessToken::expires_in). If `fetch` fails, the fetch of the list fails with
    /// [`Credential`](crate::error::ListErrorKind::Credential). If the provider responds with status
    /// 401, a cached token is dropped, and the page is requested once more with a new one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_models_cache::{Provider, error::BoxError, provider::AccessToken};
    ///
    /// async fn access_token() -> Result<AccessToken, BoxError> {
    ///     // Call your identity provider here.
    ///     Ok(AccessToken::new("ya29.7d1f").expires_in(Duration::from_secs(3599)))
    /// }
    /// # let service = tower::service_fn(|_: http::Request<String>| async {
    /// #     Ok::<_, BoxError>(http::Response::new(String::new()))
    /// # });
    /// let provider = Provider::http("vertex", service).token(access_token);
    /// # let _ = provider;
    /// ```
    pub fn token<F, Fut, E>(self, fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.over_http("token", |backend| backend.set_token(fetch))
    }

    #[cfg(feature = "bedrock")]
    pub(crate) fn with_authorize(self, authorize: Arc<dyn Authorize>) -> Self {
        self.over_http("sigv4", |backend| {
            backend.set_authorize(authorize);
            backend.require_base_url("https://bedrock.us-east-1.amazonaws.com");
        })
    }

    /// Sets which additional fields of the provider's records are served, besides those that
    /// [`Model`] has. The default is [`ExtraFields::Known`]. HTTP providers with a built-in
    /// dialect only.
    pub fn extra_fields(self, extra: ExtraFields) -> Self {
        self.over_http("extra_fields", |backend| backend.set_extra(extra))
    }

    /// Sets whether models are listed as `provider/id` (`true`, the default), as `id`
    /// (`false`), or as `id` unless a provider declared earlier lists the same id
    /// ([`Prefix::OnConflict`]).
    ///
    /// If two models would be listed under one id, the provider declared first takes
    /// precedence. The status of the other provider counts its models that are
    /// [shadowed](crate::status::ProviderStatus::shadowed) or
    /// [prefixed](crate::status::ProviderStatus::prefixed) as a result.
    pub fn prefix(mut self, prefix: impl Into<Prefix>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Sets the human-readable name. It is shown in the status, and is the `owned_by` of
    /// models without a known owner. The default is the provider's name.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.options.display_name = Some(name.into().into());
        self
    }

    /// Sets the refresh interval of this provider, from 1 ms to 365 days. The default is the
    /// [builder's](crate::Builder::refresh_interval).
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.options.refresh_interval = Some(interval);
        self
    }

    /// Sets the deadline for a whole fetch from this provider, all pages included, from 1 ms to
    /// 365 days. The default is the [builder's](crate::Builder::fetch_timeout).
    ///
    /// It also replaces the shorter default timeout for response headers.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the id of the provider in the catalogue (feature `catalog`), such as
    /// `amazon-bedrock`. The default is the id of its [preset](Preset::catalog_id), or else the
    /// provider's name.
    pub fn catalog_id(mut self, id: impl Into<String>) -> Self {
        self.options.catalog = CatalogName::Named(id.into().into());
        self
    }

    /// Excludes the provider from the catalogue: its models are never looked up there.
    pub fn no_catalog(mut self) -> Self {
        self.options.catalog = CatalogName::Unknown;
        self
    }

    /// Lists only the models for which `keep` returns `true`. It is called once per model and
    /// fetch, never per request. It must return promptly: a fetch whose list is not filtered
    /// 10 s after its timeout is a failure of kind [`Timeout`](crate::error::ListErrorKind::Timeout).
    ///
    /// The filter runs after the response has been validated and deduplicated, so it never
    /// changes a field of a model that it keeps. The number of models removed is in the
    /// [status](crate::status::ProviderStatus::filtered).
    pub fn filter(mut self, keep: impl Fn(&Model) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Filter {
            keep: Arc::new(keep),
            rule: None,
        });
        self
    }

    /// Sets a filter that is equal to every other filter with the same rule.
    #[cfg(feature = "config")]
    pub(crate) fn filter_by_rule(
        mut self,
        rule: String,
        keep: impl Fn(&Model) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filter = Some(Filter {
            keep: Arc::new(keep),
            rule: Some(rule),
        });
        self
    }

    /// Lists these models if the provider has no model list, that is, if it responds with
    /// status 404, 405 or 501. Any other failure remains a failure.
    pub fn fallback(mut self, models: impl IntoIterator<Item = Model>) -> Self {
        self.fallback = Some(models.into_iter().collect());
        self
    }

    /// Treats HTTP services of the same `kind` as the same service, so that a provider that is
    /// built again from its configuration keeps its list.
    #[cfg(feature = "client")]
    pub(crate) fn service_kind(mut self, kind: &'static str) -> Self {
        if let Backend::Http(backend) = &mut self.backend {
            backend.set_service_kind(kind);
        }
        self
    }

    /// Sets whether building fails if a key would be sent over plain HTTP to another machine.
    #[cfg(feature = "client")]
    pub(crate) fn forbid_plain_http_key(self, forbid: bool) -> Self {
        self.over_http("allow_plain_http_key", |backend| {
            backend.set_forbid_plain_http_key(forbid)
        })
    }

    /// Whether the two providers have the same list: same name, source, filter and fallback.
    /// The options do not matter.
    pub(crate) fn offers_the_same(&self, other: &Self) -> bool {
        let same_origin = match (&self.backend, &other.backend) {
            (Backend::Http(a), Backend::Http(b)) => a.is_same(b),
            (Backend::Source(a), Backend::Source(b)) => Arc::ptr_eq(a, b),
            (Backend::Fixed(a), Backend::Fixed(b)) => a == b,
            _ => false,
        };
        same_origin
            && self.has_same_filter(other)
            && self.name == other.name
            && self.fallback == other.fallback
    }

    /// Whether the two are the same provider at the same address. Only credentials and settings
    /// may differ, so the list of one can be kept for the other.
    pub(crate) fn has_same_address(&self, other: &Self) -> bool {
        let same_address = match (&self.backend, &other.backend) {
            (Backend::Http(a), Backend::Http(b)) => a.has_same_address(b),
            (Backend::Source(a), Backend::Source(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_address && self.name == other.name
    }

    /// Whether the filters are equal.
    pub(crate) fn has_same_filter(&self, other: &Self) -> bool {
        match (&self.filter, &other.filter) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                Arc::ptr_eq(&a.keep, &b.keep) || (a.rule.is_some() && a.rule == b.rule)
            }
            _ => false,
        }
    }

    /// Whether the list is fixed and never fetched.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.backend, Backend::Fixed(_))
    }

    /// The list of a fixed provider.
    pub(crate) fn declared(&self) -> Option<ModelList> {
        match &self.backend {
            Backend::Fixed(models) => Some(ModelList::from(models.to_vec()).into_declared()),
            _ => None,
        }
    }

    /// The fallback list, for a provider without a model list.
    pub(crate) fn fallback_list(&self) -> Option<ModelList> {
        let models = self.fallback.as_ref()?;
        Some(ModelList::from(models.to_vec()).into_declared())
    }

    /// Whether the filter keeps a model.
    pub(crate) fn keeps(&self, model: &Model) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| (filter.keep)(model))
    }

    /// The id of this provider in the catalogue, unless it is excluded from it.
    pub(crate) fn called_in_catalog(&self) -> Option<&Arc<str>> {
        match &self.options.catalog {
            CatalogName::Own => Some(&self.name),
            CatalogName::Named(id) => Some(id),
            CatalogName::Unknown => None,
        }
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Validates all settings and builds the source.
    pub(crate) fn open(&self) -> Result<Arc<dyn DynSource>, BuildError> {
        check_name(&self.name)?;
        self.build_as(format_args!("providers.{}", self.name))
    }

    /// Like [`open`](Self::open), with the name of the parent field in errors.
    pub(crate) fn build_as(
        &self,
        parent: impl fmt::Display + Copy,
    ) -> Result<Arc<dyn DynSource>, BuildError> {
        let within = |error: BuildError| error.within(parent);
        self.check_effect().map_err(within)?;
        check_duration("refresh_interval", self.options.refresh_interval).map_err(within)?;
        check_duration("timeout", self.options.timeout).map_err(within)?;
        Ok(match &self.backend {
            Backend::Http(backend) => backend.build(&self.name).map_err(within)?,
            Backend::Source(source) => Arc::clone(source),
            Backend::Fixed(models) => Arc::new(Declared::new(Arc::clone(models))),
        })
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), BuildError> {
    let has_valid_length = (1..=128).contains(&name.len());
    let is_trimmed = name.trim() == name;
    if has_valid_length && is_trimmed && !name.contains('/') && !name.contains(is_unsafe_char) {
        return Ok(());
    }
    let expected =
        "1 to 128 bytes without slashes, control characters and leading or trailing whitespace";
    Err(BuildError::new("providers.name", name, expected))
}

/// Checks that a duration, if set, is from 1 ms to a year.
pub(crate) fn check_duration(
    field: &'static str,
    value: Option<Duration>,
) -> Result<(), BuildError> {
    match value {
        Some(value) if value < Duration::from_millis(1) || value > LONGEST => {
            Err(BuildError::new(field, value, "1 ms to 365 days"))
        }
        _ => Ok(()),
    }
}
