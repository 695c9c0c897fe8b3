//! An HTTP service as a source: what was set, checked and put together once.
//!
//! [`source`] asks and follows the pages, [`transport`] is the service, [`address`] where
//! it is asked, [`next`] where the list goes on, [`credential`] what it is asked with.

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
pub(crate) use self::credential::{Authorize, KeptCredential};
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

// ===== HttpBackend: what was set =====

/// An HTTP provider as it was declared, not yet checked.
#[derive(Clone)]
pub(super) struct HttpBackend {
    transport: Arc<dyn Transport>,
    /// Transports of the same kind are the same transport.
    kind: Option<&'static str>,
    dialect: Dialect,
    rules: Rules,
    /// Whether further fields were chosen, which only the crate's own dialects have.
    chooses_extra: bool,
    base_url: Option<String>,
    models_path: Option<String>,
    /// The same, at the preset's own address alone.
    own_path: Option<&'static str>,
    /// Where the provider wants its key, and what stands before it there.
    key: (HeaderName, &'static str),
    /// Why building fails without a base URL, or a key.
    required: Required,
    headers: HeaderMap<Header>,
    /// Puts a credential that changes on each request.
    authorize: Option<Arc<dyn Authorize>>,
    /// Whether a key may only go over TLS, or to this machine.
    guards_keys: bool,
}

/// What a provider cannot be asked without.
#[derive(Clone, Copy, Default)]
struct Required {
    /// An address such as this one.
    base_url: Option<&'static str>,
    key: bool,
}

/// A header that was set.
#[derive(Clone, PartialEq, Eq)]
struct Header {
    /// `None`: what was set cannot stand in a header.
    value: Option<HeaderValue>,
    /// Whether whoever reads it can use it.
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
            kind: None,
            dialect: Dialect::default(),
            rules: Rules::default(),
            chooses_extra: false,
            base_url: None,
            models_path: None,
            own_path: None,
            key: (header::AUTHORIZATION, "Bearer "),
            required: Required::default(),
            headers: HeaderMap::default(),
            authorize: None,
            guards_keys: false,
        }
    }

    pub(super) fn set_preset(&mut self, facts: PresetFacts) {
        match facts.base {
            BaseUrl::At(url) => self.base_url = Some(url.to_owned()),
            BaseUrl::Like(example) => self.required.base_url = Some(example),
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

    /// Fails to build without a base URL such as this one.
    #[cfg(feature = "bedrock")]
    pub(super) fn demand_base_url(&mut self, example: &'static str) {
        self.required.base_url.get_or_insert(example);
    }

    /// Sets the key where the provider wants it.
    pub(super) fn set_key(&mut self, secret: &Secret) {
        let (name, scheme) = self.key.clone();
        self.set_secret(name, scheme, secret);
    }

    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(super) fn set_extra(&mut self, extra: ExtraFields) {
        self.rules.extra = extra;
        self.chooses_extra = true;
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
    pub(super) fn set_guards_keys(&mut self, guards: bool) {
        self.guards_keys = guards;
    }

    #[cfg(feature = "client")]
    pub(super) fn set_kind(&mut self, kind: &'static str) {
        self.kind = Some(kind);
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_transport = Arc::ptr_eq(&self.transport, &other.transport)
            || (self.kind.is_some() && self.kind == other.kind);
        let same_credential = match (&self.authorize, &other.authorize) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same_transport
            && same_credential
            && self.dialect == other.dialect
            && self.rules == other.rules
            && self.base_url == other.base_url
            && self.models_path == other.models_path
            && self.own_path == other.own_path
            && self.headers == other.headers
    }

    /// Whether the list is requested from the same address: by the same service, or from
    /// an absolute URL.
    pub(super) fn has_same_address(&self, other: &Self) -> bool {
        let same_transport = Arc::ptr_eq(&self.transport, &other.transport)
            || (self.kind.is_some() && self.kind == other.kind);
        match (self.uri(), other.uri()) {
            (Ok(a), Ok(b)) => a == b && (same_transport || a.host().is_some()),
            _ => false,
        }
    }

    /// Where the list is requested: scheme, host, port and path. `None`: that is not known
    /// before what is wrong has been corrected.
    pub(super) fn address(&self) -> Option<String> {
        let uri = self.uri().ok()?;
        Some(address::shown(&uri))
    }

    pub(super) fn open(&self, provider: &Arc<str>) -> Result<Arc<dyn DynSource>, BuildError> {
        self.check_needs()?;
        self.check_effect()?;
        if let Some(authorize) = &self.authorize {
            authorize.check()?;
        }
        let uri = self.uri()?;
        check_way(&uri, self.guards_keys && self.has_key())?;
        Ok(Arc::new(HttpSource(Arc::new(Inner {
            provider: Arc::clone(provider),
            address: address::shown(&uri),
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
            let expected = "a path that begins with a slash";
            return Err(BuildError::new(
                "dialect.path",
                without_query(&head.path),
                expected,
            ));
        }
        let place = ListLocation {
            path: head.path,
            below: head.below,
            stripped: head.stripped,
            any_version: head.any_version,
            query: head.query,
        };
        let path = self.models_path.as_deref().or(self.own_path);
        list_uri(self.base_url.as_deref(), path, &place)
    }

    /// The headers, or the name of one whose value cannot be sent.
    fn header_map(&self) -> Result<HeaderMap, BuildError> {
        let value = |(name, header): (&HeaderName, &Header)| match &header.value {
            Some(value) => Ok((name.clone(), value.clone())),
            None => {
                let expected = "visible ASCII characters, and at least one";
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

    /// Checks that what the preset leaves open was set.
    fn check_needs(&self) -> Result<(), BuildError> {
        if let (Some(example), None) = (self.required.base_url, &self.base_url) {
            let expected = format!("an address of your own, such as {example}");
            return Err(BuildError::hidden("base_url", "missing", expected));
        }
        if self.required.key && !self.has_key() {
            let expected = "a key, a token, or a header that holds one";
            return Err(BuildError::hidden("api_key", "missing", expected));
        }
        Ok(())
    }

    /// Checks that nothing was set that something else overrides.
    fn check_effect(&self) -> Result<(), BuildError> {
        if self.chooses_extra && matches!(self.dialect, Dialect::Custom(_)) {
            let value = "set for a dialect of your own";
            let expected = "it with a dialect of this crate only";
            return Err(BuildError::hidden("extra_fields", value, expected));
        }
        Ok(())
    }
}

/// Checks the address of an API from which no list is fetched, and to which a key may go.
#[cfg(feature = "config")]
pub(crate) fn check_base_url(url: &str, has_key: bool) -> Result<(), BuildError> {
    let base = address::checked_base(url)?;
    check_way(&base, has_key)
}

/// Checks that no key goes where others can read it.
fn check_way(uri: &Uri, has_key: bool) -> Result<(), BuildError> {
    let open = uri.scheme() == Some(&Scheme::HTTP) && !uri.host().is_some_and(is_loopback);
    if open && has_key {
        let value = "plain http to another machine, while a key is set";
        let expected = "https, a loopback host, or allow_plain_http_key";
        return Err(BuildError::hidden("base_url", value, expected));
    }
    Ok(())
}

/// Whether a header of this name holds a credential, as far as its name tells.
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
    fn a_credential_is_known_by_the_name_of_its_header() {
        let name = |name| HeaderName::from_static(name);
        for key in ["authorization", "x-api-key", "cookie", "x-goog-api-key"] {
            assert!(names_a_key(&name(key)), "{key}");
        }
        for other in ["x-team", "anthropic-version", "host", "accept"] {
            assert!(!names_a_key(&name(other)), "{other}");
        }
    }
}
