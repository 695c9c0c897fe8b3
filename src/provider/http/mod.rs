//! HTTP providers: their settings, and the source that is built from them.
//!
//! [`source`] requests the pages of a list, [`transport`] is the type-erased service,
//! [`address`] computes the URI of the list, [`next`] the URI of the next page, and
//! [`credential`] adds credentials that expire.

mod address;
mod credential;
mod next;
mod query;
mod source;
mod transport;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header, uri::Scheme};
use http_body::Body;
use tower_service::Service;

pub use self::credential::AccessToken;
#[cfg(not(feature = "bedrock"))]
use self::credential::Authorize;
#[cfg(feature = "bedrock")]
pub(crate) use self::credential::{Authorize, CachedCredential};
use self::{
    address::{ListLocation, is_loopback, list_uri},
    credential::BearerToken,
    source::{HttpSource, Inner},
    transport::Transport,
};
use super::{
    dialect::{Dialect, ExtraFields, Rules},
    preset::{BaseUrl, PresetFacts},
    source::DynSource,
};
use crate::{
    error::{BoxError, BuildError, without_query},
    secret::Secret,
};

// ===== HttpBackend =====

/// The settings of an HTTP provider, not yet validated.
#[derive(Clone)]
pub(super) struct HttpBackend {
    transport: Arc<dyn Transport>,
    /// Services of the same kind are treated as the same service.
    service_kind: Option<&'static str>,
    dialect: Dialect,
    rules: Rules,
    /// Whether `extra_fields` was called, which has no effect on a custom dialect.
    sets_extra_fields: bool,
    base_url: Option<String>,
    models_path: Option<String>,
    /// The path of the list, used only with the preset's own base URL.
    own_path: Option<&'static str>,
    /// The header of the key, and the prefix of its value.
    key: (HeaderName, &'static str),
    /// The settings without which building fails.
    required: Required,
    headers: HeaderMap<Header>,
    /// Adds a credential that expires to each request.
    authorize: Option<Arc<dyn Authorize>>,
    /// Whether a key may only be sent over TLS, or to this machine.
    forbid_plain_http_key: bool,
}

/// Settings that have no default.
#[derive(Clone, Copy, Default)]
struct Required {
    /// An example of a base URL, if one is required.
    base_url: Option<&'static str>,
    key: bool,
}

/// A header to send.
#[derive(Clone, PartialEq, Eq)]
struct Header {
    /// `None` if the value is not a valid header value.
    value: Option<HeaderValue>,
    /// Whether the value is a credential.
    is_key: bool,
}

impl HttpBackend {
    pub(super) fn new<S, ReqBody, ResBody>(service: S) -> Self
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        ReqBody: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        Self {
            transport: transport::erase(service),
            service_kind: None,
            dialect: Dialect::default(),
            rules: Rules::default(),
            sets_extra_fields: false,
            base_url: None,
            models_path: None,
            own_path: None,
            key: (header::AUTHORIZATION, "Bearer "),
            required: Required::default(),
            headers: HeaderMap::default(),
            authorize: None,
            forbid_plain_http_key: false,
        }
    }

    pub(super) fn set_preset(&mut self, facts: PresetFacts) {
        match facts.base {
            BaseUrl::Default(url) => self.base_url = Some(url.to_owned()),
            BaseUrl::Example(example) => self.required.base_url = Some(example),
        }
        self.required.key = facts.needs_key;
        self.models_path = facts.path.map(str::to_owned);
        self.own_path = facts.own_path;
        self.key = (facts.key, facts.scheme);
        for (name, value) in facts.headers {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            self.set_header(name, value);
        }
        self.dialect = facts.dialect;
        self.rules.prices = facts.prices;
        self.rules.invents_dates = facts.invents_dates;
    }

    /// Makes building fail without a base URL.
    #[cfg(feature = "bedrock")]
    pub(super) fn require_base_url(&mut self, example: &'static str) {
        self.required.base_url.get_or_insert(example);
    }

    /// Sets the key, in the header that the provider uses for it.
    pub(super) fn set_key(&mut self, secret: &Secret) {
        let (name, scheme) = self.key.clone();
        self.set_secret(name, scheme, secret);
    }

    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(super) fn set_extra(&mut self, extra: ExtraFields) {
        self.rules.extra = extra;
        self.sets_extra_fields = true;
    }

    pub(super) fn set_authorize(&mut self, authorize: Arc<dyn Authorize>) {
        self.authorize = Some(authorize);
    }

    pub(super) fn set_token<F, Fut, E>(&mut self, fetch: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.set_authorize(BearerToken::new(fetch));
    }

    pub(super) fn set_base_url(&mut self, url: String) {
        self.base_url = Some(url);
        self.own_path = None;
    }

    pub(super) fn set_models_path(&mut self, path: String) {
        self.models_path = Some(path);
    }

    pub(super) fn set_header(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(true);
        let is_key = names_a_key(&name);
        let value = Some(value);
        self.headers.insert(name, Header { value, is_key });
    }

    pub(super) fn set_secret(&mut self, name: HeaderName, scheme: &str, secret: &Secret) {
        let value = secret.header_value(scheme);
        let is_key = true;
        self.headers.insert(name, Header { value, is_key });
    }

    #[cfg(feature = "client")]
    pub(super) fn set_forbid_plain_http_key(&mut self, forbid: bool) {
        self.forbid_plain_http_key = forbid;
    }

    #[cfg(feature = "client")]
    pub(super) fn set_service_kind(&mut self, kind: &'static str) {
        self.service_kind = Some(kind);
    }

    /// Whether the transport, the credentials and all settings are the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_credential = match (&self.authorize, &other.authorize) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.has_same_transport(other)
            && same_credential
            && self.dialect == other.dialect
            && self.rules == other.rules
            && self.base_url == other.base_url
            && self.models_path == other.models_path
            && self.own_path == other.own_path
            && self.headers == other.headers
    }

    fn has_same_transport(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.transport, &other.transport)
            || (self.service_kind.is_some() && self.service_kind == other.service_kind)
    }

    /// Whether the list has the same URI, and the URI is absolute or the service is the same.
    pub(super) fn has_same_address(&self, other: &Self) -> bool {
        match (self.uri(), other.uri()) {
            (Ok(a), Ok(b)) => a == b && (self.has_same_transport(other) || a.host().is_some()),
            _ => false,
        }
    }

    /// The address of the list: scheme, host, port and path. `None` if it is invalid.
    pub(super) fn address(&self) -> Option<String> {
        let uri = self.uri().ok()?;
        Some(address::redact(&uri))
    }

    /// Validates the settings and builds the source.
    pub(super) fn build(&self, provider: &Arc<str>) -> Result<Arc<dyn DynSource>, BuildError> {
        self.check_required()?;
        self.check_effect()?;
        if let Some(authorize) = &self.authorize {
            authorize.check()?;
        }
        let uri = self.uri()?;
        check_transport_security(&uri, self.forbid_plain_http_key && self.has_key())?;
        Ok(Arc::new(HttpSource(Arc::new(Inner {
            provider: Arc::clone(provider),
            address: address::redact(&uri),
            transport: Arc::clone(&self.transport),
            dialect: self.dialect.clone(),
            rules: self.rules,
            uri,
            headers: self.header_map()?,
            authorize: self.authorize.clone(),
        }))))
    }

    fn uri(&self) -> Result<Uri, BuildError> {
        let head = self.dialect.head();
        if !head.path.starts_with('/') {
            let expected = "a path that starts with a slash";
            return Err(BuildError::new(
                "dialect.path",
                without_query(&head.path),
                expected,
            ));
        }
        let location = ListLocation {
            path: head.path,
            relative_path: head.relative_path,
            stripped: head.stripped,
            any_version: head.any_version,
            query: head.query,
        };
        let path = self.models_path.as_deref().or(self.own_path);
        list_uri(self.base_url.as_deref(), path, &location)
    }

    /// All headers of a request. The error names a header with an invalid value.
    fn header_map(&self) -> Result<HeaderMap, BuildError> {
        let value = |(name, header): (&HeaderName, &Header)| match &header.value {
            Some(value) => Ok((name.clone(), value.clone())),
            None => {
                let expected = "one or more visible ASCII characters";
                let field = format!("headers.{name}");
                Err(BuildError::hidden(field, "not a header value", expected))
            }
        };
        let mut headers = self.dialect.head().headers;
        for (name, value) in &mut headers {
            value.set_sensitive(names_a_key(name));
        }
        for (name, value) in [
            (header::ACCEPT, "application/json"),
            (header::USER_AGENT, USER_AGENT),
        ] {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
        for header in self.headers.iter().map(value) {
            let (name, value) = header?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn has_key(&self) -> bool {
        let own = self.dialect.head().headers;
        self.authorize.is_some()
            || self.headers.values().any(|header| header.is_key)
            || own.keys().any(names_a_key)
    }

    /// Checks that the settings without a default are set.
    fn check_required(&self) -> Result<(), BuildError> {
        if let (Some(example), None) = (self.required.base_url, &self.base_url) {
            let expected = format!("your own base URL, such as {example}");
            return Err(BuildError::hidden("base_url", "missing", expected));
        }
        if self.required.key && !self.has_key() {
            let expected = "a key, a token, or a header with a credential";
            return Err(BuildError::hidden("api_key", "missing", expected));
        }
        Ok(())
    }

    /// Checks that every setting has an effect.
    fn check_effect(&self) -> Result<(), BuildError> {
        if self.sets_extra_fields && matches!(self.dialect, Dialect::Custom(_)) {
            let value = "set for a custom dialect";
            let expected = "a built-in dialect";
            return Err(BuildError::hidden("extra_fields", value, expected));
        }
        Ok(())
    }
}

/// Checks the base URL of an API that a key may be sent to, but no list is fetched from.
#[cfg(feature = "config")]
pub(crate) fn check_base_url(url: &str, has_key: bool) -> Result<(), BuildError> {
    let base = address::checked_base(url)?;
    check_transport_security(&base, has_key)
}

/// Checks that no key is sent over plain HTTP to another machine.
fn check_transport_security(uri: &Uri, has_key: bool) -> Result<(), BuildError> {
    let is_insecure = uri.scheme() == Some(&Scheme::HTTP) && !uri.host().is_some_and(is_loopback);
    if is_insecure && has_key {
        let value = "plain http to another machine, while a key is set";
        let expected = "https, a loopback host, or allow_plain_http_key";
        return Err(BuildError::hidden("base_url", value, expected));
    }
    Ok(())
}

/// Whether the name of a header suggests that its value is a credential.
pub(crate) fn names_a_key(name: &HeaderName) -> bool {
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|part| name.as_str().contains(part))
}

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_headers_are_recognised_by_name() {
        let name = |name| HeaderName::from_static(name);
        for key in ["authorization", "x-api-key", "cookie", "x-goog-api-key"] {
            assert!(names_a_key(&name(key)), "{key}");
        }
        for other in ["x-team", "anthropic-version", "host", "accept"] {
            assert!(!names_a_key(&name(other)), "{other}");
        }
    }
}
