//! The models of a snapshot: which there are, which one a name stands for, and where its
//! bytes are.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{
    ListedModel, Part, Seat, Snapshot,
    names::{CLAUDE, shows_claude},
    section::Records,
};
use crate::{
    document::{Document, Tags},
    enrich::Described,
    render::{ClientDialect, ListedId, Record},
};

/// The bytes of one model inside the list, its validator, and the list.
pub(crate) struct Slice<'a> {
    pub(crate) body: Bytes,
    pub(crate) tags: &'a Tags,
    pub(crate) index: usize,
    pub(crate) document: &'a Document,
}

impl Snapshot {
    /// The model that this name leads to.
    pub(crate) fn find(&self, name: &str) -> Option<ListedModel<'_>> {
        let (seat, lead) = self.locate(name)?;
        let mut model = self.listed(seat);
        model.name.lead = lead;
        if model.name.order_to(name) != Ordering::Equal {
            // The one name that is in no list: one prefixed on conflict, without a conflict.
            model.name.prefix = Some(model.provider);
        }
        Some(model)
    }

    /// Where the model is that is listed under this id.
    pub(crate) fn seat(&self, listed_id: &str) -> Option<Seat> {
        self.locate(listed_id).map(|(seat, _)| seat)
    }

    /// The bytes of a model of the list of all, in this dialect. `None`: that list is not
    /// there yet.
    pub(crate) fn slice(&self, dialect: ClientDialect, seat: Seat) -> Option<Slice<'_>> {
        if dialect != ClientDialect::OpenAi {
            let face = self.faces.get(dialect)?;
            return face.slice(self, self.record(seat, dialect).id);
        }
        let (records, index) = self.openai_place(seat);
        Some(Slice {
            body: self.document.body().slice(records.range(index)),
            tags: &records.tags,
            index,
            document: &self.document,
        })
    }

    /// Where a model is, and what stands before its name that is in no list but
    /// Anthropic's.
    fn locate(&self, id: &str) -> Option<(Seat, &'static str)> {
        if let Some(seat) = self.locate_own(id) {
            return Some((seat, ""));
        }
        let naming = &self.settings.naming;
        let is_led = naming.claude && !naming.aliases.has(id);
        let seat = self.locate_own(id.strip_prefix(CLAUDE).filter(|_| is_led)?)?;
        (!shows_claude(self.listed(seat).name)).then_some((seat, CLAUDE))
    }

    /// Where the model is that has this very name.
    fn locate_own(&self, id: &str) -> Option<Seat> {
        match self.settings.naming.aliases.find(id) {
            // What the operator named so is meant, or nothing.
            Some(alias) => Some(self.aliases[alias as usize]?.as_alias(alias)),
            None => self.index.locate(&self.sections, id),
        }
    }

    /// A model as it is rendered in a dialect.
    pub(super) fn record(&self, seat: Seat, dialect: ClientDialect) -> Record<'_> {
        let ListedModel {
            name: mut id,
            model,
            ..
        } = self.listed(seat);
        if dialect == ClientDialect::Anthropic && self.leads_to(id) {
            id.lead = CLAUDE;
        }
        let owner = self.sections[seat.section()].part.owner();
        Record { id, owner, model }
    }

    /// Whether Anthropic's clients see another name in the place of this one.
    fn leads_to(&self, id: ListedId<'_>) -> bool {
        if !self.settings.naming.claude || shows_claude(id) {
            return false;
        }
        // A model that has that name goes before it.
        let other = ListedId { lead: CLAUDE, ..id }.to_string();
        self.settings.naming.aliases.find(&other).is_none()
            && self.index.locate(&self.sections, &other).is_none()
    }

    /// A model, and the name by which it was found.
    pub(crate) fn listed(&self, seat: Seat) -> ListedModel<'_> {
        let section = &self.sections[seat.section()];
        let model = &section.part.models()[seat.position()];
        let id = ListedId::new(section.prefix_of(seat.position()), model.id());
        let alias = |alias| ListedId::new(None, self.settings.naming.aliases.name(alias));
        ListedModel {
            id,
            name: seat.alias().map_or(id, alias),
            provider: section.part.provider.name(),
            model,
        }
    }

    /// The models in the order of the list, each under all of its names.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        let aliases = (0..).zip(&self.aliases);
        let aliases = aliases.filter_map(|(alias, seat)| Some((*seat)?.as_alias(alias)));
        let sections = self.sections.iter().enumerate();
        aliases.chain(sections.flat_map(|(index, section)| section.seats(index)))
    }

    fn openai_place(&self, seat: Seat) -> (&Records, usize) {
        match seat.alias() {
            Some(alias) => (&self.alias_records, alias as usize),
            None => (&self.sections[seat.section()].records, seat.position()),
        }
    }

    pub(super) fn openai_record(&self, seat: Seat) -> &[u8] {
        let (records, index) = self.openai_place(seat);
        &self.document.body()[records.range(index)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.seats().map(|seat| self.listed(seat))
    }

    /// How a provider's models are described, if anybody describes them.
    pub(crate) fn described(&self, provider: &str) -> Option<&Described> {
        let mut parts = self.parts();
        let part = parts.find(|part| part.provider.name() == provider)?;
        part.described.as_deref()
    }

    /// Every provider's part, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.sections.iter().map(|section| &section.part)
    }

    /// The models of a provider that are listed, those whose names others have, and
    /// those that are behind a prefix for that.
    pub(crate) fn counts(&self, provider: &str) -> Counts {
        let mut sections = self.sections.iter();
        let section = sections.find(|section| section.part.provider.name() == provider);
        section.map_or(Counts::default(), |section| Counts {
            listed: section.listed(),
            shadowed: section.shadowed,
            prefixed: section.prefixed(),
        })
    }

    /// Each alias, what it stands for, and whether that is listed.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let pairs = self.settings.naming.aliases.pairs().zip(&self.aliases);
        pairs.map(|((name, target), seat)| (name, target, seat.is_some()))
    }
}

/// How many models of a provider are named how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) listed: usize,
    pub(crate) shadowed: usize,
    pub(crate) prefixed: usize,
}
