//! A provider's part of a snapshot: where its models stand in the body, and which of
//! them another provider lists.

use std::{ops::Range, sync::Arc};

use super::{ListedModel, Snapshot};
use crate::{
    document::Tags,
    entry::Entry,
    model::Model,
    provider::{Listing, Provider},
    render::openai,
};

/// How a provider stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Its first attempt is not over.
    Pending,
    /// The last attempt gave the list.
    Fresh,
    /// There is a list, but the last attempt gave none.
    Stale,
    /// There is no list: no attempt gave one, or it grew too old.
    Missing,
}

/// A provider as it enters a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) provider: Provider,
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) health: Health,
}

/// A provider's part of the body.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) part: Part,
    /// Where the part stands in the body.
    pub(super) body: Range<usize>,
    /// Where each model of the entry stands in the part: nowhere (an empty span)
    /// when another provider lists its id.
    pub(super) spans: Arc<[Span]>,
    pub(super) tags: Tags,
    pub(super) shadowed: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn is_hidden(self) -> bool {
        self.start == self.end
    }
}

/// Which models of `parts[index]` would be listed under an id that a part before
/// it has. Behind prefixes nothing can clash, so this costs nothing where every
/// provider has one.
pub(super) fn shadows(parts: &[Part], index: usize, bare: &[usize]) -> Option<Box<[bool]>> {
    let part = &parts[index];
    let entry = part.entry.as_ref()?;
    let prefix = part.prefix();
    let rivals: Vec<_> = match prefix {
        None => parts[..index].iter().collect(),
        Some(_) => {
            let before = bare.iter().take_while(|&&other| other < index);
            before.map(|&other| &parts[other]).collect()
        }
    };
    let mut any = false;
    let mut listed = String::new();
    let mut is_taken = |model: &Model| {
        let id = match prefix {
            None => model.id(),
            Some(prefix) => {
                listed.clear();
                listed.extend([prefix, "/", model.id()]);
                &listed
            }
        };
        let taken = rivals.iter().any(|rival| rival.lists(id));
        any |= taken;
        taken
    };
    if rivals.is_empty() {
        return None;
    }
    let hidden = entry.models().iter().map(&mut is_taken).collect();
    any.then_some(hidden)
}

impl Part {
    pub(super) fn prefix(&self) -> Option<&str> {
        match self.provider.options.listing {
            Listing::Prefixed => Some(self.provider.name()),
            Listing::Bare => None,
        }
    }

    /// Who owns the models whose owner is not known.
    pub(super) fn owner(&self) -> &str {
        let name = self.provider.options.display_name.as_deref();
        name.unwrap_or_else(|| self.provider.name())
    }

    /// How many models are listed, when `hidden` are not.
    pub(super) fn listed(&self, hidden: Option<&[bool]>) -> usize {
        let all = self.entry.as_ref().map_or(0, |entry| entry.models().len());
        let hidden = hidden.map_or(0, |hidden| hidden.iter().filter(|&&hidden| hidden).count());
        all - hidden
    }

    pub(super) fn lists(&self, listed_id: &str) -> bool {
        let id = match self.prefix() {
            None => Some(listed_id),
            Some(prefix) => listed_id
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/')),
        };
        let position = |entry: &Arc<Entry>| entry.position(id?);
        self.entry.as_ref().and_then(position).is_some()
    }
}

impl Section {
    pub(super) fn render(part: Part, hidden: Option<&[bool]>, body: &mut Vec<u8>) -> Self {
        let start = body.len();
        let models = part.entry.as_ref().map_or(&[][..], |entry| entry.models());
        let mut spans = Vec::with_capacity(models.len());
        let offset = |body: &Vec<u8>| {
            u32::try_from(body.len() - start).expect("bounds keep a provider's part under 4 GiB")
        };
        for (position, model) in models.iter().enumerate() {
            if hidden.is_some_and(|hidden| hidden[position]) {
                spans.push(Span { start: 0, end: 0 });
                continue;
            }
            if body.len() > start {
                body.push(b',');
            }
            let from = offset(body);
            openai::write_model(body, part.prefix(), part.owner(), model);
            spans.push(Span {
                start: from,
                end: offset(body),
            });
        }
        let rendered = &body[start..];
        let records = spans
            .iter()
            .map(|span| &rendered[span.start as usize..span.end as usize]);
        Self {
            tags: Tags::new(records),
            body: start..body.len(),
            shadowed: spans.iter().filter(|span| span.is_hidden()).count(),
            spans: spans.into(),
            part,
        }
    }

    /// The same section in the next snapshot: at the end of `body`, or where it
    /// was when the body is shared.
    pub(super) fn moved(&self, part: Part, last: &Snapshot, body: Option<&mut Vec<u8>>) -> Self {
        let at = match body {
            None => self.body.clone(),
            Some(body) => {
                let start = body.len();
                body.extend_from_slice(&last.document.body()[self.body.clone()]);
                start..body.len()
            }
        };
        Self {
            part,
            body: at,
            spans: Arc::clone(&self.spans),
            tags: self.tags.clone(),
            shadowed: self.shadowed,
        }
    }

    pub(super) fn renders_as(&self, part: &Part, hidden: Option<&[bool]>) -> bool {
        let same_entry = match (&self.part.entry, &part.entry) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let same_hidden = match hidden {
            None => self.shadowed == 0,
            Some(hidden) => {
                let ours = self.spans.iter().map(|span| span.is_hidden());
                ours.eq(hidden.iter().copied())
            }
        };
        same_entry
            && self.part.prefix() == part.prefix()
            && self.part.owner() == part.owner()
            && same_hidden
    }

    pub(super) fn listed(&self) -> usize {
        self.spans.len() - self.shadowed
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        let position = self.part.entry.as_ref()?.position(id)?;
        (!self.spans[position].is_hidden()).then_some(position)
    }

    pub(super) fn listed_model(&self, position: usize) -> ListedModel<'_> {
        let entry = self.part.entry.as_ref();
        ListedModel {
            provider: self.part.provider.name(),
            prefix: self.part.prefix(),
            model: &entry.expect("has spans only of an entry").models()[position],
        }
    }
}
