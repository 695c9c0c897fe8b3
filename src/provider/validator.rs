//! Validators of a provider's list (RFC 9110, section 8.8), for conditional requests.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use twox_hash::XxHash3_128;

use crate::conditional::is_entity_tag;

/// The `ETag` and `Last-Modified` of a list.
///
/// A validator applies only to the URI and the headers of the request that it was received
/// for: with another key the same tag may identify another list.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
    bound_to: u128,
}

impl Validator {
    /// Reads the validator from the headers of a response received at `now`.
    ///
    /// A value that is invalid or sent twice is ignored: a server would respond to
    /// `If-None-Match: *` with 304 even if its list has changed.
    pub(super) fn from_headers(
        response: &HeaderMap,
        bound_to: u128,
        now: SystemTime,
    ) -> Option<Self> {
        let etag = single(response, header::ETAG).filter(|tag| is_entity_tag(tag.as_bytes()));
        let modified = single(response, header::LAST_MODIFIED).filter(|date| is_past(date, now));
        let (etag, last_modified) = (etag.cloned(), modified.cloned());
        if etag.is_none() && last_modified.is_none() {
            return None;
        }
        Some(Self {
            etag,
            last_modified,
            bound_to,
        })
    }

    /// Whether the validator applies to a request with this [`binding`].
    pub(super) fn applies_to(&self, bound_to: u128) -> bool {
        self.bound_to == bound_to
    }

    /// Makes a request conditional.
    pub(super) fn set_conditions(&self, headers: &mut HeaderMap) {
        let pairs = [
            (header::IF_NONE_MATCH, &self.etag),
            (header::IF_MODIFIED_SINCE, &self.last_modified),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// How much older than the response `Last-Modified` must be to be a strong validator: a list
/// can change twice within one second (RFC 9110, section 8.8.2.2).
const MIN_AGE: Duration = Duration::from_secs(60);

/// The value of a header that is present exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a value is an `HTTP-date` at least [`MIN_AGE`] before `now`. With a later date, a
/// server may report that nothing has changed although something has.
fn is_past(value: &HeaderValue, now: SystemTime) -> bool {
    let text = value.to_str().unwrap_or_default();
    let date = httpdate::parse_http_date(text).ok();
    let usable_from = date.and_then(|date| date.checked_add(MIN_AGE));
    usable_from.is_some_and(|usable_from| usable_from <= now)
}

/// A hash of the URI and all headers of a request, credentials included. It never leaves the
/// process.
pub(super) fn binding(uri: &Uri, headers: &HeaderMap) -> u128 {
    let mut hash = XxHash3_128::new();
    let mut put = |bytes: &[u8]| {
        hash.write(&bytes.len().to_le_bytes());
        hash.write(bytes);
    };
    put(uri.to_string().as_bytes());
    let mut header_values: Vec<_> = headers.iter().collect();
    header_values.sort_by_key(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in header_values {
        put(name.as_str().as_bytes());
        put(value.as_bytes());
    }
    hash.finish_128()
}

/// Shows no values: they come from the provider, for a holder of its key.
impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(header_values: &[(HeaderName, &[u8])]) -> HeaderMap {
        let value = |value: &[u8]| HeaderValue::from_bytes(value).expect("is a value");
        let mut headers = HeaderMap::new();
        for (name, line) in header_values {
            headers.append(name, value(line));
        }
        headers
    }

    /// Whether a tag and a date are read from these headers.
    fn kept(header_values: &[(HeaderName, &[u8])]) -> (bool, bool) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // 08:49:37
        let validator = Validator::from_headers(&headers(header_values), 0, now);
        validator.map_or((false, false), |validator| {
            (validator.etag.is_some(), validator.last_modified.is_some())
        })
    }

    /// Regression: `ETag: *` was sent back, and every response was a 304.
    #[test]
    fn invalid_entity_tags_are_ignored() {
        for (tag, expected) in [
            (&b"\"a\""[..], true),
            (b"W/\"a\"", true),
            (b"\"\"", true),
            (b"\"\xc3\xbc\"", true),
            (b"*", false),
            (b"", false),
            (b"a", false),
            (b"\"a", false),
            (b"a\"", false),
            (b"\"a\"b", false),
            (b"\"a b\"", false),
            (b"\"a\", \"b\"", false),
            (b"w/\"a\"", false),
            (b"W/a", false),
            (b"W/ \"a\"", false),
        ] {
            let header_values = [(header::ETAG, tag)];
            assert_eq!(kept(&header_values), (expected, false), "{tag:?}");
        }
        let two: [(_, &[u8]); 2] = [(header::ETAG, b"\"a\""), (header::ETAG, b"\"b\"")];
        assert_eq!(kept(&two), (false, false));
    }

    #[test]
    fn recent_and_invalid_dates_are_ignored() {
        for (date, expected) in [
            ("Sun, 06 Nov 1994 08:48:37 GMT", true),
            ("Sun Nov  6 08:00:00 1994", true),
            ("Sun, 06 Nov 1994 08:48:38 GMT", false),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("Fri, 31 Dec 9999 23:59:59 GMT", false),
            ("yesterday", false),
            ("1994-11-06T08:00:00Z", false),
            ("0", false),
            ("", false),
        ] {
            let header_values = [(header::LAST_MODIFIED, date.as_bytes())];
            assert_eq!(kept(&header_values), (false, expected), "{date}");
        }
    }
}
