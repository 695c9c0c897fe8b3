//! Validators of a provider's list (RFC 9110, section 8.8), and what they are bound to.

use std::fmt;

use http::{HeaderMap, HeaderValue, Uri, header};
use twox_hash::XxHash3_128;

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
    /// The validator in the headers of an answer, if there is one.
    pub(super) fn of(answer: &HeaderMap, bound_to: u128) -> Option<Self> {
        let etag = answer.get(header::ETAG).cloned();
        let last_modified = answer.get(header::LAST_MODIFIED).cloned();
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

/// The address and all headers of a request, credentials among them, as a number that
/// never leaves the process.
pub(super) fn binding(uri: &Uri, headers: &HeaderMap) -> u128 {
    let mut hash = XxHash3_128::new();
    let mut put = |bytes: &[u8]| {
        hash.write(&bytes.len().to_le_bytes());
        hash.write(bytes);
    };
    put(uri.to_string().as_bytes());
    let mut lines: Vec<_> = headers.iter().collect();
    lines.sort_by_key(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in lines {
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
