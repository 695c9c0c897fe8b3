//! Credentials that change: fetched when they are needed, kept until they expire.

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

/// A token, and how long it is good.
#[derive(Clone, Debug)]
pub struct AccessToken {
    secret: Secret,
    expires_in: Option<Duration>,
}

impl AccessToken {
    /// A token that is good until a provider refuses it.
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self {
            secret: secret.into(),
            expires_in: None,
        }
    }

    /// Sets how long from now the token is good. It is fetched again a little sooner: a
    /// tenth of that time, and a minute at the most.
    pub fn expires_in(mut self, duration: Duration) -> Self {
        self.expires_in = Some(duration);
        self
    }
}

/// Puts a credential on each request to a provider.
pub(crate) trait Authorize: Send + Sync {
    /// Checks what was set beside the credential.
    fn check(&self) -> Result<(), BuildError> {
        Ok(())
    }

    fn authorize<'a>(
        &'a self,
        request: &'a mut Request<()>,
    ) -> BoxFuture<'a, Result<(), ListError>>;

    /// Whether an answer of this status refuses the credential.
    fn is_refused(&self, status: u16) -> bool {
        status == 401
    }

    /// Forgets what the provider has refused. `false`: there is nothing to be had anew.
    fn forget(&self) -> bool;
}

type Fetch<T> =
    dyn Fn() -> BoxFuture<'static, Result<(T, Option<Duration>), BoxError>> + Send + Sync;

/// A credential that is fetched, and kept until shortly before it expires.
pub(crate) struct KeptCredential<T> {
    fetch: Box<Fetch<T>>,
    kept: Mutex<Option<Kept<T>>>,
}

struct Kept<T> {
    credential: T,
    until: Option<Instant>,
}

impl<T: Clone> KeptCredential<T> {
    pub(crate) fn new<F, Fut, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(T, Option<Duration>), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self {
            fetch: Box::new(move || fetch().err_into().boxed()),
            kept: Mutex::new(None),
        }
    }

    /// The credential of this moment. One fetch of a provider is in the air at a time,
    /// so there is no herd to hold back.
    pub(crate) async fn get(&self) -> Result<T, ListError> {
        let now = clock::now();
        let is_good = |kept: &&Kept<T>| kept.until.is_none_or(|until| now < until);
        if let Some(kept) = self.kept().as_ref().filter(is_good) {
            return Ok(kept.credential.clone());
        }
        let (credential, expires_in) = (self.fetch)()
            .await
            .map_err(|error| ListError::new(ListErrorKind::Credential).with_cause(error))?;
        // From before it was fetched: it may be that old already.
        let until = expires_in.and_then(|good| now.checked_add(good - (good / 10).min(MARGIN)));
        *self.kept() = Some(Kept {
            credential: credential.clone(),
            until,
        });
        Ok(credential)
    }

    pub(crate) fn forget(&self) -> bool {
        self.kept().take().is_some()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MARGIN: Duration = Duration::from_secs(60);

/// Sends a token that changes as `authorization: Bearer`.
pub(super) struct BearerToken(KeptCredential<Secret>);

impl BearerToken {
    pub(super) fn new<F, Fut, E>(fetch: F) -> Arc<Self>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AccessToken, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let parts = |token: AccessToken| (token.secret, token.expires_in);
        Arc::new(Self(KeptCredential::new(move || fetch().map_ok(parts))))
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
                // It is never sent, so no provider would ever refuse it.
                self.0.forget();
                return Err(ListErrorKind::Credential.into());
            };
            let headers: &mut HeaderMap = request.headers_mut();
            headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    fn forget(&self) -> bool {
        self.0.forget()
    }
}

impl fmt::Debug for dyn Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorize(..)")
    }
}
