//! Chat completions: to the provider that lists the model, and back untouched.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Extension, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header, uri},
    response::{IntoResponse, Response},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::crypto::ring;
use serde::Deserialize;
use serde_json::value::RawValue;
use tower_models_cache::{FindError, ModelsCache};

use crate::{access::Caller, refusal::Refusal, reload::Routes};

/// What of a client's request goes on to a provider. The client's key and cookies
/// are for the gateway: nothing goes on that is not named here.
const FORWARDED: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::USER_AGENT,
    HeaderName::from_static("idempotency-key"),
];

/// What of a provider's answer is between it and the gateway alone.
const KEPT: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::SET_COOKIE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Where the chats of one provider go.
#[derive(Clone)]
pub(crate) struct Route {
    chats: Uri,
    /// The provider's key, and what else it wants to see.
    headers: HeaderMap,
}

impl Route {
    pub(crate) fn new(base_url: &str, mut headers: HeaderMap) -> Result<Self, http::Error> {
        let base: Uri = base_url.parse()?;
        // The list of models lies below `/v1` when the base URL has no path, and so
        // do the chats.
        let path = match base.path().trim_end_matches('/') {
            "" => "/v1",
            path => path,
        };
        let path = format!("{path}/chat/completions");
        let chats = uri::Builder::from(base).path_and_query(path).build()?;
        for value in headers.values_mut() {
            value.set_sensitive(true);
        }
        Ok(Self { chats, headers })
    }
}

#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inner>);

struct Inner {
    cache: ModelsCache,
    routes: Routes,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Proxy {
    pub(crate) fn new(cache: ModelsCache, routes: Routes) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // https goes through it, too
        tcp.set_nodelay(true);
        // The only deadline there is: models think for minutes.
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let https = HttpsConnectorBuilder::new()
            // Named, for rustls takes no default where two are compiled in.
            .with_provider_and_webpki_roots(ring::default_provider())
            .expect("ring supports the default versions of TLS")
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(https);
        Self(Arc::new(Inner {
            cache,
            routes,
            client,
        }))
    }
}

/// `POST /v1/chat/completions`.
pub(crate) async fn chat(
    State(Proxy(proxy)): State<Proxy>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    if !caller.is_known {
        return Err(Refusal::UnknownCaller);
    }
    let (provider, request) = {
        let body = body.map_err(|error| Refusal::Body(error.status(), error.body_text()))?;
        proxy.direct(&caller, &headers, &body).await?
    };
    // Body and snapshot are let go by now: an answer may take minutes to begin.
    let answer = proxy.client.request(request).await.map_err(|error| {
        tracing::warn!(provider, %error, "no answer to a chat");
        Refusal::Upstream("the model's provider cannot be reached")
    })?;
    let (mut head, body) = answer.into_parts();
    tracing::debug!(provider, status = %head.status, "chat");
    match head.status {
        // About the gateway's key, not about the client's: the client could do nothing
        // with it, and some providers quote the key.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            tracing::warn!(provider, status = %head.status, "the provider refuses the key");
            Err(Refusal::Upstream(
                "the model's provider refuses the gateway",
            ))
        }
        status if status.is_redirection() => {
            tracing::warn!(provider, %status, "the provider redirects");
            Err(Refusal::Upstream("the model's provider has moved"))
        }
        // All else is the client's, errors included: it is its chat.
        _ => {
            for name in KEPT {
                head.headers.remove(name);
            }
            // Passed on as it comes, frame by frame: streams stay streams.
            Ok(Response::from_parts(head, Body::new(body)).into_response())
        }
    }
}

/// What the gateway reads of a chat.
#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

impl Inner {
    /// The provider that a chat goes to, and what goes there.
    async fn direct(
        &self,
        caller: &Caller,
        client: &HeaderMap,
        body: &[u8],
    ) -> Result<(String, Request<Body>), Refusal> {
        let chat: Chat<'_> = serde_json::from_slice(body).map_err(|_| Refusal::NoModel)?;
        let id: String = serde_json::from_str(chat.model.get()).map_err(|_| Refusal::NoModel)?;

        // By the list that the client was sent, and only what it may see.
        let found = self.cache.find_visible(&id, &caller.view).await;
        let found = found.map_err(|error| match error {
            FindError::NotYet => Refusal::NotYet,
            _ => Refusal::UnknownModel(id),
        })?;
        let model = found.get();
        let nowhere = Refusal::Upstream("the model's provider takes no chats");
        let routes = self.routes.load();
        let route = routes.get(model.provider()).ok_or(nowhere)?;
        let body = with_model(body, chat.model, model.upstream_id());
        Ok((model.provider().to_owned(), route.request(client, body)))
    }
}

impl Route {
    fn request(&self, client: &HeaderMap, body: Vec<u8>) -> Request<Body> {
        let mut request = Request::post(self.chats.clone())
            .body(Body::from(body))
            .expect("the parts are valid each");
        let headers = request.headers_mut();
        for name in FORWARDED {
            if let Some(value) = client.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        // Which it is, for it was read as that, whatever the client called it.
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.extend(self.headers.clone());
        request
    }
}

/// The body with another model in it. All else stays as the client wrote it, byte by
/// byte: a `Value` would round its numbers.
fn with_model(body: &[u8], model: &RawValue, id: &str) -> Vec<u8> {
    let model = model.get();
    let start = model.as_ptr() as usize - body.as_ptr() as usize; // it was borrowed from there
    let id = serde_json::Value::from(id).to_string();
    [&body[..start], id.as_bytes(), &body[start + model.len()..]].concat()
}
