//! `Fragment`: the records of one provider in the body of the list, and under which names
//! they are listed.

use std::{ops::Range, sync::Arc};

use http::HeaderValue;

use super::{
    Snapshot,
    names::{IdLookup, ModelIndex},
};
use crate::{
    enrich::Described,
    entry::Entry,
    model::Model,
    provider::{Prefix, Provider},
    render::{ClientDialect, CodexOptions, ListedId, Record},
    variants::{self, RecordEtags},
};

/// The state of a provider's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The first attempt has not ended.
    Pending,
    /// The last attempt returned the list.
    Fresh,
    /// There is a list, but the last attempt did not confirm it, or the credential or an
    /// option has changed since.
    Stale,
    /// There is no list: no attempt returned one, or it exceeded `max_stale`.
    Missing,
}

/// A provider and its models, as input to a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct ProviderListing {
    pub(crate) provider: Provider,
    pub(crate) entry: Option<Arc<Entry>>,
    /// The models of the entry with further facts, if any enrichment is configured.
    pub(crate) described: Option<Arc<Described>>,
    pub(crate) health: Health,
}

/// How one model of a listing is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// By the default of its provider's prefix setting.
    Default,
    /// With the prefix, because another model or an alias has its id.
    Prefixed,
    /// Not listed, because another model or an alias has its name.
    Shadowed,
}

/// One provider's records in the body.
#[derive(Clone, Debug)]
pub(super) struct Fragment {
    pub(super) listing: ProviderListing,
    /// How each model is named. `None`: all by default.
    names: Option<Arc<[NameKind]>>,
    pub(super) records: RecordTable,
    pub(super) shadowed: usize,
    /// The provider's member of the `x-models-incomplete` header, if its list is stale.
    pub(super) stale: Option<HeaderValue>,
}

/// Consecutive records of the body.
#[derive(Clone, Debug)]
pub(super) struct RecordTable {
    /// The range of all records in the body.
    pub(super) body: Range<usize>,
    /// The range of each record within `body`. It is empty if the model is not listed.
    pub(super) spans: Arc<[RecordSpan]>,
    pub(super) tags: RecordEtags,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RecordSpan {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl RecordSpan {
    pub(super) fn is_hidden(self) -> bool {
        self.start == self.end
    }
}

impl ProviderListing {
    /// The models, sorted by id.
    pub(crate) fn models(&self) -> &[Model] {
        match (&self.described, &self.entry) {
            (Some(described), _) => described.models(),
            (None, Some(entry)) => entry.models(),
            (None, None) => &[],
        }
    }

    /// The owner of models whose owner is not known.
    pub(super) fn owner(&self) -> &str {
        let name = self.provider.options.display_name.as_deref();
        name.unwrap_or_else(|| self.provider.name())
    }

    /// Whether both listings render to the same records, given the same names.
    fn is_same(&self, other: &Self) -> bool {
        let same_entry = match (&self.entry, &other.entry) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let same_described = match (&self.described, &other.described) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        same_entry
            && same_described
            && self.provider.options.prefix == other.provider.options.prefix
            && self.provider.name() == other.provider.name()
            && self.owner() == other.owner()
    }

    /// Whether one of the models has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        let entry = self.entry.as_ref();
        entry.and_then(|entry| entry.position(id)).is_some()
    }

    /// Whether a model of this listing may be listed under this id.
    pub(super) fn lists(&self, listed_id: &str) -> bool {
        let prefixed = || {
            let rest = listed_id.strip_prefix(self.provider.name());
            rest.and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|id| self.has(id))
        };
        match self.provider.options.prefix {
            Prefix::Always => prefixed(),
            Prefix::Never => self.has(listed_id),
            Prefix::OnConflict => self.has(listed_id) || prefixed(),
        }
    }

    fn stale(&self) -> Option<HeaderValue> {
        (self.health == Health::Stale).then(|| variants::stale(self.provider.name()))
    }

    /// The prefix of a model with this kind of name.
    fn prefix(&self, name: NameKind) -> Option<&str> {
        let prefixed = match self.provider.options.prefix {
            Prefix::Always => true,
            Prefix::Never => false,
            Prefix::OnConflict => name == NameKind::Prefixed,
        };
        prefixed.then(|| self.provider.name())
    }
}

/// The input of a fragment: rendered, or compared with a fragment of the last snapshot that
/// can be reused.
pub(super) struct FragmentBuilder {
    pub(super) listing: ProviderListing,
    pub(super) names: Option<Box<[NameKind]>>,
}

impl FragmentBuilder {
    fn name(&self, position: usize) -> NameKind {
        name_of(self.names.as_deref(), position)
    }

    /// How many models will be listed.
    pub(super) fn listed(&self) -> usize {
        let hidden = |names: &[NameKind]| count(names, NameKind::Shadowed);
        self.listing.models().len() - self.names.as_deref().map_or(0, hidden)
    }

    pub(super) fn record(&self, position: usize) -> Option<Record<'_>> {
        let name = self.name(position);
        let model = &self.listing.models()[position];
        (name != NameKind::Shadowed).then(|| Record {
            id: ListedId::new(self.listing.prefix(name), model.id()),
            owner: self.listing.owner(),
            model,
        })
    }
}

impl IdLookup for FragmentBuilder {
    fn position(&self, id: &str) -> Option<usize> {
        let position = self.listing.entry.as_ref()?.position(id)?;
        (self.name(position) != NameKind::Shadowed).then_some(position)
    }

    fn is_prefixed(&self, position: usize) -> bool {
        self.listing.prefix(self.name(position)).is_some()
    }
}

impl IdLookup for Fragment {
    fn position(&self, id: &str) -> Option<usize> {
        let position = self.listing.entry.as_ref()?.position(id)?;
        self.is_listed(position).then_some(position)
    }

    fn is_prefixed(&self, position: usize) -> bool {
        self.prefix_of(position).is_some()
    }
}

fn name_of(names: Option<&[NameKind]>, position: usize) -> NameKind {
    names.map_or(NameKind::Default, |names| names[position])
}

fn count(names: &[NameKind], of: NameKind) -> usize {
    names.iter().filter(|&&name| name == of).count()
}

impl RecordTable {
    /// Appends these records to a body, in OpenAI's dialect.
    pub(super) fn render<'a>(
        records: impl ExactSizeIterator<Item = Option<Record<'a>>>,
        codex_options: &CodexOptions,
        body: &mut Vec<u8>,
    ) -> Self {
        let start = body.len();
        let mut spans = Vec::with_capacity(records.len());
        let offset = |body: &Vec<u8>| {
            u32::try_from(body.len() - start).expect("bounds keep a provider's listing under 4 GiB")
        };
        for record in records {
            let Some(record) = record else {
                spans.push(RecordSpan { start: 0, end: 0 });
                continue;
            };
            if body.len() > start {
                body.push(b',');
            }
            let from = offset(body);
            ClientDialect::OpenAi.write(body, &record, codex_options);
            spans.push(RecordSpan {
                start: from,
                end: offset(body),
            });
        }
        let rendered = &body[start..];
        let texts = spans
            .iter()
            .map(|span| &rendered[span.start as usize..span.end as usize]);
        Self {
            tags: RecordEtags::new(texts),
            body: start..body.len(),
            spans: spans.into(),
        }
    }

    /// The same records in the next snapshot: copied to the end of `body`, or at the same
    /// place if the body is shared.
    fn reused(&self, last: &Snapshot, body: Option<&mut Vec<u8>>) -> Self {
        let at = match body {
            None => self.body.clone(),
            Some(body) => {
                let start = body.len();
                body.extend_from_slice(&last.variants.body()[self.body.clone()]);
                start..body.len()
            }
        };
        Self {
            body: at,
            spans: Arc::clone(&self.spans),
            tags: self.tags.clone(),
        }
    }

    /// The range of a record in the body.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        let (at, span) = (self.body.start, self.spans[index]);
        at + span.start as usize..at + span.end as usize
    }
}

impl Fragment {
    pub(super) fn render(
        builder: FragmentBuilder,
        codex_options: &CodexOptions,
        body: &mut Vec<u8>,
    ) -> Self {
        let positions = 0..builder.listing.models().len();
        let records = positions.map(|position| builder.record(position));
        let records = RecordTable::render(records, codex_options, body);
        Self {
            records,
            shadowed: builder.listing.models().len() - builder.listed(),
            names: builder.names.map(Arc::from),
            stale: builder.listing.stale(),
            listing: builder.listing,
        }
    }

    /// The same fragment in the next snapshot.
    pub(super) fn reused(
        &self,
        listing: ProviderListing,
        last: &Snapshot,
        body: Option<&mut Vec<u8>>,
    ) -> Self {
        Self {
            stale: listing.stale(),
            listing,
            names: self.names.clone(),
            records: self.records.reused(last, body),
            shadowed: self.shadowed,
        }
    }

    pub(super) fn renders_as(&self, builder: &FragmentBuilder) -> bool {
        self.listing.is_same(&builder.listing) && self.names.as_deref() == builder.names.as_deref()
    }

    /// Whether both fragments have the same records.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.listing.is_same(&other.listing) && self.names == other.names
    }

    pub(super) fn listed(&self) -> usize {
        self.records.spans.len() - self.shadowed
    }

    /// How many models have a prefix only because another model has their id.
    pub(super) fn prefixed(&self) -> usize {
        let prefixed = |names: &[NameKind]| count(names, NameKind::Prefixed);
        self.names.as_deref().map_or(0, prefixed)
    }

    pub(super) fn is_listed(&self, position: usize) -> bool {
        !self.records.spans[position].is_hidden()
    }

    /// The prefix of a model in its listed id.
    pub(super) fn prefix_of(&self, position: usize) -> Option<&str> {
        self.listing
            .prefix(name_of(self.names.as_deref(), position))
    }

    /// The listed models. `index` is the index of this fragment.
    pub(super) fn model_indices(&self, index: usize) -> impl Iterator<Item = ModelIndex> {
        let listed = (0..self.records.spans.len()).filter(|&position| self.is_listed(position));
        listed.map(move |position| ModelIndex::own(index, position))
    }
}
