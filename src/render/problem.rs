//! `ErrorResponse`: why there is no list, or no model, in whatever dialect.

use http::StatusCode;

/// What is told to a client in the place of what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorResponse<'a> {
    /// No such model is listed, or it is not for this caller: nothing tells which.
    NotFound(&'a str),
    /// There is nothing to list yet.
    Unavailable,
    /// There is nothing to list, and nothing is fetched any more.
    Stopped,
    /// The client refuses every coding there is.
    NotAcceptable,
    /// The caller may see nothing.
    Denied(StatusCode),
    /// Nobody knows what the caller may see.
    NoView,
    /// A page was asked for by a token that is none of ours.
    PageToken,
    /// A body that names no model.
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

    /// What people read. A dialect has its own words for a model that is not found.
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
                "The list of models is available as identity, gzip, zstd and br.".to_owned()
            }
            Self::Denied(status) => {
                let reason = status.canonical_reason().unwrap_or("Refused");
                format!("{reason}: the list of models is not for this caller.")
            }
            Self::NoView => "It is not known what this caller may see.".to_owned(),
            Self::PageToken => "The page token is invalid.".to_owned(),
            Self::NoModel => "The body must be a JSON object that names a `model`.".to_owned(),
        }
    }
}
