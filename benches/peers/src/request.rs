//! The requests, with the headers that a client library sends.

use bytes::Bytes;
use http::{HeaderName, Request, header};

pub const LIST: &str = "/v1/models";
pub const MODEL: &str = "/v1/models/provider-3/vendor-3/a-model-with-a-long-name-000003-instruct";
pub const CHAT: &str = "/v1/chat/completions";

/// A request with any body type that can be made from bytes.
pub fn request<B: From<Bytes>>(method: &str, uri: &str) -> Request<B> {
    let body = match method {
        "POST" => Bytes::from_static(br#"{"model":"provider-3/a-model","messages":[]}"#),
        _ => Bytes::new(),
    };
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "OpenAI/Python 2.1.0")
        .header(header::AUTHORIZATION, "Bearer sk-0123456789abcdef")
        .body(body.into())
        .unwrap()
}

/// The same request with one more header.
pub fn with<B>(mut request: Request<B>, name: HeaderName, value: &str) -> Request<B> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}
