//! The immutable whole: every provider's entry, in order, and the answers made of it.
//!
//! A snapshot is made at publication and never changes. What did not change since
//! the last one is taken over from it: a provider's part of the body is copied,
//! not rendered again, and a body in which no part changed is shared.

mod listed;
mod section;

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

pub use self::listed::{ListedModel, ModelsSnapshot};
pub(crate) use self::section::{Health, Part};
use self::section::{Section, shadows};
use crate::{
    document::{Document, Settings, Tags},
    encoding::Coding,
    provider::Listing,
    render::openai,
};

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
