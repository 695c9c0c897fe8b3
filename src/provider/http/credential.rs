//! Credentials that expire: fetched on demand and cached until they do.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use http::{HeaderMap, Request, header};

use crate::{
    clock::{self, Instant},
    error::{BoxError, BuildError, ListError, ListErrorKind},
    secret::Secret,
};

/// An access token and its lifetime.
#[derive(Clone, Debug)]
pub struct AccessToken {
    secret: Secret,
    expires_in: Option<Duration>,
}

impl AccessToken {
    /// Creates a token without a lifetime: it is used until the provider responds with 401.
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self {
            secret: secret.into(),
            expires_in: None,
        }
    }

    /// Sets the remaining lifetime of the token.
    ///
    /// A new token is fetched before the old one expires: earlier by a tenth of the lifetime,
    /// and by at most one minute.
    pub fn expires_in(mut self, duration: Duration) -> Self {
        self.expires_in = Some(duration);
        self
    }
}

/// Adds a credential to each request to a provider.
pub(crate) trait Authorize: Send + Sync {
    /// Checks the settings besides the credential.
    fn check(&self) -> Result<(), BuildError> {
        Ok(())
    }

    fn authorize<'a>(
        &'a self,
        request: &'a mut Request<()>,
    ) -> BoxFuture<'a, Result<(), ListError>>;

    /// Whether a response with this status means that the credential was rejected.
    fn is_rejection(&self, status: u16) -> bool {
        status == 401
    }

    /// Drops the cached credential. Returns whether there was one.
    fn invalidate(&self) -> bool;
}

type Fetch<T> =
    dyn Fn() -> BoxFuture<'static, Result<(T, Option<Duration>), BoxError>> + Send + Sync;

/// A credential that is fetched on demand and cached until shortly before it expires.
pub(crate) struct CachedCredential<T> {
    fetch: Box<Fetch<T>>,
    cached: Mutex<Option<Cached<T>>>,
}

struct Cached<T> {
    credential: T,
    until: Option<Instant>,
}

impl<T: Clone> CachedCredential<T> {
    pub(crate) fn new<F, Fut, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(T, Option<Duration>), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self {
            fetch: Box::new(move || fetch().err_into().boxed()),
            cached: Mutex::new(None),
        }
    }

    /// Returns the cached credential, or fetches a new one.
    ///
    /// Concurrent calls are not coalesced: there is at most one fetch per provider at a time.
    pub(crate) async fn get(&self) -> Result<T, ListError> {
        let now = clock::now();
        let is_fresh = |cached: &&Cached<T>| cached.until.is_none_or(|until| now < until);
        if let Some(cached) = self.cached().as_ref().filter(is_fresh) {
            return Ok(cached.credential.clone());
        }
        let (credential, expires_in) = (self.fetch)()
            .await
            .map_err(|error| ListError::new(ListErrorKind::Credential).with_cause(error))?;
        // Counted from before the fetch: the lifetime may have started at any point of it.
        let until =
            expires_in.and_then(|lifetime| now.checked_add(lifetime - (lifetime / 10).min(MARGIN)));
        *self.cached() = Some(Cached {
            credential: credential.clone(),
            until,
        });
        Ok(credential)
    }

    /// Drops the cached credential. Returns whether there was one.
    pub(crate) fn invalidate(&self) -> bool {
        self.cached().take().is_some()
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Option<Cached<T>>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A credential is replaced at most this long before it expires.
const MARGIN: Duration = Duration::from_secs(60);

/// Adds a token as `Authorization: Bearer`.
pub(super) struct BearerToken(CachedCredential<Secret>);

impl BearerToken {
    pub(super) fn new<F, Fut, E>(fetch: F) -> Arc<Self>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let parts = |token: AccessToken| (token.secret, token.expires_in);
        Arc::new(Self(CachedCredential::new(move || fetch().map_ok(parts))))
    }
}

impl Authorize for BearerToken {
    fn authorize<'a>(
        &'a self,
        request: &'a mut Request<()>,
    ) -> BoxFuture<'a, Result<(), ListError>> {
        Box::pin(async move {
            let secret = self.0.get().await?;
            let Some(value) = secret.header_value("Bearer ") else {
                // It is never sent, so no provider would ever reject it.
                self.0.invalidate();
                return Err(ListErrorKind::Credential.into());
            };
            let headers: &mut HeaderMap = request.headers_mut();
            headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    fn invalidate(&self) -> bool {
        self.0.invalidate()
    }
}

impl fmt::Debug for dyn Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorize(..)")
    }
}
