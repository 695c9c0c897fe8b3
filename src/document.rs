//! A rendered list as it goes over the wire: bytes, validators, header sets.
//!
//! Everything here is made at publication. A request only chooses and clones.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use twox_hash::XxHash3_128;

use crate::{
    compress,
    encoding::{self, Coding, Codings},
    snapshot::{Health, Part},
};

/// What the operator chose of the answers' headers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) cache_control: HeaderValue,
    /// Whether stale and missing providers are named to clients.
    pub(crate) name_providers: bool,
}

/// The list in one dialect, in every coding there is of it.
#[derive(Debug)]
pub(crate) struct Document {
    identity: Variant,
    /// The same bytes under codings: all of them, or none yet.
    encoded: Box<[Variant]>,
    codings: Codings,
    /// Of a 200 with one model: its length and validator are still to be filled in.
    model: HeaderMap,
    /// Of a 304 of one model, likewise.
    model_not_modified: HeaderMap,
}

/// The list under one coding, and the header sets of its answers.
#[derive(Debug)]
pub(crate) struct Variant {
    content: Content,
    pub(crate) found: HeaderMap,
    pub(crate) not_modified: HeaderMap,
}

/// Bytes under a coding, and the strong validator of just these bytes.
#[derive(Clone, Debug)]
struct Content {
    coding: Coding,
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    /// The list as it was rendered. Its encoded variants come later.
    pub(crate) fn new<'a>(
        body: Bytes,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        let identity = Content::new(Coding::Identity, body);
        Self::of([identity], &heads(parts, settings))
    }

    /// The same bytes, with headers that tell how the providers stand now.
    pub(crate) fn with_health<'a>(
        &self,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        Self::of(self.contents(), &heads(parts, settings))
    }

    /// The same list, with the variants that `encoded` holds.
    pub(crate) fn with_encoded<'a>(
        &self,
        encoded: Vec<(Coding, Bytes)>,
        parts: impl Iterator<Item = &'a Part>,
        settings: &Settings,
    ) -> Self {
        let encoded = encoded
            .into_iter()
            .map(|(coding, body)| Content::new(coding, body));
        let identity = self.identity.content.clone();
        Self::of(
            std::iter::once(identity).chain(encoded),
            &heads(parts, settings),
        )
    }

    fn contents(&self) -> impl Iterator<Item = Content> {
        let variants = std::iter::once(&self.identity).chain(&self.encoded);
        variants.map(|variant| variant.content.clone())
    }

    /// The document of these contents, identity first.
    fn of(contents: impl IntoIterator<Item = Content>, heads: &HeaderMap) -> Self {
        let mut contents = contents.into_iter();
        let identity = contents.next().expect("a list has its identity");
        let negotiated = compress::is_worthwhile(identity.body.len());
        let identity = Variant::new(identity, heads, negotiated);
        let encoded: Box<[_]> = contents
            .map(|content| Variant::new(content, heads, negotiated))
            .collect();
        let codings = encoded.iter().fold(Codings::NONE, |codings, variant| {
            codings.with(variant.content.coding)
        });
        // One model is never compressed, so it does not vary.
        let mut model = identity.found.clone();
        let mut model_not_modified = identity.not_modified.clone();
        model.remove(header::VARY);
        model_not_modified.remove(header::VARY);
        Self {
            identity,
            encoded,
            codings,
            model,
            model_not_modified,
        }
    }

    /// The list's bytes, under no coding.
    pub(crate) fn body(&self) -> &Bytes {
        &self.identity.content.body
    }

    /// The strong validator of those bytes.
    pub(crate) fn etag(&self) -> &str {
        self.identity.content.etag.to_str().unwrap_or_default()
    }

    /// What a hit says of itself.
    pub(crate) fn cache_status(&self) -> &HeaderValue {
        &self.identity.found[header::CACHE_STATUS]
    }

    /// Whether variants are still to be made.
    pub(crate) fn lacks_encodings(&self) -> bool {
        self.encoded.is_empty() && compress::is_worthwhile(self.body().len())
    }

    /// The variant for a request (RFC 9110, section 12.5.3), or `None`: the client
    /// refuses all there are, identity too.
    ///
    /// While there is only one, the list is not subject to negotiation: it is sent
    /// whatever the request says.
    #[inline]
    pub(crate) fn select(&self, headers: &HeaderMap) -> Option<&Variant> {
        if self.encoded.is_empty() {
            return Some(&self.identity);
        }
        match encoding::choose(headers, self.codings)? {
            Coding::Identity => Some(&self.identity),
            coding => self
                .encoded
                .iter()
                .find(|variant| variant.content.coding == coding),
        }
    }

    /// The headers of a 200 with one model.
    pub(crate) fn model_found(&self, tags: &Tags, index: usize, length: usize) -> HeaderMap {
        with_tag(self.model.clone(), tags, index, Some(length))
    }

    /// The headers of a 304 of one model.
    pub(crate) fn model_not_modified(&self, tags: &Tags, index: usize) -> HeaderMap {
        with_tag(self.model_not_modified.clone(), tags, index, None)
    }
}

impl Content {
    fn new(coding: Coding, body: Bytes) -> Self {
        let etag = format!("\"{:032x}\"", XxHash3_128::oneshot(&body));
        Self {
            coding,
            etag: HeaderValue::try_from(etag).expect("hex in quotes is a header value"),
            body,
        }
    }
}

impl Variant {
    fn new(content: Content, heads: &HeaderMap, negotiated: bool) -> Self {
        let mut not_modified = heads.clone();
        not_modified.insert(header::ETAG, content.etag.clone());
        if negotiated {
            let vary = HeaderValue::from_static("accept-encoding");
            not_modified.insert(header::VARY, vary);
        }
        let mut found = not_modified.clone();
        found.insert(header::CONTENT_TYPE, JSON);
        found.insert(header::CONTENT_LENGTH, content.body.len().into());
        if content.coding != Coding::Identity {
            let coding = HeaderValue::from_static(content.coding.token());
            found.insert(header::CONTENT_ENCODING, coding);
        }
        Self {
            content,
            found,
            not_modified,
        }
    }

    pub(crate) fn body(&self) -> &Bytes {
        &self.content.body
    }

    pub(crate) fn etag_bytes(&self) -> &[u8] {
        self.content.etag.as_bytes()
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

// ===== Heads =====

/// The headers that every answer has, and that depend on the providers' health.
fn heads<'a>(parts: impl Iterator<Item = &'a Part>, settings: &Settings) -> HeaderMap {
    let mut worst = Health::Fresh;
    let mut incomplete = String::new();
    for part in parts {
        worst = worse(worst, part.health);
        let state = match part.health {
            Health::Fresh => continue,
            Health::Stale => "stale",
            Health::Pending | Health::Missing => "missing",
        };
        let gap = if incomplete.is_empty() { "" } else { ", " };
        let name = structured_string(part.provider.name());
        incomplete.extend([gap, &name, ";", state]);
    }
    let mut heads = HeaderMap::from_iter([
        (header::CACHE_CONTROL, settings.cache_control.clone()),
        (header::CACHE_STATUS, cache_status(worst)),
    ]);
    if settings.name_providers && !incomplete.is_empty() {
        let names = HeaderValue::try_from(incomplete).expect("structured strings are ASCII");
        heads.insert(INCOMPLETE, names);
    }
    heads
}

/// A structured list (RFC 8941, section 3.1) of the providers whose models are
/// missing or stale: `"lab";missing, "openai";stale`.
const INCOMPLETE: header::HeaderName = header::HeaderName::from_static("x-models-incomplete");

/// A name as a structured string (RFC 8941, section 3.3.3), which is ASCII: other
/// characters are percent-encoded.
fn structured_string(name: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const OUTSIDE: &AsciiSet = &CONTROLS.add(b'"').add(b'\\').add(b'%');
    format!("\"{}\"", utf8_percent_encode(name, OUTSIDE))
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

/// What an answer says of itself when there is nothing to serve.
pub(crate) const UNAVAILABLE: HeaderValue =
    HeaderValue::from_static("tower-models-cache; detail=unavailable");

/// What an answer says of itself that waited for the providers.
pub(crate) fn forwarded_status(hit: &HeaderValue) -> HeaderValue {
    HeaderValue::from_static(match hit.as_bytes() {
        b"tower-models-cache; hit" => "tower-models-cache; fwd=miss; stored",
        b"tower-models-cache; hit; detail=stale" => "tower-models-cache; fwd=miss; detail=stale",
        b"tower-models-cache; detail=unavailable" => {
            "tower-models-cache; fwd=miss; detail=unavailable"
        }
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
