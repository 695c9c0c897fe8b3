//! Reading and replacing query parameters.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, section 2.3) are percent-encoded.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The decoded names of the query parameters.
pub(super) fn names(path_and_query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let query = path_and_query
        .split_once('?')
        .map_or("", |(_, query)| query);
    query.split('&').map(name)
}

fn name(parameter: &str) -> Cow<'_, str> {
    let name = parameter
        .split_once('=')
        .map_or(parameter, |(name, _)| name);
    percent_decode_str(name).decode_utf8_lossy()
}

/// Sets query parameters, replacing those of the same names.
pub(super) fn with_query(path_and_query: &str, set: &[(Cow<'_, str>, String)]) -> String {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let is_kept = |parameter: &&str| {
        !parameter.is_empty() && !set.iter().any(|(other, _)| *other == name(parameter))
    };
    let parameters = query.split('&').filter(is_kept);
    let mut parameters: Vec<_> = parameters.map(Cow::Borrowed).collect();
    let encoded = |text| utf8_percent_encode(text, QUERY);
    for (name, value) in set {
        parameters.push(format!("{}={}", encoded(name), encoded(value)).into());
    }
    if parameters.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", parameters.join("&"))
}
