//! Chat completions: forwards each to the provider of its model, and the response back.

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
use tower_models_cache::{ModelsCache, handle::FindError};

use crate::{access::Caller, refusal::Refusal, reload::Routes};

/// The request headers that are forwarded to a provider. All others, such as the client's
/// key and cookies, are for the gateway alone.
const FORWARDED: [HeaderName; 4] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::USER_AGENT,
    HeaderName::from_static("idempotency-key"),
];

/// The response headers that are not forwarded to the client.
const KEPT: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::SET_COOKIE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Where the chats of one provider are sent.
#[derive(Clone)]
pub(crate) struct Route {
    chats: Uri,
    /// The provider's key, and its other configured headers.
    headers: HeaderMap,
}

impl Route {
    pub(crate) fn new(base_url: &str, mut headers: HeaderMap) -> Result<Self, http::Error> {
        let base: Uri = base_url.parse()?;
        // If the base URL has no path, `/v1` is the default, as it is for the list.
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
        tcp.enforce_http(false); // also allow https
        tcp.set_nodelay(true);
        // The only timeout: a model may think for minutes before it responds.
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        let https = HttpsConnectorBuilder::new()
            // Explicit, because rustls has no default if two providers are compiled in.
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
    // Body and snapshot are dropped by now: a response may take minutes.
    let response = proxy.client.request(request).await.map_err(|error| {
        tracing::warn!(provider, %error, "failed to forward a chat");
        Refusal::Upstream("the model's provider cannot be reached")
    })?;
    let (mut head, body) = response.into_parts();
    tracing::debug!(provider, status = %head.status, "chat");
    match head.status {
        // The gateway's key was rejected, not the client's. The client cannot fix that, and
        // some providers quote the key.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            tracing::warn!(provider, status = %head.status, "the provider rejects the key");
            Err(Refusal::Upstream(
                "the model's provider rejects the gateway",
            ))
        }
        status if status.is_redirection() => {
            tracing::warn!(provider, %status, "the provider responds with a redirect");
            Err(Refusal::Upstream("the model's provider has moved"))
        }
        // All other responses are the client's, including errors.
        _ => {
            for name in KEPT {
                head.headers.remove(name);
            }
            // Not buffered: streams stay streams.
            Ok(Response::from_parts(head, Body::new(body)).into_response())
        }
    }
}

/// The part of a chat that the gateway reads.
#[derive(Deserialize)]
struct Chat<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

impl Inner {
    /// Finds the provider of a chat, and builds the request to it.
    async fn direct(
        &self,
        caller: &Caller,
        client: &HeaderMap,
        body: &[u8],
    ) -> Result<(String, Request<Body>), Refusal> {
        let chat: Chat<'_> = serde_json::from_slice(body).map_err(|_| Refusal::NoModel)?;
        let id: String = serde_json::from_str(chat.model.get()).map_err(|_| Refusal::NoModel)?;

        // In the list that clients see, and only if the caller may see it.
        let found = self.cache.find_visible(&id, &caller.view).await;
        let found = found.map_err(|error| match error {
            FindError::NotYet => Refusal::NotYet,
            _ => Refusal::UnknownModel(id),
        })?;
        let model = found.get();
        let nowhere = Refusal::Upstream("the model's provider accepts no chats");
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
        // The body was parsed as JSON, whatever the client's content type.
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.extend(self.headers.clone());
        request
    }
}

/// Replaces the model in a body. Everything else stays byte for byte: a `Value` would round
/// numbers.
fn with_model(body: &[u8], model: &RawValue, id: &str) -> Vec<u8> {
    let model = model.get();
    let start = model.as_ptr() as usize - body.as_ptr() as usize; // `model` borrows from `body`
    let id = serde_json::Value::from(id).to_string();
    [&body[..start], id.as_bytes(), &body[start + model.len()..]].concat()
}
