//! A provider: a name, where its list comes from, and how it is listed.

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
pub(crate) use self::http::{Authorize, KeptCredential};
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

/// The longest interval and timeout that are taken for meant: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A named source of models, and how its models are listed.
///
/// Clones share the source. What the options promise is checked when the layer is built, so
/// the setters cannot fail: one that has no effect on this kind of provider, such as a key on
/// a list that is declared, is an error there, which names it.
#[derive(Clone)]
pub struct Provider {
    name: Arc<str>,
    backend: Backend,
    fallback: Option<Arc<[Model]>>,
    filter: Option<Filter>,
    /// The first setter that means something for another kind of provider only.
    misplaced: Option<&'static str>,
    pub(crate) options: Options,
}

/// How a provider is listed and asked; nothing of it changes what it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) prefix: Prefix,
    pub(crate) display_name: Option<Arc<str>>,
    pub(crate) refresh_interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) catalog: CatalogName,
}

/// What the catalogue calls a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CatalogName {
    /// By its own name.
    #[default]
    Own,
    Named(Arc<str>),
    /// The catalogue does not know it.
    Unknown,
}

/// Under which ids a provider's models are listed.
///
/// In a configuration file it is `true`, `false` or `"on-conflict"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefix {
    /// `provider/id`.
    #[default]
    Always,
    /// The id alone. One that a provider declared before has is not listed.
    Never,
    /// The id alone, and `provider/id` where a provider declared before has that id. As
    /// `provider/id` every model is found in any case.
    OnConflict,
}

impl Prefix {
    /// The choice as one word: `always`, `never` or `on_conflict`. It never changes.
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

/// Which of a provider's models are listed.
#[derive(Clone)]
pub(crate) struct Filter {
    keep: Arc<dyn Fn(&Model) -> bool + Send + Sync>,
    /// Filters of the same rule are the same filter; a closure has no rule to tell.
    rule: Option<String>,
}

impl Provider {
    /// A provider whose list an HTTP service answers with, in the OpenAI dialect
    /// unless [`dialect`](Self::dialect) says otherwise.
    ///
    /// The service gets `GET /v1/models`, or the absolute address of the list
    /// when a [`base_url`](Self::base_url) is set, with an empty body. It is
    /// cloned for each page and polled ready first, so timeouts, retries, limits
    /// and credentials can be tower layers around it. Nothing of a client's
    /// request ever reaches it.
    ///
    /// A list that came with an `ETag` or `Last-Modified` is asked for with it the next
    /// time (RFC 9110, section 13), at the same address and with the same headers. A
    /// credential that a layer adds is not seen here: where it changes, and the provider
    /// lists other models for another one, set it by [`token`](Self::token) instead.
    ///
    /// Where the request body's type cannot be inferred (an axum `Router` takes
    /// any), name it: `Provider::http::<_, axum::body::Body, _>("lab", router)`.
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

    /// A provider of which a preset knows address, header of the key and dialect, asked
    /// over a service of your own.
    ///
    /// Everything of a preset can be set otherwise afterwards. Where it
    /// [needs a key](Preset::needs_key), building fails without one, or a
    /// [`token`](Self::token), or a header that holds one.
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

    /// Sets all that a preset knows of a provider, but its name.
    pub(crate) fn with_preset(mut self, preset: Preset) -> Self {
        if let Backend::Http(backend) = &mut self.backend {
            backend.set_preset(preset.facts());
        }
        if let Some(id) = preset.catalog_id() {
            self = self.catalog_id(id);
        }
        self
    }

    /// A provider whose list any `Service<ListModels>` answers with.
    ///
    /// ```
    /// use tower_models_cache::{ListModels, Model, ModelList, Provider};
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

    /// A provider whose models are declared here and never fetched.
    pub fn fixed(name: impl Into<String>, models: impl IntoIterator<Item = Model>) -> Self {
        Self::new(name, Backend::Fixed(models.into_iter().collect()))
    }

    /// A provider of a source whose type is erased already.
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

    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the list of an HTTP provider is requested: scheme, host, port and path, such as
    /// `https://api.openai.com/v1/models`. Without a [base URL](Self::base_url) it is the path
    /// alone.
    ///
    /// Userinfo, query and credentials are never part of it. `None`: this is not an HTTP
    /// provider, or what was set is no address, which is an error when the layer is built.
    pub fn address(&self) -> Option<String> {
        match &self.backend {
            Backend::Http(backend) => backend.address(),
            Backend::Source(_) | Backend::Fixed(_) => None,
        }
    }

    /// The same provider under another name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into().into();
        self
    }

    /// Changes an HTTP provider. For any other kind the setter has no effect, which is an error
    /// when the layer is built.
    fn over_http(mut self, setter: &'static str, set: impl FnOnce(&mut HttpBackend)) -> Self {
        match &mut self.backend {
            Backend::Http(backend) => set(backend),
            Backend::Source(_) | Backend::Fixed(_) => {
                self.misplaced.get_or_insert(setter);
            }
        }
        self
    }

    /// Checks that everything that was set has an effect.
    fn check_effect(&self) -> Result<(), BuildError> {
        if let Some(setter) = self.misplaced {
            let value = "set for a provider that is not fetched over HTTP";
            let expected = "a provider of Provider::http, preset, openai or client";
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

    /// Sets the wire format of the list. HTTP providers only.
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.over_http("dialect", |backend| backend.set_dialect(dialect))
    }

    /// Sets the address under which the provider's API lies. HTTP providers only.
    ///
    /// A trailing slash does not matter. The list is taken from where the
    /// [dialect](Self::dialect) has it below that address: in OpenAI's from
    /// `{base}/models`, and from `{base}/v1/models` when the address has no path at all.
    /// Another place is named by [`models_path`](Self::models_path), or by a
    /// [preset](Preset).
    pub fn base_url(self, url: impl Into<String>) -> Self {
        self.over_http("base_url", |backend| backend.set_base_url(url.into()))
    }

    /// Sets the path of the list, from the root of the provider's host: it begins
    /// with `/` and replaces the path of the base URL. HTTP providers only.
    pub fn models_path(self, path: impl Into<String>) -> Self {
        self.over_http("models_path", |backend| {
            backend.set_models_path(path.into())
        })
    }

    /// Sends this header with each fetch. HTTP providers only.
    ///
    /// The value is marked as sensitive: no `Debug` output shows it.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.over_http("header", |backend| backend.set_header(name, value))
    }

    /// Sends `authorization: Bearer` with this secret. HTTP providers only.
    ///
    /// A secret that is empty or cannot stand in a header is found when the layer is
    /// built; the error names the header, never the secret.
    pub fn bearer(self, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("bearer", |backend| {
            backend.set_secret(header::AUTHORIZATION, "Bearer ", &secret)
        })
    }

    /// Sends this secret where the provider's [preset](Preset) has the key: as a bearer
    /// unless it says otherwise. HTTP providers only.
    ///
    /// A secret is checked as in [`bearer`](Self::bearer).
    pub fn api_key(self, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("api_key", |backend| backend.set_key(&secret))
    }

    /// Sends this secret as a header, such as `x-api-key`. HTTP providers only.
    ///
    /// A secret is checked as in [`bearer`](Self::bearer).
    pub fn secret_header(self, name: HeaderName, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.over_http("secret_header", |backend| {
            backend.set_secret(name, "", &secret)
        })
    }

    /// Sends `authorization: Bearer` with a token that `fetch` gives, and that is kept
    /// until it expires: for OAuth access tokens. HTTP providers only.
    ///
    /// It is fetched when it is needed, within the deadline of the fetch of the list. A
    /// failure is one of kind [`Credential`](crate::ListErrorKind::Credential). A token
    /// that the provider answers with status 401 is fetched anew, once a page.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_models_cache::{BoxError, Provider, AccessToken};
    ///
    /// async fn access_token() -> Result<AccessToken, BoxError> {
    ///     // Ask your identity provider here.
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
    pub(crate) fn authorized_by(self, authorize: Arc<dyn Authorize>) -> Self {
        self.over_http("sigv4", |backend| {
            backend.set_authorize(authorize);
            backend.demand_base_url("https://bedrock.us-east-1.amazonaws.com");
        })
    }

    /// Sets which fields of the provider's records are listed beside those that the
    /// crate knows. HTTP providers only, and only for the crate's own dialects; the default
    /// is a short list of names.
    pub fn extra_fields(self, extra: ExtraFields) -> Self {
        self.over_http("extra_fields", |backend| backend.set_extra(extra))
    }

    /// Lists the models under `provider/id` (`true`, the default), under their own ids
    /// (`false`), or under their own ids as long as no other provider has them
    /// ([`Prefix::OnConflict`]).
    ///
    /// Where two models would be listed under one id, the provider declared first
    /// has it; the status of the other counts what is
    /// [shadowed](crate::ProviderStatus::shadowed), or
    /// [prefixed](crate::ProviderStatus::prefixed) for it.
    pub fn prefix(mut self, prefix: impl Into<Prefix>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Sets the name that a person is shown: in the status, and as `owned_by` of
    /// the models whose owner is not known. The default is the provider's name.
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.options.display_name = Some(name.into().into());
        self
    }

    /// Sets how long a list is good, for this provider alone.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.options.refresh_interval = Some(interval);
        self
    }

    /// Sets how long a fetch may take in all, for this provider alone.
    ///
    /// It also takes the place of the shorter time that an answer's headers are
    /// waited for otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets what a catalogue of models (feature `catalog`) calls the provider, such as
    /// `amazon-bedrock`. The default is what its [preset](Preset::catalog_id) says, or else
    /// the provider's name.
    pub fn catalog_id(mut self, id: impl Into<String>) -> Self {
        self.options.catalog = CatalogName::Named(id.into().into());
        self
    }

    /// Says that no catalogue knows the provider, whatever its name: its models are not
    /// looked for there.
    pub fn no_catalog(mut self) -> Self {
        self.options.catalog = CatalogName::Unknown;
        self
    }

    /// Lists only the models for which `keep` returns true. It is called once per model and
    /// fetch, never per request.
    ///
    /// It sees the models as they are listed: the provider's response is judged as a whole
    /// before, so a filter never changes a fact of a model that it keeps. How many it left out
    /// is in the [status](crate::ProviderStatus::filtered).
    pub fn filter(mut self, keep: impl Fn(&Model) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Filter {
            keep: Arc::new(keep),
            rule: None,
        });
        self
    }

    /// A filter that is the same as any other of the same rule.
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

    /// Lists these models when the provider says that it has no list: when it
    /// answers with status 404, 405 or 501. Every other failure stays one.
    pub fn fallback(mut self, models: impl IntoIterator<Item = Model>) -> Self {
        self.fallback = Some(models.into_iter().collect());
        self
    }

    /// Takes HTTP services of the same `kind` for the same service, whoever built
    /// them: a provider read again from its file keeps its list.
    #[cfg(feature = "client")]
    pub(crate) fn of_kind(mut self, kind: &'static str) -> Self {
        if let Backend::Http(backend) = &mut self.backend {
            backend.set_kind(kind);
        }
        self
    }

    /// Whether building fails when a key would go over plain http to another machine.
    #[cfg(feature = "client")]
    pub(crate) fn guarding_keys(self, guards: bool) -> Self {
        self.over_http("allow_plain_http_key", |backend| {
            backend.set_guards_keys(guards)
        })
    }

    /// Whether the list of one is as good as the list of the other: same name,
    /// same source, same filter. How it is listed and asked does not matter.
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

    /// Whether both are the same provider at the same address: only its credential or
    /// options may differ, so that what one has listed is worth keeping for the other.
    pub(crate) fn has_same_address(&self, other: &Self) -> bool {
        let same_address = match (&self.backend, &other.backend) {
            (Backend::Http(a), Backend::Http(b)) => a.has_same_address(b),
            (Backend::Source(a), Backend::Source(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_address && self.name == other.name
    }

    /// Whether both list the same of what the provider offers.
    pub(crate) fn has_same_filter(&self, other: &Self) -> bool {
        match (&self.filter, &other.filter) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                Arc::ptr_eq(&a.keep, &b.keep) || (a.rule.is_some() && a.rule == b.rule)
            }
            _ => false,
        }
    }

    /// Whether the provider is never fetched from.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.backend, Backend::Fixed(_))
    }

    /// The declared list of a provider that is never asked.
    pub(crate) fn declared(&self) -> Option<ModelList> {
        match &self.backend {
            Backend::Fixed(models) => Some(ModelList::from(models.to_vec()).into_declared()),
            _ => None,
        }
    }

    /// The declared list that stands in where the provider has none.
    pub(crate) fn fallback_list(&self) -> Option<ModelList> {
        let models = self.fallback.as_ref()?;
        Some(ModelList::from(models.to_vec()).into_declared())
    }

    /// Whether the provider's model is listed.
    pub(crate) fn keeps(&self, model: &Model) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| (filter.keep)(model))
    }

    /// What the catalogue calls this provider.
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

    /// Checks all that was set, and gives what can be asked for the list.
    pub(crate) fn open(&self) -> Result<Arc<dyn DynSource>, BuildError> {
        check_name(&self.name)?;
        self.build_as(format_args!("providers.{}", self.name))
    }

    /// The same of what is called so in errors.
    pub(crate) fn build_as(
        &self,
        place: impl fmt::Display + Copy,
    ) -> Result<Arc<dyn DynSource>, BuildError> {
        let within = |error: BuildError| error.within(place);
        self.check_effect().map_err(within)?;
        check_duration("refresh_interval", self.options.refresh_interval).map_err(within)?;
        check_duration("timeout", self.options.timeout).map_err(within)?;
        Ok(match &self.backend {
            Backend::Http(backend) => backend.open(&self.name).map_err(within)?,
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
    let good = !name.is_empty() && name.len() <= 128 && name.trim() == name;
    if good && !name.contains('/') && !name.contains(is_unsafe_char) {
        return Ok(());
    }
    let expected = "1 to 128 bytes without slash, control character or space at an end";
    Err(BuildError::new("providers.name", name, expected))
}

/// Checks that a duration, where there is one, is more than nothing and at most a year.
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
