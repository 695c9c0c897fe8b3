//! Validators of a provider's list (RFC 9110, section 8.8), and what they are bound to.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use twox_hash::XxHash3_128;

use crate::conditional::is_entity_tag;

/// What tells a list that a provider has sent from every other one.
///
/// It is worth something only at the address and under the credential that gave it:
/// for another key the same tag may stand for another list.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Validator {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
    bound_to: u128,
}

impl Validator {
    /// The validator in the headers of a response that was received `now`, if there is one.
    ///
    /// A value that is no validator, or that is there twice, is not sent back: a server would
    /// answer `If-None-Match: *` with 304 whatever its list is by then.
    pub(super) fn of(response: &HeaderMap, bound_to: u128, now: SystemTime) -> Option<Self> {
        let etag = only(response, header::ETAG).filter(|tag| is_entity_tag(tag.as_bytes()));
        let modified = only(response, header::LAST_MODIFIED).filter(|date| is_past(date, now));
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

    /// Whether the provider may be asked with it.
    pub(super) fn holds_for(&self, bound_to: u128) -> bool {
        self.bound_to == bound_to
    }

    /// Asks for the list only if it is another one.
    pub(super) fn set(&self, headers: &mut HeaderMap) {
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

/// How much older than the response `Last-Modified` has to be, so that no second change lies
/// in the same second (RFC 9110, section 8.8.2.2).
const SETTLED: Duration = Duration::from_secs(60);

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a value is an `HTTP-date` before `now`. With a date in the future, or of this
/// very moment, a server may say that nothing has changed where something has.
fn is_past(value: &HeaderValue, now: SystemTime) -> bool {
    let text = value.to_str().unwrap_or_default();
    let date = httpdate::parse_http_date(text).ok();
    let settled = date.and_then(|date| date.checked_add(SETTLED));
    settled.is_some_and(|settled| settled <= now)
}

/// The address and all headers of a request, credentials among them, as a number that
/// never leaves the process.
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

/// Nothing of it shows: it was made by the provider, for whoever holds its key.
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

    /// Whether these lines are sent back, as a tag and as a date.
    fn kept(header_values: &[(HeaderName, &[u8])]) -> (bool, bool) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // 08:49:37
        let validator = Validator::of(&headers(header_values), 0, now);
        validator.map_or((false, false), |validator| {
            (validator.etag.is_some(), validator.last_modified.is_some())
        })
    }

    /// A regression: `ETag: *` was sent back, and answered with 304 for ever.
    #[test]
    fn only_an_entity_tag_is_sent_back() {
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
    fn only_a_date_in_the_past_is_sent_back() {
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
