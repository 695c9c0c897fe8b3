//! Identifies the caller and the models it may see, as a gateway's own authentication layer
//! would.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use tower_models_cache::{View, error::BoxError};

/// The headers in which clients send their keys: OpenAI's, Anthropic's and Google's.
pub(crate) const KEYS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The known keys, and the view of each.
pub(crate) struct Access {
    keys: HashMap<String, View>,
    /// The view of callers without a known key. `None`: they may not use the gateway.
    others: Option<View>,
}

/// The caller of a request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) view: View,
    /// Whether the caller may use the gateway at all.
    pub(crate) is_known: bool,
}

impl Access {
    /// Callers without one of these keys see all models.
    pub(crate) fn open(keys: impl IntoIterator<Item = (String, View)>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            others: Some(View::all()),
        }
    }

    /// Callers without one of these keys are rejected.
    pub(crate) fn closed(keys: impl IntoIterator<Item = (String, View)>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            others: None,
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Caller {
        let sent = KEYS
            .into_iter()
            .filter_map(|name| headers.get(name)?.to_str().ok());
        let mut keys = sent.map(|value| value.strip_prefix("Bearer ").unwrap_or(value));
        let view = keys
            .find_map(|key| self.keys.get(key))
            .or(self.others.as_ref());
        Caller {
            is_known: view.is_some(),
            view: (view.cloned()).unwrap_or_else(|| View::denied(StatusCode::UNAUTHORIZED)),
        }
    }
}

/// Middleware that identifies the caller for all inner services.
pub(crate) async fn authenticate(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = access.caller(request.headers());
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// The hook of the cache: returns the caller's view.
pub(crate) fn view(request: &Parts) -> Result<View, BoxError> {
    let caller = request.extensions.get::<Caller>();
    let caller = caller.ok_or("the list is served outside the authentication layer")?;
    Ok(caller.view.clone())
}
