//! `ProviderConfig`: a provider in a configuration file.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body::Body;
use serde::Deserialize;
use tower_service::Service;

use super::{
    duration,
    reference::{bare_name, check_text, is_reference},
};
use crate::{
    entry::{Bounds, has_glob, id_flaw},
    error::{BoxError, BuildError},
    globs::Globs,
    model::Model,
    provider::{
        Dialect, ExtraFields, Prefix, Preset, Provider, check_base_url, check_name, names_a_key,
    },
    secret::Secret,
};

/// A provider in a configuration file.
///
/// With a `preset` or a `base_url`, its list is fetched. Without both, or with
/// `list = "declared"`, its `models` are the list and nothing is fetched. The address and the
/// key are then only for the gateway, which routes requests by them.
///
/// An unknown field is an error. Keys are not part of the file: `api_key_env` names the
/// environment variable that holds one. No other value is expanded, and `${VAR}` in one is an
/// error.
///
/// ```toml
/// [[providers]]
/// name = "claude"
/// preset = "anthropic"
/// api_key_env = "ANTHROPIC_API_KEY"
///
/// [[providers]]
/// name = "lab"
/// base_url = "https://lab.example.com/v1"
/// api_key_env = "LAB_KEY"
/// include = ["gpt-*", "o*"]
/// exclude = ["*-preview"]
///
/// [[providers]]
/// name = "perplexity"
/// preset = "perplexity"
/// api_key_env = "PERPLEXITY_API_KEY"
/// list = "declared"
/// models = ["sonar", "sonar-pro"]
/// ```
///
/// `Debug` omits everything that may hold a credential: addresses, headers and the name of the
/// variable.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The unique name: 1 to 128 bytes, without slashes, control characters, and spaces at
    /// either end.
    pub name: String,
    /// The name of a [`Preset`], such as `"anthropic"`, which supplies the address, dialect and
    /// key header unless they are set here.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// The base URL of the provider's API. The list is at `{base_url}/models`, or at the path of
    /// its dialect. An absolute http or https URL without userinfo and query.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The path of the list, from the root of the host, if it differs. Begins with a slash.
    #[serde(default)]
    pub models_path: Option<String>,
    /// The wire format of the list, by the name of a [`Dialect`]. The default is the preset's,
    /// or `"openai"` without one.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// Which further fields of the provider's records are listed, beside those that the crate
    /// normalises: `"all"`, `"known"` or `"none"`. The default is `"known"`.
    #[serde(default)]
    pub extra: Option<ExtraFields>,
    /// The name of the environment variable that holds the key, never the key itself. The key is
    /// sent as `authorization: Bearer`, or in the header of the preset.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Additional headers of each request. Their values are never logged or displayed. A header
    /// whose name suggests it, such as `x-api-key`, counts as a key.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether models are listed as `name/id` instead of `id`: `true`, `false` or
    /// `"on-conflict"`. The default is `true`.
    #[serde(default)]
    pub prefix: Prefix,
    /// The display name. The default is `name`.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Globs over the provider's own ids, without the prefix: `gpt-*`, not `openai/gpt-*`. If
    /// there are any, a model is listed only if one of them matches. The
    /// [status](crate::status::ProviderStatus::filtered) counts the models that were filtered out.
    ///
    /// `*` matches any text, slashes included: `*llama*` matches `meta/llama-3`. `?` matches one
    /// byte, `[ab]` either character, `{a,b}` either text, and a backslash escapes the next
    /// character. Matching is case-sensitive.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs, as in [`include`](Self::include). A model is not listed if one of them matches,
    /// whether it is included or not.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The provider's name in the [catalogue](crate::Provider::catalog_id), or `"off"` to look
    /// up none of its models. The default is the preset's, or `name` without one.
    #[serde(default)]
    pub catalog: Option<String>,
    /// The interval between successful fetches of this provider's list. The default is that of
    /// the cache.
    #[serde(default, deserialize_with = "duration::optional")]
    pub refresh_interval: Option<Duration>,
    /// The timeout of a fetch from this provider. The default is that of the cache.
    #[serde(default, deserialize_with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// The ids of declared models, each of 1 to 512 bytes. Without a `base_url` and a `preset`,
    /// or with [`list = "declared"`](Self::list), they are the list. Otherwise they are the
    /// fallback if the provider has no list (status 404, 405 or 501).
    #[serde(default)]
    pub models: Vec<String>,
    /// Where the list comes from: `"fetched"` or `"declared"`. The default is `"fetched"` with a
    /// `preset` or a `base_url`, and `"declared"` without.
    #[serde(default)]
    pub list: Option<ListOrigin>,
    /// Allows a key to be sent over plain http to another machine. The default is `false`.
    /// [`build_with`](Self::build_with) ignores it, because the service decides there.
    #[serde(default)]
    pub allow_plain_http_key: bool,
}

/// Where a provider's list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ListOrigin {
    /// `"fetched"`: from the provider. Declared models are the fallback.
    Fetched,
    /// `"declared"`: from the file. Nothing is fetched.
    Declared,
}

impl ListOrigin {
    /// The origin as a stable word, as in a file: `fetched` or `declared`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Declared => "declared",
        }
    }
}

impl fmt::Display for ListOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ProviderConfig {
    /// Builds the provider. It is declared, or fetched by the crate's own client, which needs
    /// the feature `client`. See [`list`](Self::list).
    ///
    /// Reads the environment variable that `api_key_env` names.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid. It names the field, the value unless it may be
    /// secret, and what to write instead.
    pub fn provider(&self) -> Result<Provider, BuildError> {
        self.check()?;
        let provider = if self.is_declared() {
            self.declared()
        } else if !self.has_address() {
            Err(no_address())
        } else {
            let provider = fetched(&self.name, self.allow_plain_http_key);
            provider.and_then(|provider| self.with_address(provider))
        };
        self.within(provider.and_then(|provider| self.with_options(provider)))
    }

    /// Whether the list is declared here, so that nothing is fetched.
    fn is_declared(&self) -> bool {
        match self.list {
            Some(origin) => origin == ListOrigin::Declared,
            None => !self.has_address(),
        }
    }

    fn has_address(&self) -> bool {
        self.preset.is_some() || self.base_url.is_some()
    }

    /// Checks the name, and all strings for references to variables.
    fn check(&self) -> Result<(), BuildError> {
        check_name(&self.name)?;
        self.within(self.check_texts())
    }

    fn check_texts(&self) -> Result<(), BuildError> {
        check_text("name", &self.name)?;
        check_text("base_url", &self.base_url)?;
        check_text("models_path", &self.models_path)?;
        check_text("display_name", &self.display_name)?;
        check_text("catalog", &self.catalog)?;
        check_text("include", &self.include)?;
        check_text("exclude", &self.exclude)?;
        check_text("models", &self.models)
    }

    /// The base URL of the provider's API: `base_url`, or that of the preset.
    pub fn effective_base_url(&self) -> Option<&str> {
        let preset = || self.preset.and_then(Preset::base_url);
        self.base_url.as_deref().or_else(preset)
    }

    /// Builds the provider over your own HTTP service, as [`Provider::http`] does. If its
    /// [list is declared](Self::list), the service is not used.
    ///
    /// # Errors
    ///
    /// As for [`provider`](Self::provider).
    pub fn build_with<S, ReqBody, ResBody>(&self, service: S) -> Result<Provider, BuildError>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        self.check()?;
        let provider = if self.list == Some(ListOrigin::Declared) {
            self.declared()
        } else {
            self.with_address(Provider::http(&*self.name, service))
        };
        self.within(provider.and_then(|provider| self.with_options(provider)))
    }

    /// Returns the headers of each request to the provider: [`headers`](Self::headers) and the
    /// key. Their values are marked as sensitive, so `Debug` does not show them.
    ///
    /// A gateway can send its own requests to the provider with them. Reads the environment
    /// variable that `api_key_env` names.
    ///
    /// # Errors
    ///
    /// Returns an error if a header or the variable of the key is invalid. It names the field.
    pub fn header_map(&self) -> Result<HeaderMap, BuildError> {
        self.within(self.read_headers())
    }

    fn within<T>(&self, result: Result<T, BuildError>) -> Result<T, BuildError> {
        result.map_err(|error| error.within(format_args!("providers.{}", self.name)))
    }

    fn read_headers(&self) -> Result<HeaderMap, BuildError> {
        if let Some(variable) = self
            .api_key_env
            .as_deref()
            .filter(|text| is_reference(text))
        {
            let value = "a reference to a variable";
            let expected = format!("only its name, such as {}", bare_name(variable));
            return Err(BuildError::hidden("api_key_env", value, expected));
        }
        for (name, value) in &self.headers {
            if is_reference(value.expose()) {
                let value = "a reference to a variable, which is not expanded";
                let expected = "the value itself, or api_key_env for a key in a variable";
                return Err(BuildError::hidden(
                    format!("headers.{name}"),
                    value,
                    expected,
                ));
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let expected = "names of headers such as x-team";
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| BuildError::new("headers", name, expected))?;
            let value = value.header_value("").ok_or_else(|| {
                let expected = "one or more visible ASCII characters";
                BuildError::hidden(format!("headers.{parsed}"), "not a header value", expected)
            })?;
            if headers.insert(parsed, value).is_some() {
                let expected = "each name once, regardless of case";
                return Err(BuildError::new("headers", name, expected));
            }
        }
        if let Some(variable) = &self.api_key_env {
            let field = "api_key_env";
            let secret = Secret::from_env_set_in(field, variable)?;
            let (name, scheme) = match self.preset {
                Some(preset) => preset.key_header(),
                None => (header::AUTHORIZATION, "Bearer "),
            };
            let value = secret.header_value(scheme);
            let value = value.expect("a secret from the environment is a valid header value");
            if headers.insert(name.clone(), value).is_some() {
                let expected = format!("either api_key_env or headers.{name}");
                return Err(BuildError::hidden(field, "set", expected));
            }
        }
        Ok(headers)
    }

    /// Sets where and how the list is fetched.
    fn with_address(&self, mut provider: Provider) -> Result<Provider, BuildError> {
        if let Some(preset) = self.preset {
            provider = provider.with_preset(preset);
        }
        if let Some(url) = &self.base_url {
            provider = provider.base_url(url);
        }
        if let Some(dialect) = &self.dialect {
            provider = provider.dialect(dialect.clone());
        }
        if let Some(extra) = self.extra {
            provider = provider.extra_fields(extra);
        }
        for (name, value) in self.read_headers()?.into_iter() {
            let name = name.expect("each name has one value");
            provider = provider.header(name, value);
        }
        if let Some(path) = &self.models_path {
            provider = provider.models_path(path);
        }
        let models = self.declared_models()?;
        Ok(if models.is_empty() {
            provider
        } else {
            provider.fallback(models)
        })
    }

    fn with_options(&self, provider: Provider) -> Result<Provider, BuildError> {
        let globs = Globs::new(&self.include, &self.exclude)?;
        let mut provider = provider.prefix(self.prefix);
        if let Some(name) = &self.display_name {
            provider = provider.display_name(name);
        }
        provider = match self.catalog.as_deref() {
            Some("off") => provider.no_catalog(),
            Some("") => {
                let expected = "the provider's name in the catalogue, or \"off\"";
                return Err(BuildError::new("catalog", "", expected));
            }
            Some(id) => provider.catalog_id(id),
            None => provider,
        };
        if let Some(interval) = self.refresh_interval {
            provider = provider.refresh_interval(interval);
        }
        if let Some(timeout) = self.timeout {
            provider = provider.timeout(timeout);
        }
        if !self.include.is_empty() || !self.exclude.is_empty() {
            let rule = format!("include {:?} exclude {:?}", self.include, self.exclude);
            provider = provider.filter_by_rule(rule, move |model| globs.keep(model.id()));
        }
        Ok(provider)
    }

    /// A provider whose list is declared. Settings that only a fetch uses are errors.
    fn declared(&self) -> Result<Provider, BuildError> {
        let addressed = self.has_address();
        if self.models.is_empty() {
            return Err(match self.list {
                Some(_) => {
                    let expected = "the ids of its models, because list is \"declared\"";
                    BuildError::hidden("models", "missing", expected)
                }
                None => no_address(),
            });
        }
        let key = self.api_key_env.is_some();
        for (field, set, of_address) in [
            ("dialect", self.dialect.is_some(), false),
            ("extra", self.extra.is_some(), false),
            ("models_path", self.models_path.is_some(), false),
            ("refresh_interval", self.refresh_interval.is_some(), false),
            ("timeout", self.timeout.is_some(), false),
            ("api_key_env", key, true),
            ("headers", !self.headers.is_empty(), true),
            ("allow_plain_http_key", self.allow_plain_http_key, true),
        ] {
            if set && !addressed {
                let value = "set for a provider without base_url and preset";
                let expected = "base_url or preset as well, or no such field";
                return Err(BuildError::hidden(field, value, expected));
            }
            if set && !of_address {
                let value = "set for a provider whose list is declared";
                let expected = "list = \"fetched\", or no such field";
                return Err(BuildError::hidden(field, value, expected));
            }
        }
        let headers = self.read_headers()?;
        if let Some(url) = &self.base_url {
            let guarded = !self.allow_plain_http_key && headers.keys().any(names_a_key);
            check_base_url(url, guarded)?;
        }
        Ok(Provider::fixed(&*self.name, self.declared_models()?))
    }

    fn declared_models(&self) -> Result<Vec<Model>, BuildError> {
        let longest = Bounds::default().id;
        let model = |id: &String| {
            if has_glob(id) {
                let expected = "ids of models; include and exclude take globs";
                return Err(BuildError::new("models", id, expected));
            }
            if id_flaw(id, longest).is_none() {
                return Ok(Model::new(id));
            }
            let expected = format!("ids of 1 to {longest} bytes without control characters");
            Err(BuildError::new("models", id, expected))
        };
        self.models.iter().map(model).collect()
    }
}

fn no_address() -> BuildError {
    let expected = "an absolute http or https URL, or a preset or models instead";
    BuildError::hidden("base_url", "missing", expected)
}

#[cfg(feature = "client")]
fn fetched(name: &str, plain_key: bool) -> Result<Provider, BuildError> {
    Ok(Provider::over_client(name).allow_plain_http_key(plain_key))
}

#[cfg(not(feature = "client"))]
fn fetched(_: &str, _: bool) -> Result<Provider, BuildError> {
    let value = "set, but nothing can be fetched without an HTTP client";
    let expected = "feature `client`, or a service passed to ProviderConfig::build_with";
    Err(BuildError::hidden("base_url", value, expected))
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("preset", &self.preset)
            .field("dialect", &self.dialect)
            .field("extra", &self.extra)
            .field("prefix", &self.prefix)
            .field("display_name", &self.display_name)
            .field("include", &self.include)
            .field("exclude", &self.exclude)
            .field("catalog", &self.catalog)
            .field("refresh_interval", &self.refresh_interval)
            .field("timeout", &self.timeout)
            .field("models", &self.models)
            .field("list", &self.list)
            .field("allow_plain_http_key", &self.allow_plain_http_key)
            .finish_non_exhaustive()
    }
}
