//! The models of a snapshot: which there are, which one a name stands for, and where its
//! bytes are.

use std::cmp::Ordering;

use bytes::Bytes;

use super::{
    ListedModel, ModelIndex, ProviderListing, Snapshot,
    fragment::RecordTable,
    names::{CLAUDE, shows_claude},
};
use crate::{
    enrich::Described,
    render::{ClientDialect, ListedId, Record},
    variants::{RecordEtags, Variants},
};

/// The bytes of one model inside the list, its validator, and the list.
pub(crate) struct Slice<'a> {
    pub(crate) body: Bytes,
    pub(crate) tags: &'a RecordEtags,
    pub(crate) index: usize,
    pub(crate) variants: &'a Variants,
}

impl Snapshot {
    /// The model that this name leads to.
    pub(crate) fn find(&self, name: &str) -> Option<ListedModel<'_>> {
        let (model_index, lead) = self.locate(name)?;
        let mut model = self.listed(model_index);
        model.name.lead = lead;
        if model.name.order_to(name) != Ordering::Equal {
            // The one name that is in no list: one prefixed on conflict, without a conflict.
            model.name.prefix = Some(model.provider);
        }
        Some(model)
    }

    /// Where the model is that is listed under this id.
    pub(crate) fn model_index(&self, listed_id: &str) -> Option<ModelIndex> {
        self.locate(listed_id).map(|(model_index, _)| model_index)
    }

    /// The bytes of a model of the list of all, in this dialect. `None`: that list is not
    /// there yet.
    pub(crate) fn slice(
        &self,
        dialect: ClientDialect,
        model_index: ModelIndex,
    ) -> Option<Slice<'_>> {
        if dialect != ClientDialect::OpenAi {
            let representation = self.representations.get(dialect)?;
            return representation.slice(self, self.record(model_index, dialect).id);
        }
        let (records, index) = self.openai_position(model_index);
        Some(Slice {
            body: self.variants.body().slice(records.range(index)),
            tags: &records.tags,
            index,
            variants: &self.variants,
        })
    }

    /// Where a model is, and what stands before its name that is in no list but
    /// Anthropic's.
    fn locate(&self, id: &str) -> Option<(ModelIndex, &'static str)> {
        if let Some(model_index) = self.locate_own(id) {
            return Some((model_index, ""));
        }
        let naming = &self.settings.naming;
        let is_led = naming.claude && !naming.aliases.has(id);
        let model_index = self.locate_own(id.strip_prefix(CLAUDE).filter(|_| is_led)?)?;
        (!shows_claude(self.listed(model_index).name)).then_some((model_index, CLAUDE))
    }

    /// Where the model is that has this very name.
    fn locate_own(&self, id: &str) -> Option<ModelIndex> {
        match self.settings.naming.aliases.find(id) {
            // What the operator named so is meant, or nothing.
            Some(alias) => Some(self.aliases[alias as usize]?.as_alias(alias)),
            None => self.index.locate(&self.fragments, id),
        }
    }

    /// A model as it is rendered in a dialect.
    pub(super) fn record(&self, model_index: ModelIndex, dialect: ClientDialect) -> Record<'_> {
        let ListedModel {
            name: mut id,
            model,
            ..
        } = self.listed(model_index);
        if dialect == ClientDialect::Anthropic && self.leads_to(id) {
            id.lead = CLAUDE;
        }
        let owner = self.fragments[model_index.fragment()].listing.owner();
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
            && self.index.locate(&self.fragments, &other).is_none()
    }

    /// A model, and the name by which it was found.
    pub(crate) fn listed(&self, model_index: ModelIndex) -> ListedModel<'_> {
        let fragment = &self.fragments[model_index.fragment()];
        let model = &fragment.listing.models()[model_index.position()];
        let id = ListedId::new(fragment.prefix_of(model_index.position()), model.id());
        let alias = |alias| ListedId::new(None, self.settings.naming.aliases.name(alias));
        ListedModel {
            id,
            name: model_index.alias().map_or(id, alias),
            provider: fragment.listing.provider.name(),
            model,
        }
    }

    /// The models in the order of the list, each under all of its names.
    pub(super) fn model_indices(&self) -> impl Iterator<Item = ModelIndex> {
        let aliases = (0..).zip(&self.aliases);
        let aliases =
            aliases.filter_map(|(alias, model_index)| Some((*model_index)?.as_alias(alias)));
        let fragments = self.fragments.iter().enumerate();
        aliases.chain(fragments.flat_map(|(index, fragment)| fragment.model_indices(index)))
    }

    fn openai_position(&self, model_index: ModelIndex) -> (&RecordTable, usize) {
        match model_index.alias() {
            Some(alias) => (&self.alias_records, alias as usize),
            None => (
                &self.fragments[model_index.fragment()].records,
                model_index.position(),
            ),
        }
    }

    pub(super) fn openai_record(&self, model_index: ModelIndex) -> &[u8] {
        let (records, index) = self.openai_position(model_index);
        &self.variants.body()[records.range(index)]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
        self.model_indices()
            .map(|model_index| self.listed(model_index))
    }

    /// How a provider's models are described, if anybody describes them.
    pub(crate) fn described(&self, provider: &str) -> Option<&Described> {
        let mut listings = self.parts();
        let listing = listings.find(|listing| listing.provider.name() == provider)?;
        listing.described.as_deref()
    }

    /// Every provider's part, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &ProviderListing> {
        self.fragments.iter().map(|fragment| &fragment.listing)
    }

    /// The models of a provider that are listed, those whose names others have, and
    /// those that are behind a prefix for that.
    pub(crate) fn counts(&self, provider: &str) -> Counts {
        let mut fragments = self.fragments.iter();
        let fragment = fragments.find(|fragment| fragment.listing.provider.name() == provider);
        fragment.map_or(Counts::default(), |fragment| Counts {
            listed: fragment.listed(),
            shadowed: fragment.shadowed,
            prefixed: fragment.prefixed(),
        })
    }

    /// Each alias, what it stands for, and whether that is listed.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let pairs = self.settings.naming.aliases.pairs().zip(&self.aliases);
        pairs.map(|((name, target), model_index)| (name, target, model_index.is_some()))
    }
}

/// How many models of a provider are named how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) listed: usize,
    pub(crate) shadowed: usize,
    pub(crate) prefixed: usize,
}
