//! Lookups in a snapshot: from a name to a model, and from a model to its bytes.

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

/// The bytes of one model in a list, and what its headers are made from.
pub(crate) struct Slice<'a> {
    pub(crate) body: Bytes,
    pub(crate) tags: &'a RecordEtags,
    pub(crate) index: usize,
    pub(crate) variants: &'a Variants,
}

impl Snapshot {
    /// Finds a model by any of its names.
    pub(crate) fn find(&self, name: &str) -> Option<ListedModel<'_>> {
        let (model_index, lead) = self.locate(name)?;
        let mut model = self.listed(model_index);
        model.name.lead = lead;
        if model.name.order_to(name) != Ordering::Equal {
            // The only name that is not listed: with the prefix of a provider that is
            // prefixed on conflict, without a conflict.
            model.name.prefix = Some(model.provider);
        }
        Some(model)
    }

    /// Finds the index of a model by its listed id.
    pub(crate) fn model_index(&self, listed_id: &str) -> Option<ModelIndex> {
        self.locate(listed_id).map(|(model_index, _)| model_index)
    }

    /// The bytes of a model in the list of all models, in this dialect. `None` if that list
    /// is not rendered yet.
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

    /// The index of a model, and the prefix `claude-` if it was found by a name that only
    /// Anthropic's clients see.
    fn locate(&self, id: &str) -> Option<(ModelIndex, &'static str)> {
        if let Some(model_index) = self.locate_own(id) {
            return Some((model_index, ""));
        }
        let naming = &self.settings.naming;
        let is_led = naming.claude && !naming.aliases.has(id);
        let model_index = self.locate_own(id.strip_prefix(CLAUDE).filter(|_| is_led)?)?;
        (!shows_claude(self.listed(model_index).name)).then_some((model_index, CLAUDE))
    }

    /// The index of the model with exactly this name.
    fn locate_own(&self, id: &str) -> Option<ModelIndex> {
        match self.settings.naming.aliases.find(id) {
            // An alias takes precedence, even if its target is missing.
            Some(alias) => Some(self.aliases[alias as usize]?.as_alias(alias)),
            None => self.index.locate(&self.fragments, id),
        }
    }

    /// A model as a record of a dialect.
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

    /// Whether Anthropic's clients see this name with the prefix `claude-`.
    fn leads_to(&self, id: ListedId<'_>) -> bool {
        if !self.settings.naming.claude || shows_claude(id) {
            return false;
        }
        // A model or alias that already has the prefixed name takes precedence.
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

    /// The indices of all listed names, in the order of the list.
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

    /// The descriptions of a provider's models, if any enrichment is configured.
    pub(crate) fn described(&self, provider: &str) -> Option<&Described> {
        let mut listings = self.parts();
        let listing = listings.find(|listing| listing.provider.name() == provider)?;
        listing.described.as_deref()
    }

    /// The listings of all providers, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &ProviderListing> {
        self.fragments.iter().map(|fragment| &fragment.listing)
    }

    /// How many models of a provider are listed, shadowed, and prefixed because of a
    /// conflict.
    pub(crate) fn counts(&self, provider: &str) -> Counts {
        let mut fragments = self.fragments.iter();
        let fragment = fragments.find(|fragment| fragment.listing.provider.name() == provider);
        fragment.map_or(Counts::default(), |fragment| Counts {
            listed: fragment.listed(),
            shadowed: fragment.shadowed,
            prefixed: fragment.prefixed(),
        })
    }

    /// Each alias, its target, and whether the target is listed.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let pairs = self.settings.naming.aliases.pairs().zip(&self.aliases);
        pairs.map(|((name, target), model_index)| (name, target, model_index.is_some()))
    }
}

/// How many models of a provider are named in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) listed: usize,
    pub(crate) shadowed: usize,
    pub(crate) prefixed: usize,
}
