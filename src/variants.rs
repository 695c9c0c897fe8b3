//! `Variants`: a rendered list in all content codings, with validators and header sets.
//!
//! Everything here is made at publication. A request only selects and clones.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use twox_hash::XxHash3_128;

use crate::{
    compress,
    encoding::{self, Coding, Codings, CompressionLevel},
    render::ClientDialect,
    snapshot::{Health, ProviderListing},
};

/// The operator's settings for response headers.
#[derive(Clone, Debug)]
pub(crate) struct HeaderSettings {
    pub(crate) cache_control: HeaderValue,
    /// Whether stale and missing providers are named to clients.
    pub(crate) expose_incomplete: bool,
    /// The request headers that select the representation, besides `Accept-Encoding`.
    pub(crate) vary: Vary,
}

/// The list in one dialect for one view, in every available content coding.
#[derive(Debug)]
pub(crate) struct Variants {
    identity: Variant,
    /// The encoded variants. They are added after publication, all at once.
    encoded: OnceLock<Encoded>,
    common: Common,
    /// The headers of a 200 with a slice of the list. Length and validator are set later.
    slice_ok: HeaderMap,
    /// The same for a 304.
    slice_not_modified: HeaderMap,
}

/// The list in one content coding, and the header sets of its responses.
#[derive(Debug)]
pub(crate) struct Variant {
    content: EncodedBody,
    pub(crate) ok_headers: HeaderMap,
    pub(crate) not_modified: HeaderMap,
}

#[derive(Debug)]
struct Encoded {
    variants: Box<[Variant]>,
    codings: Codings,
}

/// The headers and settings that all variants share.
#[derive(Clone, Debug)]
struct Common {
    common_headers: HeaderMap,
    vary: Option<HeaderValue>,
    /// The compression level, if the list is compressed at all.
    level: Option<CompressionLevel>,
}

/// Bytes in a content coding, and the strong validator of exactly these bytes.
#[derive(Clone, Debug)]
struct EncodedBody {
    coding: Coding,
    body: Bytes,
    etag: HeaderValue,
}

impl Variants {
    /// The rendered list, without encoded variants.
    pub(crate) fn new(
        dialect: ClientDialect,
        body: Bytes,
        level: CompressionLevel,
        common_headers: &HeaderMap,
        settings: &HeaderSettings,
    ) -> Self {
        let encodable = dialect.has_codings() && compress::is_worthwhile(body.len());
        let common = Common {
            common_headers: common_headers.clone(),
            vary: settings.vary.of(dialect, encodable),
            level: encodable.then_some(level),
        };
        // A slice of the list is never compressed.
        let slice_vary = settings.vary.of(dialect, false);
        Self::of(EncodedBody::new(Coding::Identity, body), common, slice_vary)
    }

    /// The same bytes, with headers for the providers' current health.
    pub(crate) fn with_common_headers(&self, common_headers: &HeaderMap) -> Self {
        let common = Common {
            common_headers: common_headers.clone(),
            ..self.common.clone()
        };
        let slice_vary = self.slice_ok.get(header::VARY).cloned();
        let variants = Self::of(self.identity.content.clone(), common, slice_vary);
        if let Some(encoded) = self.encoded.get() {
            let contents = encoded.variants.iter();
            variants.put_encoded(contents.map(|variant| variant.content.clone()));
        }
        variants
    }

    fn of(identity: EncodedBody, common: Common, slice_vary: Option<HeaderValue>) -> Self {
        let identity = Variant::new(identity, &common);
        let of_slice = |head: &HeaderMap| {
            let mut head = head.clone();
            head.remove(header::VARY);
            head.extend(slice_vary.clone().map(|vary| (header::VARY, vary)));
            head
        };
        Self {
            slice_ok: of_slice(&identity.ok_headers),
            slice_not_modified: of_slice(&identity.not_modified),
            identity,
            encoded: OnceLock::new(),
            common,
        }
    }

    /// Adds the encoded variants. Later calls have no effect.
    pub(crate) fn encode(&self, encoded: Vec<(Coding, Bytes)>) {
        let contents = encoded.into_iter();
        self.put_encoded(contents.map(|(coding, body)| EncodedBody::new(coding, body)));
    }

    fn put_encoded(&self, contents: impl Iterator<Item = EncodedBody>) {
        let variants: Box<[_]> = contents
            .map(|content| Variant::new(content, &self.common))
            .collect();
        let codings = variants.iter().fold(Codings::NONE, |codings, variant| {
            codings.with(variant.content.coding)
        });
        // If another call was first, it has set the same variants.
        let _ = self.encoded.set(Encoded { variants, codings });
    }

    /// Takes over the encoded variants of the same bytes, if there are none here.
    pub(crate) fn take_encodings(&self, other: &Self) {
        if let (true, Some(encoded)) = (self.lacks_encodings(), other.encoded.get()) {
            let contents = encoded.variants.iter();
            self.put_encoded(contents.map(|variant| variant.content.clone()));
        }
    }

    /// The identity body.
    pub(crate) fn body(&self) -> &Bytes {
        &self.identity.content.body
    }

    /// The strong validator of the identity body.
    pub(crate) fn etag(&self) -> &str {
        self.identity.content.etag.to_str().unwrap_or_default()
    }

    /// The same, as a header value.
    pub(crate) fn etag_value(&self) -> &HeaderValue {
        &self.identity.content.etag
    }

    /// The `Cache-Status` of a hit.
    pub(crate) fn cache_status(&self) -> &HeaderValue {
        &self.identity.ok_headers[header::CACHE_STATUS]
    }

    /// The `Vary` of the list.
    pub(crate) fn vary(&self) -> Option<&HeaderValue> {
        self.common.vary.as_ref()
    }

    /// Whether the list should be compressed and is not yet.
    pub(crate) fn lacks_encodings(&self) -> bool {
        self.common.level.is_some() && self.encoded.get().is_none()
    }

    /// The compression level of the list.
    pub(crate) fn level(&self) -> CompressionLevel {
        self.common.level.unwrap_or(CompressionLevel::Fast)
    }

    /// The bytes of memory that all variants take.
    pub(crate) fn size(&self) -> usize {
        let encoded = self.encoded.get();
        let encoded = encoded.iter().flat_map(|encoded| &encoded.variants);
        let encoded = encoded.map(|variant| variant.body().len());
        self.body().len() + encoded.sum::<usize>()
    }

    /// Selects a variant by `Accept-Encoding` (RFC 9110, section 12.5.3), or returns `None`
    /// if the client refuses all of them, including identity.
    ///
    /// Without encoded variants the list is not subject to negotiation, and identity is
    /// served whatever the header says. `None` means a request without that header.
    #[inline]
    pub(crate) fn select(&self, accept_encoding: Option<&HeaderMap>) -> Option<&Variant> {
        let Some((headers, encoded)) = accept_encoding.zip(self.encoded.get()) else {
            return Some(&self.identity);
        };
        match encoding::choose(headers, encoded.codings)? {
            Coding::Identity => Some(&self.identity),
            coding => encoded
                .variants
                .iter()
                .find(|variant| variant.content.coding == coding),
        }
    }

    /// The headers of a 200 with one model.
    pub(crate) fn model_ok_headers(
        &self,
        tags: &RecordEtags,
        index: usize,
        length: usize,
    ) -> HeaderMap {
        slice_headers(
            &self.slice_ok,
            tags.etag(index),
            Some(tags.length(index, length)),
        )
    }

    /// The headers of a 304 for one model.
    pub(crate) fn model_not_modified_headers(&self, tags: &RecordEtags, index: usize) -> HeaderMap {
        slice_headers(&self.slice_not_modified, tags.etag(index), None)
    }

    /// The headers of a 200 with a page.
    pub(crate) fn page_ok_headers(&self, etag: HeaderValue, length: usize) -> HeaderMap {
        slice_headers(&self.slice_ok, etag, Some(length.into()))
    }

    /// The headers of a 304 for a page.
    pub(crate) fn page_not_modified_headers(&self, etag: HeaderValue) -> HeaderMap {
        slice_headers(&self.slice_not_modified, etag, None)
    }
}

impl EncodedBody {
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
    fn new(content: EncodedBody, common: &Common) -> Self {
        let mut not_modified = common.common_headers.clone();
        not_modified.insert(header::ETAG, content.etag.clone());
        if let Some(vary) = &common.vary {
            not_modified.insert(header::VARY, vary.clone());
        }
        let mut ok_headers = not_modified.clone();
        ok_headers.insert(header::CONTENT_TYPE, JSON);
        ok_headers.insert(header::CONTENT_LENGTH, content.body.len().into());
        if content.coding != Coding::Identity {
            let coding = HeaderValue::from_static(content.coding.token());
            ok_headers.insert(header::CONTENT_ENCODING, coding);
        }
        Self {
            content,
            ok_headers,
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

// ===== Vary =====

/// The request headers that select the representation: those that select the dialect, and
/// those that the hook for views reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vary {
    /// Applies to paths where headers select the dialect.
    pub(crate) dialect: Vec<HeaderName>,
    pub(crate) view: Vec<HeaderName>,
}

impl Vary {
    /// The value of `Vary` for the lists of a dialect (RFC 9110, section 12.5.5).
    pub(crate) fn of(&self, dialect: ClientDialect, encoded: bool) -> Option<HeaderValue> {
        let by_header = dialect.is_chosen_by_header().then_some(&self.dialect);
        let names = encoded.then_some(header::ACCEPT_ENCODING);
        let names = names.into_iter();
        let names = names.chain(by_header.into_iter().flatten().cloned());
        let mut all: Vec<HeaderName> = Vec::new();
        for name in names.chain(self.view.iter().cloned()) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        let names = all.iter().map(HeaderName::as_str);
        let value = names.collect::<Vec<_>>().join(", ");
        let value = HeaderValue::try_from(value).expect("names of headers are header values");
        (!all.is_empty()).then_some(value)
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

// ===== Common headers =====

/// The headers that all lists have in common. They depend on the providers' health.
///
/// The flag of each listing says whether the provider may be named. If it may not, it still
/// counts while it is missing, because its models are not known, but not while it is stale.
pub(crate) fn common_headers<'a>(
    listings: impl Iterator<Item = (&'a ProviderListing, bool)>,
    settings: &HeaderSettings,
    is_refreshed: bool,
) -> HeaderMap {
    let mut worst = Health::Fresh;
    let mut incomplete = String::new();
    for (listing, is_named) in listings {
        let state = match listing.health {
            Health::Fresh => continue,
            Health::Stale if !is_named => continue,
            Health::Stale => "stale",
            Health::Pending | Health::Missing => "missing",
        };
        worst = worse(worst, listing.health);
        if is_named {
            let gap = if incomplete.is_empty() { "" } else { ", " };
            let name = structured_string(listing.provider.name());
            incomplete.extend([gap, &name, ";", state]);
        }
    }
    let mut common_headers = HeaderMap::from_iter([
        (header::CACHE_CONTROL, settings.cache_control.clone()),
        (header::CACHE_STATUS, cache_status(worst, is_refreshed)),
    ]);
    if settings.expose_incomplete && !incomplete.is_empty() {
        let names = HeaderValue::try_from(incomplete).expect("structured strings are ASCII");
        common_headers.insert(INCOMPLETE, names);
    }
    common_headers
}

/// Restricts the headers of one model to its own provider, for a caller with a view.
pub(crate) fn restrict_to_provider(
    head: &mut HeaderMap,
    status: HeaderValue,
    stale: Option<&HeaderValue>,
) {
    head.insert(header::CACHE_STATUS, status);
    match stale {
        Some(named) => drop(head.insert(INCOMPLETE, named.clone())),
        None => drop(head.remove(&INCOMPLETE)),
    }
}

/// A stale provider's member of `x-models-incomplete`.
pub(crate) fn stale(provider: &str) -> HeaderValue {
    let named = format!("{};stale", structured_string(provider));
    HeaderValue::try_from(named).expect("structured strings are ASCII")
}

/// A structured list (RFC 8941, section 3.1) of the providers whose models are missing or
/// stale: `"lab";missing, "openai";stale`.
const INCOMPLETE: HeaderName = HeaderName::from_static("x-models-incomplete");

/// A name as a structured string (RFC 8941, section 3.3.3). These are ASCII, so other
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

/// The `Cache-Status` of a hit (RFC 9211, section 2).
fn cache_status(worst: Health, is_refreshed: bool) -> HeaderValue {
    match worst {
        _ if !is_refreshed => HIT_STOPPED,
        Health::Fresh => HIT,
        Health::Stale => STALE,
        Health::Pending | Health::Missing => PARTIAL,
    }
}

/// `Cache-Status` of a hit without any problem.
pub(crate) const HIT: HeaderValue = HeaderValue::from_static("tower-models-cache; hit");

/// `Cache-Status` of a hit after the refresher has ended.
pub(crate) const HIT_STOPPED: HeaderValue =
    HeaderValue::from_static("tower-models-cache; hit; detail=stopped");

/// `Cache-Status` of a hit while the last attempt of a provider failed to confirm its list.
pub(crate) const STALE: HeaderValue =
    HeaderValue::from_static("tower-models-cache; hit; detail=stale");

/// `Cache-Status` of a hit while a provider is missing.
pub(crate) const PARTIAL: HeaderValue =
    HeaderValue::from_static("tower-models-cache; hit; detail=partial");

/// `Cache-Status` of a refusal. It discloses nothing about the providers.
pub(crate) const DENIED: HeaderValue =
    HeaderValue::from_static("tower-models-cache; detail=denied");

/// `Cache-Status` if the caller's view is not known.
pub(crate) const FAILED: HeaderValue = HeaderValue::from_static("tower-models-cache; detail=error");

/// `Cache-Status` if there is nothing to serve.
pub(crate) const UNAVAILABLE: HeaderValue =
    HeaderValue::from_static("tower-models-cache; detail=unavailable");

/// `Cache-Status` if there is nothing to serve and the refresher has ended.
pub(crate) const STOPPED: HeaderValue =
    HeaderValue::from_static("tower-models-cache; detail=stopped");

/// `Cache-Status` of a response that waited for providers, and why it did.
pub(crate) fn forwarded_status(hit: &HeaderValue, why: &'static str) -> HeaderValue {
    let (_, last) = hit
        .to_str()
        .ok()
        .and_then(|hit| hit.rsplit_once("; "))
        .unwrap_or_default();
    let detail = if last == "hit" { "stored" } else { last };
    let status = format!("tower-models-cache; fwd={why}; {detail}");
    HeaderValue::try_from(status).expect("is of visible ASCII characters")
}

// ===== RecordEtags =====

/// The entity tag and the decimal length of each model, as header values in one shared
/// buffer: one allocation for all of them, and none per request.
#[derive(Clone, Debug)]
pub(crate) struct RecordEtags(Bytes);

/// Sixteen hex digits in quotes.
const ETAG: usize = 18;
/// Room for a length of up to ten digits, which is enough for records under 4 GiB.
const STRIDE: usize = ETAG + 10;

impl RecordEtags {
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

/// Clones the headers and sets the validator and the length of a slice in place.
fn slice_headers(head: &HeaderMap, etag: HeaderValue, length: Option<HeaderValue>) -> HeaderMap {
    let mut head = head.clone();
    for (name, value) in &mut head {
        if name == header::ETAG {
            *value = etag.clone();
        } else if let (Some(length), &header::CONTENT_LENGTH) = (&length, name) {
            *value = length.clone();
        }
    }
    head
}
