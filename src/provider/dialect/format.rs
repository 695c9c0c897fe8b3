//! What is known of a dialect: its name, what is asked for, and how a page is read.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{document::JsonDocument, page::ModelPage, rules::Rules};
use crate::error::ListError;

/// A dialect that the crate knows.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) head: RequestHead,
    pub(super) read: fn(JsonDocument<'_>, &Rules) -> Result<ModelPage, ListError>,
}

/// What is asked for of it.
pub(super) struct RequestHead {
    /// Where the list lies on a host of its own.
    pub(super) path: &'static str,
    /// Where it lies below the path of a base URL, whose end may be the beginning of
    /// `path`.
    pub(super) below: &'static str,
    /// Ends of a base URL that belong to another API of the same provider.
    pub(super) stripped: &'static [&'static str],
    /// Whether another version in a base URL stands in for that of `path`.
    pub(super) any_version: bool,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// What is asked for of any dialect.
pub(in crate::provider) struct Request<'a> {
    pub(in crate::provider) path: Cow<'a, str>,
    pub(in crate::provider) below: Cow<'a, str>,
    pub(in crate::provider) stripped: &'static [&'static str],
    pub(in crate::provider) any_version: bool,
    pub(in crate::provider) query: Vec<(Cow<'a, str>, String)>,
    pub(in crate::provider) headers: HeaderMap,
}

impl RequestHead {
    /// Nothing but what is set beside it.
    pub(super) const NONE: Self = Self {
        path: "",
        below: "",
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
            below: self.below.into(),
            stripped: self.stripped,
            any_version: self.any_version,
            query: self.query.iter().map(parameter).collect(),
            headers: self.headers.iter().map(header).collect(),
        }
    }
}
