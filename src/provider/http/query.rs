//! Query parameters: their names, and others in the place of some.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands for itself in a query (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The names of the parameters in a query, decoded.
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

/// The same path and query, with these parameters in the place of those of their names.
pub(super) fn with_query(path_and_query: &str, set: &[(Cow<'_, str>, String)]) -> String {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let stays = |parameter: &&str| {
        !parameter.is_empty() && !set.iter().any(|(other, _)| *other == name(parameter))
    };
    let mut parameters: Vec<_> = query.split('&').filter(stays).map(Cow::Borrowed).collect();
    let encoded = |text| utf8_percent_encode(text, QUERY);
    for (name, value) in set {
        parameters.push(format!("{}={}", encoded(name), encoded(value)).into());
    }
    if parameters.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", parameters.join("&"))
}
