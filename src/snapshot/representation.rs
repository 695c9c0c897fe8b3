//! `Representation`: the list rendered in one dialect for one view, and its pages.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use twox_hash::XxHash3_64;

use super::{Slice, Snapshot, names::ModelIndex, view::ViewMembers};
use crate::{
    encoding::CompressionLevel,
    page::{PageRequest, PageStart, PageToken},
    render::{ClientDialect, ListedId, PageInfo, Pagination},
    variants::{HeaderSettings, RecordEtags, Variants},
};

/// A list with bytes of its own. The list of all models in OpenAI's dialect is not one: it
/// is the snapshot's body.
#[derive(Clone, Debug)]
pub(crate) struct Representation {
    variants: Arc<Variants>,
    offsets: Arc<RecordOffsets>,
}

/// The offsets of all records of a list.
#[derive(Debug)]
struct RecordOffsets {
    dialect: ClientDialect,
    /// The models, in the order of the list.
    model_indices: Box<[ModelIndex]>,
    /// The start of each record, and of one more after the last.
    starts: Box<[usize]>,
    /// Only for dialects with a path for one model, and for the list of all models.
    tags: Option<RecordEtags>,
    /// Identifies the list in page tokens.
    list: u64,
}

/// A page, in three consecutive pieces. The records are shared with the list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) head: Bytes,
    pub(crate) records: Bytes,
    pub(crate) tail: Bytes,
    pub(crate) etag: HeaderValue,
}

impl Page {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.records.len() + self.tail.len()
    }
}

impl Representation {
    /// Renders the list of these members, or of all models.
    pub(super) fn render(
        snapshot: &Snapshot,
        dialect: ClientDialect,
        members: Option<&ViewMembers>,
        common_headers: &HeaderMap,
        settings: &HeaderSettings,
    ) -> Self {
        let is_member =
            |model_index: &ModelIndex| members.is_none_or(|members| members.has(*model_index));
        let id = |model_index: &ModelIndex| snapshot.record(*model_index, dialect).id;
        let mut model_indices: Vec<ModelIndex> =
            snapshot.model_indices().filter(is_member).collect();
        if dialect.pagination() != Pagination::Whole {
            let mut named: Vec<_> = model_indices
                .iter()
                .map(|model_index| (id(model_index), *model_index))
                .collect();
            named.sort_unstable_by(|(a, _), (b, _)| a.order(*b));
            model_indices = named
                .into_iter()
                .map(|(_, model_index)| model_index)
                .collect();
        }
        let ends = model_indices
            .first()
            .map(id)
            .zip(model_indices.last().map(id));
        let mut body = Vec::with_capacity(snapshot.variants.body().len());
        dialect.open(&mut body, ends);
        let mut starts = Vec::with_capacity(model_indices.len() + 1);
        for model_index in &model_indices {
            starts.push(body.len());
            match dialect {
                // The same bytes as in the snapshot's body.
                ClientDialect::OpenAi => {
                    body.extend_from_slice(snapshot.openai_record(*model_index))
                }
                _ => dialect.write(
                    &mut body,
                    &snapshot.record(*model_index, dialect),
                    snapshot.codex_options(),
                ),
            }
            body.push(b',');
        }
        starts.push(body.len());
        if !model_indices.is_empty() {
            body.pop();
        }
        let records = starts.windows(2).map(|row| &body[row[0]..row[1] - 1]);
        let tags = (dialect.has_models() && members.is_none()).then(|| RecordEtags::new(records));
        body.extend_from_slice(dialect.close());
        body.shrink_to_fit();
        let list = XxHash3_64::oneshot(&body);
        let level = members.map_or(CompressionLevel::Best, |_| CompressionLevel::Fast);
        let variants = Variants::new(dialect, body.into(), level, common_headers, settings);
        Self {
            variants: Arc::new(variants),
            offsets: Arc::new(RecordOffsets {
                dialect,
                model_indices: model_indices.into(),
                starts: starts.into(),
                tags,
                list,
            }),
        }
    }

    /// The same list, with headers for the providers' current health.
    pub(super) fn with_common_headers(&self, common_headers: &HeaderMap) -> Self {
        Self {
            variants: Arc::new(self.variants.with_common_headers(common_headers)),
            offsets: Arc::clone(&self.offsets),
        }
    }

    /// Whether the list is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.model_indices.is_empty()
    }

    pub(crate) fn variants(&self) -> &Arc<Variants> {
        &self.variants
    }

    pub(super) fn lacks_encodings(&self) -> bool {
        self.variants.lacks_encodings()
    }

    /// The bytes of memory that the list takes.
    pub(super) fn size(&self) -> usize {
        let row = size_of::<ModelIndex>() + size_of::<usize>();
        self.variants.size() + row * self.offsets.starts.len()
    }

    /// The bytes of a model, and what its headers are made from.
    pub(super) fn slice(&self, snapshot: &Snapshot, id: ListedId<'_>) -> Option<Slice<'_>> {
        let index = self.search(snapshot, |other| other.order(id)).ok()?;
        Some(Slice {
            body: self.records(index, index + 1),
            tags: self.offsets.tags.as_ref()?,
            index,
            variants: &self.variants,
        })
    }

    /// The requested page, or `None` if that is the whole list.
    pub(crate) fn page(&self, snapshot: &Snapshot, request: &PageRequest<'_>) -> Option<Page> {
        let all = self.offsets.model_indices.len();
        let after = |id: &str| match self.search(snapshot, |other| other.order_to(id)) {
            Ok(index) => index + 1,
            Err(index) => index, // no longer listed: continue after its place
        };
        let (from, to, back) = match &request.place {
            PageStart::Start => (0, request.limit.min(all), false),
            PageStart::After(id) => {
                let from = after(id);
                (from, from.saturating_add(request.limit).min(all), false)
            }
            PageStart::Before(id) => {
                let to = match self.search(snapshot, |other| other.order_to(id)) {
                    Ok(index) | Err(index) => index,
                };
                (to.saturating_sub(request.limit), to, true)
            }
            PageStart::Token(token) => {
                let index = token.index as usize;
                let is_here = token.list == self.offsets.list && index <= all;
                let from = if is_here { index } else { after(&token.id) };
                (from, from.saturating_add(request.limit).min(all), false)
            }
        };
        if (from, to) == (0, all) {
            return None;
        }
        let has_more = if back { from > 0 } else { to < all };
        let id = |index: usize| {
            snapshot
                .record(self.offsets.model_indices[index], self.offsets.dialect)
                .id
        };
        let ends = (from < to).then(|| (id(from), id(to - 1)));
        let next = ends.filter(|_| has_more && self.offsets.dialect.has_tokens());
        let page = PageInfo {
            ends,
            has_more,
            next: next.map(|(_, last)| PageToken::token(self.offsets.list, to, last)),
        };
        let mut head = Vec::with_capacity(512);
        self.offsets.dialect.open_page(&mut head, &page);
        Some(Page {
            head: head.into(),
            records: self.records(from, to),
            tail: Bytes::from_static(self.offsets.dialect.close()),
            etag: self.page_etag(from, to, back),
        })
    }

    /// The list's tag with the range of the page. The same range of the same list has the
    /// same bytes.
    fn page_etag(&self, from: usize, to: usize, back: bool) -> HeaderValue {
        let list = self.variants.etag().trim_end_matches('"');
        let back = if back { "b" } else { "" };
        let etag = format!("{list}-{from}-{to}{back}\"");
        HeaderValue::try_from(etag).expect("hex, digits and quotes are a header value")
    }

    /// The bytes of these records.
    fn records(&self, from: usize, to: usize) -> Bytes {
        if from == to {
            return Bytes::new();
        }
        let starts = &self.offsets.starts;
        self.variants.body().slice(starts[from]..starts[to] - 1)
    }

    /// The index of an id in a list sorted by id, or where it would be inserted.
    fn search(
        &self,
        snapshot: &Snapshot,
        order: impl Fn(ListedId<'_>) -> Ordering,
    ) -> Result<usize, usize> {
        let id = |model_index: &ModelIndex| snapshot.record(*model_index, self.offsets.dialect).id;
        self.offsets
            .model_indices
            .binary_search_by(|model_index| order(id(model_index)))
    }
}
