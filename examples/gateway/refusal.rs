//! The errors of chats that are not forwarded, in the format of OpenAI's clients.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

#[derive(Debug)]
pub(crate) enum Refusal {
    /// The caller's key is missing or unknown.
    UnknownCaller,
    /// The body could not be read.
    Body(StatusCode, String),
    /// The body names no model.
    NoModel,
    /// No such model is listed.
    UnknownModel(String),
    /// No such model is listed yet: a provider's first attempt has not ended.
    NotYet,
    /// The provider is unreachable, or rejects the gateway.
    Upstream(&'static str),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        const BAD: &str = "invalid_request_error";
        const API: &str = "api_error";
        let (status, kind, code, message) = match self {
            Self::UnknownCaller => {
                let why = "the key is missing or unknown".to_owned();
                (StatusCode::UNAUTHORIZED, BAD, Some("invalid_api_key"), why)
            }
            Self::Body(status, why) => (status, BAD, None, why),
            Self::NoModel => {
                let why = "the body must be a JSON object with one string `model`".to_owned();
                (StatusCode::BAD_REQUEST, BAD, None, why)
            }
            Self::UnknownModel(id) => {
                let why = format!("The model `{id}` does not exist.");
                (StatusCode::NOT_FOUND, BAD, Some("model_not_found"), why)
            }
            Self::NotYet => {
                let why = "the list of models is not complete yet".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, API, None, why)
            }
            Self::Upstream(why) => (
                StatusCode::BAD_GATEWAY,
                API,
                Some("bad_gateway"),
                why.into(),
            ),
        };
        let error = json!({ "message": message, "type": kind, "param": null, "code": code });
        let response = (status, Json(json!({ "error": error })));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                ([(header::RETRY_AFTER, "1")], response).into_response()
            }
            StatusCode::UNAUTHORIZED => {
                ([(header::WWW_AUTHENTICATE, "Bearer")], response).into_response()
            }
            _ => response.into_response(),
        }
    }
}
