//! The immutable whole: every provider's entry, in order, and the answers made of it.
//!
//! A snapshot is made at publication and never changes. What did not change since
//! the last one is taken over from it: a provider's part of the body is copied,
//! not rendered again, and a body in which no part changed is shared.

use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use hashbrown::HashMap;

use crate::{
    document::{Document, Settings, Tags},
    encoding::Coding,
    entry::Entry,
    model::Model,
    provider::{Listing, Provider},
    render::{ListedId, openai},
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
struct Section {
    part: Part,
    /// Where the part stands in the body.
    body: Range<usize>,
    /// Where each model of the entry stands in the part: nowhere (an empty span)
    /// when another provider lists its id.
    spans: Arc<[Span]>,
    tags: Tags,
    shadowed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn is_hidden(self) -> bool {
        self.start == self.end
    }
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    sections: Box<[Section]>,
    /// Sections that list their models behind a prefix, by that prefix.
    prefixed: HashMap<Arc<str>, usize>,
    /// Sections that do not, in order.
    bare: Box<[usize]>,
    models: usize,
    document: Document,
    pub(crate) standing: Standing,
}

/// How the providers stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Every first attempt is over.
    pub(crate) settled: bool,
    /// There is something to serve: a list of some provider, or no providers.
    pub(crate) listing: bool,
    /// No provider is missing.
    pub(crate) complete: bool,
}

impl Standing {
    fn of(sections: &[Section]) -> Self {
        let has_list = |section: &Section| section.part.entry.is_some();
        Self {
            settled: !sections
                .iter()
                .any(|section| section.part.health == Health::Pending),
            listing: sections.is_empty() || sections.iter().any(has_list),
            complete: sections.iter().all(has_list),
        }
    }
}

/// The bytes of one model inside the list, and its validator.
pub(crate) struct Slice {
    pub(crate) body: Bytes,
    pub(crate) tags: Tags,
    pub(crate) index: usize,
}

impl Snapshot {
    /// Makes the whole of `parts`, in their order, out of `last` where it can.
    pub(crate) fn assemble(parts: Vec<Part>, last: Option<&Self>, settings: &Settings) -> Self {
        let mut prefixed = HashMap::with_capacity(parts.len());
        let mut bare = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            match part.provider.options.listing {
                Listing::Prefixed => {
                    prefixed.insert(Arc::clone(part.provider.shared_name()), index);
                }
                Listing::Bare => bare.push(index),
            }
        }
        let mut shared = last.is_some_and(|last| last.sections.len() == parts.len());
        let mut plans = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let hidden = shadows(&parts, index, &bare);
            let section = last.and_then(|last| last.section_like(index, part, hidden.as_deref()));
            shared &= section.is_some_and(|(position, _)| position == index);
            plans.push((hidden, section.map(|(_, section)| section)));
        }

        let mut body = Vec::new();
        if !shared {
            body.reserve(last.map_or(64, |last| last.document.body().len() * 5 / 4));
            body.extend_from_slice(openai::ENVELOPE.0);
        }
        let mut sections = Vec::with_capacity(parts.len());
        for (part, (hidden, like)) in parts.into_iter().zip(plans) {
            let has_records = part.listed(hidden.as_deref()) > 0;
            if !shared && has_records && body.len() > openai::ENVELOPE.0.len() {
                body.push(b',');
            }
            sections.push(match (like, last) {
                (Some(section), Some(last)) => {
                    section.moved(part, last, (!shared).then_some(&mut body))
                }
                _ => Section::render(part, hidden.as_deref(), &mut body),
            });
        }
        let models = sections.iter().map(Section::listed).sum();
        let states = sections.iter().map(|section| &section.part);
        let document = match last {
            Some(last) if shared => last.document.with_health(states, settings),
            _ => {
                body.extend_from_slice(openai::ENVELOPE.1);
                body.shrink_to_fit();
                Document::new(body.into(), states, settings)
            }
        };
        Self {
            standing: Standing::of(&sections),
            sections: sections.into_boxed_slice(),
            prefixed,
            bare: bare.into_boxed_slice(),
            models,
            document,
        }
    }

    /// The same list, with variants under codings.
    pub(crate) fn with_encoded(&self, encoded: Vec<(Coding, Bytes)>, settings: &Settings) -> Self {
        let parts = self.sections.iter().map(|section| &section.part);
        Self {
            document: self.document.with_encoded(encoded, parts, settings),
            sections: self.sections.clone(),
            prefixed: self.prefixed.clone(),
            bare: self.bare.clone(),
            models: self.models,
            standing: self.standing,
        }
    }

    /// A section of ours that would be rendered the same for `part`.
    fn section_like(
        &self,
        index: usize,
        part: &Part,
        hidden: Option<&[bool]>,
    ) -> Option<(usize, &Section)> {
        let same = |section: &&Section| section.renders_as(part, hidden);
        // Most often nothing moved.
        if let Some(section) = self.sections.get(index).filter(same) {
            return Some((index, section));
        }
        let found = |(_, section): &(usize, &Section)| section.renders_as(part, hidden);
        self.sections.iter().enumerate().find(found)
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    /// The model that is listed under this id.
    pub(crate) fn find(&self, listed_id: &str) -> Option<ListedModel<'_>> {
        let (section, position) = self.locate(listed_id)?;
        Some(section.listed_model(position))
    }

    /// The bytes of the model that is listed under this id.
    pub(crate) fn slice(&self, listed_id: &str) -> Option<Slice> {
        let (section, position) = self.locate(listed_id)?;
        let span = section.spans[position];
        let at = section.body.start;
        Some(Slice {
            body: self
                .document
                .body()
                .slice(at + span.start as usize..at + span.end as usize),
            tags: section.tags.clone(),
            index: position,
        })
    }

    fn locate(&self, listed_id: &str) -> Option<(&Section, usize)> {
        // A provider's name holds no slash, so the first one ends the prefix.
        let slash = memchr::memchr(b'/', listed_id.as_bytes());
        let prefixed = slash.and_then(|slash| {
            let (prefix, id) = (&listed_id[..slash], &listed_id[slash + 1..]);
            let section = &self.sections[*self.prefixed.get(prefix)?];
            Some((section, section.position(id)?))
        });
        prefixed.or_else(|| {
            self.bare.iter().find_map(|&index| {
                let section = &self.sections[index];
                Some((section, section.position(listed_id)?))
            })
        })
    }

    fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.sections.iter().flat_map(|section| {
            (0..section.spans.len())
                .filter(|&position| !section.spans[position].is_hidden())
                .map(|position| section.listed_model(position))
        })
    }

    /// The models of a provider that are listed, and those whose ids another has.
    pub(crate) fn counts(&self, provider: &str) -> (usize, usize) {
        self.sections
            .iter()
            .find(|section| section.part.provider.name() == provider)
            .map_or((0, 0), |section| (section.listed(), section.shadowed))
    }
}

/// Which models of `parts[index]` would be listed under an id that a part before
/// it has. Behind prefixes nothing can clash, so this costs nothing where every
/// provider has one.
fn shadows(parts: &[Part], index: usize, bare: &[usize]) -> Option<Box<[bool]>> {
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
    fn prefix(&self) -> Option<&str> {
        match self.provider.options.listing {
            Listing::Prefixed => Some(self.provider.name()),
            Listing::Bare => None,
        }
    }

    /// Who owns the models whose owner is not known.
    fn owner(&self) -> &str {
        let name = self.provider.options.display_name.as_deref();
        name.unwrap_or_else(|| self.provider.name())
    }

    /// How many models are listed, when `hidden` are not.
    fn listed(&self, hidden: Option<&[bool]>) -> usize {
        let all = self.entry.as_ref().map_or(0, |entry| entry.models().len());
        let hidden = hidden.map_or(0, |hidden| hidden.iter().filter(|&&hidden| hidden).count());
        all - hidden
    }

    fn lists(&self, listed_id: &str) -> bool {
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
    fn render(part: Part, hidden: Option<&[bool]>, body: &mut Vec<u8>) -> Self {
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
    fn moved(&self, part: Part, last: &Snapshot, body: Option<&mut Vec<u8>>) -> Self {
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

    fn renders_as(&self, part: &Part, hidden: Option<&[bool]>) -> bool {
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

    fn listed(&self) -> usize {
        self.spans.len() - self.shadowed
    }

    fn position(&self, id: &str) -> Option<usize> {
        let position = self.part.entry.as_ref()?.position(id)?;
        (!self.spans[position].is_hidden()).then_some(position)
    }

    fn listed_model(&self, position: usize) -> ListedModel<'_> {
        let entry = self.part.entry.as_ref();
        ListedModel {
            provider: self.part.provider.name(),
            prefix: self.part.prefix(),
            model: &entry.expect("has spans only of an entry").models()[position],
        }
    }
}

// ===== ModelsSnapshot =====

/// The list as it stood at one moment: what was served then, and what it routes to.
///
/// A snapshot never changes; hold it for as long as one request needs a
/// consistent view, and not longer, for it keeps the memory of its list.
#[derive(Clone)]
pub struct ModelsSnapshot(pub(crate) Arc<Snapshot>);

impl ModelsSnapshot {
    /// All listed models, in the order of the list: by provider as declared, then by id.
    pub fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.0.iter()
    }

    /// The model that is listed under this id, and so where a request for it goes.
    ///
    /// The cost does not depend on the number of models.
    pub fn get(&self, listed_id: &str) -> Option<ListedModel<'_>> {
        self.0.find(listed_id)
    }

    /// How many models are listed.
    pub fn len(&self) -> usize {
        self.0.models
    }

    /// Whether no model is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The strong entity tag of the list, with its quotes (RFC 9110, section 8.8.3).
    ///
    /// Equal models have equal tags in every process.
    pub fn etag(&self) -> &str {
        self.0.document.etag()
    }

    /// The list as it is served: JSON in OpenAI's form. The bytes are shared, not copied.
    pub fn body(&self) -> Bytes {
        self.0.document.body().clone()
    }
}

impl fmt::Debug for ModelsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelsSnapshot")
            .field("models", &self.len())
            .field("etag", &self.etag())
            .finish()
    }
}

/// A model as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct ListedModel<'a> {
    provider: &'a str,
    prefix: Option<&'a str>,
    model: &'a Model,
}

impl<'a> ListedModel<'a> {
    /// The id under which clients find it.
    pub fn id(&self) -> Cow<'a, str> {
        let id = self.model.id();
        match self.prefix {
            Some(prefix) => Cow::Owned(
                ListedId {
                    prefix: Some(prefix),
                    id,
                }
                .to_string(),
            ),
            None => Cow::Borrowed(id),
        }
    }

    /// The name of the provider that has it.
    pub fn provider(&self) -> &'a str {
        self.provider
    }

    /// The id by which that provider knows it.
    pub fn upstream_id(&self) -> &'a str {
        self.model.id()
    }

    /// The model, as its provider describes it.
    pub fn model(&self) -> &'a Model {
        self.model
    }
}
