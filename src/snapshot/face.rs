//! `Face`: a list rendered for one dialect and one view, and the pages cut from it.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use twox_hash::XxHash3_64;

use super::{Slice, Snapshot, names::Seat, view::Members};
use crate::{
    document::{Document, Settings, Tags},
    encoding::Effort,
    page::{Mark, Place, Window},
    render::{ClientDialect, ListedId, PageEnds, Reach},
};

/// A list that has its own bytes: that of OpenAI's clients who see all has not, it is
/// the snapshot's.
#[derive(Clone, Debug)]
pub(crate) struct Face {
    document: Arc<Document>,
    rows: Arc<Rows>,
}

/// Where each record of a list stands.
#[derive(Debug)]
struct Rows {
    dialect: ClientDialect,
    /// The models, in the order of the list.
    seats: Box<[Seat]>,
    /// Where each record begins, and where one more would.
    starts: Box<[usize]>,
    /// Of lists in which one model can be asked for.
    tags: Option<Tags>,
    /// By which a page's token knows its list.
    list: u64,
}

/// A page: three pieces that follow each other, of which the long one is shared.
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

impl Face {
    /// The list of these members, or of all.
    pub(super) fn render(
        snapshot: &Snapshot,
        dialect: ClientDialect,
        members: Option<&Members>,
        heads: &HeaderMap,
        settings: &Settings,
    ) -> Self {
        let is_member = |seat: &Seat| members.is_none_or(|members| members.has(*seat));
        let id = |seat: &Seat| snapshot.record(*seat, dialect).id;
        let mut seats: Vec<Seat> = snapshot.seats().filter(is_member).collect();
        if dialect.reach() != Reach::Whole {
            let mut named: Vec<_> = seats.iter().map(|seat| (id(seat), *seat)).collect();
            named.sort_unstable_by(|(a, _), (b, _)| a.order(*b));
            seats = named.into_iter().map(|(_, seat)| seat).collect();
        }
        let ends = seats.first().map(id).zip(seats.last().map(id));
        let mut body = Vec::with_capacity(snapshot.document.body().len());
        dialect.open(&mut body, ends);
        let mut starts = Vec::with_capacity(seats.len() + 1);
        for seat in &seats {
            starts.push(body.len());
            match dialect {
                // The very bytes: they are there already.
                ClientDialect::OpenAi => body.extend_from_slice(snapshot.openai_record(*seat)),
                _ => dialect.write(
                    &mut body,
                    &snapshot.record(*seat, dialect),
                    snapshot.style(),
                ),
            }
            body.push(b',');
        }
        starts.push(body.len());
        if !seats.is_empty() {
            body.pop();
        }
        let records = starts.windows(2).map(|row| &body[row[0]..row[1] - 1]);
        let tags = (dialect.has_models() && members.is_none()).then(|| Tags::new(records));
        body.extend_from_slice(dialect.close());
        body.shrink_to_fit();
        let list = XxHash3_64::oneshot(&body);
        let effort = members.map_or(Effort::Most, |_| Effort::Little);
        let document = Document::new(dialect, body.into(), effort, heads, settings);
        Self {
            document: Arc::new(document),
            rows: Arc::new(Rows {
                dialect,
                seats: seats.into(),
                starts: starts.into(),
                tags,
                list,
            }),
        }
    }

    /// The same list, with headers that tell how the providers stand now.
    pub(super) fn with_heads(&self, heads: &HeaderMap) -> Self {
        Self {
            document: Arc::new(self.document.with_heads(heads)),
            rows: Arc::clone(&self.rows),
        }
    }

    /// Whether it holds no model.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.seats.is_empty()
    }

    pub(crate) fn document(&self) -> &Arc<Document> {
        &self.document
    }

    pub(super) fn lacks_encodings(&self) -> bool {
        self.document.lacks_encodings()
    }

    /// How much memory it takes.
    pub(super) fn size(&self) -> usize {
        let row = size_of::<Seat>() + size_of::<usize>();
        self.document.size() + row * self.rows.starts.len()
    }

    /// The bytes of a model, and where its validator is.
    pub(super) fn slice(&self, snapshot: &Snapshot, id: ListedId<'_>) -> Option<Slice<'_>> {
        let index = self.search(snapshot, |other| other.order(id)).ok()?;
        Some(Slice {
            body: self.records(index, index + 1),
            tags: self.rows.tags.as_ref()?,
            index,
            document: &self.document,
        })
    }

    /// The part of the list that is asked for; `None`: that is all of it.
    pub(crate) fn page(&self, snapshot: &Snapshot, window: &Window<'_>) -> Option<Page> {
        let all = self.rows.seats.len();
        let after = |id: &str| match self.search(snapshot, |other| other.order_to(id)) {
            Ok(index) => index + 1,
            Err(index) => index, // gone: what comes after it did not come before
        };
        let (from, to, back) = match &window.place {
            Place::Start => (0, window.limit.min(all), false),
            Place::After(id) => {
                let from = after(id);
                (from, from.saturating_add(window.limit).min(all), false)
            }
            Place::Before(id) => {
                let to = match self.search(snapshot, |other| other.order_to(id)) {
                    Ok(index) | Err(index) => index,
                };
                (to.saturating_sub(window.limit), to, true)
            }
            Place::Mark(mark) => {
                let index = mark.index as usize;
                let is_here = mark.list == self.rows.list && index <= all;
                let from = if is_here { index } else { after(&mark.id) };
                (from, from.saturating_add(window.limit).min(all), false)
            }
        };
        if (from, to) == (0, all) {
            return None;
        }
        let has_more = if back { from > 0 } else { to < all };
        let id = |index: usize| {
            snapshot
                .record(self.rows.seats[index], self.rows.dialect)
                .id
        };
        let ends = (from < to).then(|| (id(from), id(to - 1)));
        let next = ends.filter(|_| has_more && self.rows.dialect.has_tokens());
        let page = PageEnds {
            ends,
            has_more,
            next: next.map(|(_, last)| Mark::token(self.rows.list, to, last)),
        };
        let mut head = Vec::with_capacity(512);
        self.rows.dialect.open_page(&mut head, &page);
        Some(Page {
            head: head.into(),
            records: self.records(from, to),
            tail: Bytes::from_static(self.rows.dialect.close()),
            etag: self.page_etag(from, to, back),
        })
    }

    /// The list's tag and the part: the same bytes, for each part.
    fn page_etag(&self, from: usize, to: usize, back: bool) -> HeaderValue {
        let list = self.document.etag().trim_end_matches('"');
        let back = if back { "b" } else { "" };
        let etag = format!("{list}-{from}-{to}{back}\"");
        HeaderValue::try_from(etag).expect("hex, digits and quotes are a header value")
    }

    /// The bytes of these records.
    fn records(&self, from: usize, to: usize) -> Bytes {
        if from == to {
            return Bytes::new();
        }
        let starts = &self.rows.starts;
        self.document.body().slice(starts[from]..starts[to] - 1)
    }

    /// Where a list in the order of ids has an id, or would have it.
    fn search(
        &self,
        snapshot: &Snapshot,
        order: impl Fn(ListedId<'_>) -> Ordering,
    ) -> Result<usize, usize> {
        let id = |seat: &Seat| snapshot.record(*seat, self.rows.dialect).id;
        self.rows.seats.binary_search_by(|seat| order(id(seat)))
    }
}
