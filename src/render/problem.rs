//! `ErrorResponse`: the errors that clients get, in any dialect.

use http::StatusCode;

/// Why a request gets no list or model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorResponse<'a> {
    /// No such model is listed, or the caller may not see it. The responses are identical.
    NotFound(&'a str),
    /// No list is available yet.
    Unavailable,
    /// No list is available, and nothing is fetched any more.
    Stopped,
    /// The client refuses every available content coding.
    NotAcceptable,
    /// The caller may not see the list.
    Denied(StatusCode),
    /// The hook failed, so the caller's view is not known.
    NoView,
    /// The page token is not one that this cache issued.
    PageToken,
    /// The body names no model.
    NoModel,
}

impl ErrorResponse<'_> {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Unavailable | Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Denied(status) => status,
            Self::NoView => StatusCode::INTERNAL_SERVER_ERROR,
            Self::PageToken | Self::NoModel => StatusCode::BAD_REQUEST,
        }
    }

    /// The message for people. Some dialects have their own for a missing model.
    pub(super) fn message(self) -> String {
        match self {
            Self::NotFound(id) => {
                format!("The model `{id}` does not exist or you do not have access to it.")
            }
            Self::Unavailable => {
                "The list of models is not available yet. Please try again.".to_owned()
            }
            Self::Stopped => {
                "The list of models is not available, and is no longer refreshed.".to_owned()
            }
            Self::NotAcceptable => {
                "The list of models is available in the codings identity, gzip, zstd and br."
                    .to_owned()
            }
            Self::Denied(status) => {
                let reason = status.canonical_reason().unwrap_or("Refused");
                format!("{reason}: this caller may not list models.")
            }
            Self::NoView => "Failed to determine which models this caller may see.".to_owned(),
            Self::PageToken => "The page token is invalid.".to_owned(),
            Self::NoModel => "The body must be a JSON object with a `model`.".to_owned(),
        }
    }
}
