//! A rendered list as it goes over the wire: bytes, validators, header sets.
//!
//! Everything here is made at publication. A request only clones.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use twox_hash::XxHash3_128;

use crate::snapshot::{Health, Part};

/// What the operator chose of the answers' headers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) cache_control: HeaderValue,
}

/// The list in one form.
#[derive(Debug)]
pub(crate) struct Document {
    body: Bytes,
    etag: HeaderValue,
    /// Of a 200 with the whole list.
    found: HeaderMap,
    /// Of a 304.
    not_modified: HeaderMap,
    /// Of a 200 with one model: its length and validator are still to be filled in.
    model: HeaderMap,
}

impl Document {
    pub(crate) fn new<'a>(
        body: Bytes,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        let etag = format!("\"{:032x}\"", XxHash3_128::oneshot(&body));
        let etag = HeaderValue::try_from(etag).expect("hex in quotes is a header value");
        Self::with_heads(body, etag, parts, settings)
    }

    /// The same bytes, with headers that tell how the providers stand now.
    pub(crate) fn with_health<'a>(
        &self,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        Self::with_heads(self.body.clone(), self.etag.clone(), parts, settings)
    }

    fn with_heads<'a>(
        body: Bytes,
        etag: HeaderValue,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        let worst = parts.map(|part| part.health).fold(Health::Fresh, worse);
        let not_modified = HeaderMap::from_iter([
            (header::ETAG, etag.clone()),
            (header::CACHE_CONTROL, settings.cache_control.clone()),
            (header::CACHE_STATUS, cache_status(worst)),
        ]);
        let mut found = not_modified.clone();
        found.insert(header::CONTENT_TYPE, JSON);
        found.insert(header::CONTENT_LENGTH, body.len().into());
        Self {
            model: found.clone(),
            body,
            etag,
            found,
            not_modified,
        }
    }

    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn etag(&self) -> &str {
        self.etag.to_str().unwrap_or_default()
    }

    pub(crate) fn etag_bytes(&self) -> &[u8] {
        self.etag.as_bytes()
    }

    pub(crate) fn found(&self) -> &HeaderMap {
        &self.found
    }

    pub(crate) fn not_modified(&self) -> &HeaderMap {
        &self.not_modified
    }

    /// The headers of a 200 with one model.
    pub(crate) fn model_found(&self, tags: &Tags, index: usize, length: usize) -> HeaderMap {
        with_tag(self.model.clone(), tags, index, Some(length))
    }

    /// The headers of a 304 of one model.
    pub(crate) fn model_not_modified(&self, tags: &Tags, index: usize) -> HeaderMap {
        with_tag(self.not_modified.clone(), tags, index, None)
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Replaces the list's validator and length by a model's, in place.
fn with_tag(mut head: HeaderMap, tags: &Tags, index: usize, length: Option<usize>) -> HeaderMap {
    for (name, value) in &mut head {
        if name == header::ETAG {
            *value = tags.etag(index);
        } else if let (Some(length), &header::CONTENT_LENGTH) = (length, name) {
            *value = tags.length(index, length);
        }
    }
    head
}

fn worse(a: Health, b: Health) -> Health {
    let rank = |health| match health {
        Health::Fresh => 0,
        Health::Stale => 1,
        Health::Pending | Health::Missing => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// What a hit says of itself (RFC 9211, section 2).
fn cache_status(worst: Health) -> HeaderValue {
    HeaderValue::from_static(match worst {
        Health::Fresh => "tower-models-cache; hit",
        Health::Stale => "tower-models-cache; hit; detail=stale",
        Health::Pending | Health::Missing => "tower-models-cache; hit; detail=partial",
    })
}

/// What an answer says of itself that waited for the providers.
pub(crate) fn forwarded_status(hit: &HeaderValue) -> HeaderValue {
    HeaderValue::from_static(match hit.as_bytes() {
        b"tower-models-cache; hit" => "tower-models-cache; fwd=miss; stored",
        b"tower-models-cache; hit; detail=stale" => "tower-models-cache; fwd=miss; detail=stale",
        _ => "tower-models-cache; fwd=miss; detail=partial",
    })
}

// ===== Tags =====

/// The entity tag and the decimal length of each model, ready to be sent: one
/// allocation for all of them, and none for a request.
#[derive(Clone, Debug)]
pub(crate) struct Tags(Bytes);

/// Sixteen hex digits in quotes.
const ETAG: usize = 18;
/// With room for a length of up to ten digits, which a part's 4 GiB stay under.
const STRIDE: usize = ETAG + 10;

impl Tags {
    pub(crate) fn new<'a>(records: impl Iterator<Item = &'a [u8]>) -> Self {
        use std::io::Write;
        let mut tags = Vec::with_capacity(records.size_hint().0 * STRIDE);
        for record in records {
            let hash = XxHash3_128::oneshot(record) as u64;
            let end = tags.len() + STRIDE;
            write!(tags, "\"{hash:016x}\"{}", record.len()).expect("a vector takes all");
            tags.resize(end, b' ');
        }
        Self(tags.into())
    }

    pub(crate) fn etag_bytes(&self, index: usize) -> &[u8] {
        &self.0[index * STRIDE..][..ETAG]
    }

    fn etag(&self, index: usize) -> HeaderValue {
        self.value(index * STRIDE, ETAG)
    }

    fn length(&self, index: usize, length: usize) -> HeaderValue {
        let digits = length.checked_ilog10().unwrap_or(0) as usize + 1;
        self.value(index * STRIDE + ETAG, digits)
    }

    fn value(&self, at: usize, length: usize) -> HeaderValue {
        HeaderValue::from_maybe_shared(self.0.slice(at..at + length))
            .expect("quotes and digits are a header value")
    }
}
