//! The description of a dialect: its name, the request for a page, and the parser.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{document::JsonDocument, page::ModelPage, rules::Rules};
use crate::error::ListError;

/// A built-in dialect.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) head: RequestHead,
    pub(super) read: fn(JsonDocument<'_>, &Rules) -> Result<ModelPage, ListError>,
}

/// The request of a built-in dialect.
pub(super) struct RequestHead {
    /// The absolute path of the list, for a base URL without a path.
    pub(super) path: &'static str,
    /// The path relative to the path of a base URL, unless that path ends with a prefix of
    /// `path`.
    pub(super) relative_path: &'static str,
    /// Suffixes of a base URL that belong to another API of the same provider.
    pub(super) stripped: &'static [&'static str],
    /// Whether a version in the base URL replaces the version in `path`.
    pub(super) any_version: bool,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// The request of any dialect.
pub(in crate::provider) struct Request<'a> {
    pub(in crate::provider) path: Cow<'a, str>,
    pub(in crate::provider) relative_path: Cow<'a, str>,
    pub(in crate::provider) stripped: &'static [&'static str],
    pub(in crate::provider) any_version: bool,
    pub(in crate::provider) query: Vec<(Cow<'a, str>, String)>,
    pub(in crate::provider) headers: HeaderMap,
}

impl RequestHead {
    /// The default, for the fields that a dialect does not set.
    pub(super) const NONE: Self = Self {
        path: "",
        relative_path: "",
        stripped: &[],
        any_version: false,
        query: &[],
        headers: &[],
    };

    pub(super) fn request(&self) -> Request<'static> {
        let parameter =
            |(name, value): &(&'static str, &str)| (Cow::Borrowed(*name), (*value).to_owned());
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        Request {
            path: self.path.into(),
            relative_path: self.relative_path.into(),
            stripped: self.stripped,
            any_version: self.any_version,
            query: self.query.iter().map(parameter).collect(),
            headers: self.headers.iter().map(header).collect(),
        }
    }
}
