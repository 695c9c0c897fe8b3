//! Who asks, and which models they see: what an authentication layer of your own would
//! find out.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use tower_models_cache::{BoxError, View};

/// The headers in which clients send their keys: OpenAI's, Anthropic's and Google's.
pub(crate) const KEYS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The keys that there are, and what their bearers see.
pub(crate) struct Access {
    keys: HashMap<String, View>,
    /// What those see who have none of these keys; nothing of the gateway, without it.
    others: Option<View>,
}

/// Who has sent a request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) view: View,
    /// Whether they may use the gateway at all.
    pub(crate) is_known: bool,
}

impl Access {
    /// Everyone sees all models, but for the bearers of these keys.
    pub(crate) fn open(keys: impl IntoIterator<Item = (String, View)>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            others: Some(View::all()),
        }
    }

    /// Nobody gets in without one of these keys.
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

/// Finds out who asks, for all that stands inside.
pub(crate) async fn authenticate(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = access.caller(request.headers());
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// What the list shows to whom: the hook of the cache.
pub(crate) fn view(request: &Parts) -> Result<View, BoxError> {
    let caller = request.extensions.get::<Caller>();
    let caller = caller.ok_or("the list lies outside of the authentication")?;
    Ok(caller.view.clone())
}
