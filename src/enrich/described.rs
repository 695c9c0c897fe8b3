//! A provider's models as they are described, made out of the last descriptions where
//! these still hold.

use std::sync::Arc;

use super::{Enrichment, EnrichmentVersion};
use crate::{entry::Entry, model::Model, provider::Provider};

/// The models of one entry, described.
#[derive(Debug)]
pub(crate) struct Described {
    entry: Arc<Entry>,
    version: EnrichmentVersion,
    catalog_id: Option<Arc<str>>,
    /// `None`: nobody knew anything of any of them.
    models: Option<Arc<[Model]>>,
    provenance: Box<[Provenance]>,
}

/// Who had to do with one model.
#[derive(Clone, Debug, Default)]
pub(super) struct Provenance {
    pub(super) catalogued: bool,
    pub(super) panicked: bool,
    /// Which overrides matched it, by their positions.
    pub(super) overrides: Box<[u32]>,
}

impl Described {
    /// Describes the models of an entry. Asks of those alone that `last` does not hold.
    pub(crate) fn new(
        entry: &Arc<Entry>,
        provider: &Provider,
        enrichment: &Enrichment,
        version: &EnrichmentVersion,
        last: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let catalog_id = provider.called_in_catalog().cloned();
        let holds = |last: &&Arc<Self>| last.version == *version && last.catalog_id == catalog_id;
        let same_entry = last.filter(|last| Arc::ptr_eq(&last.entry, entry));
        if let Some(last) = same_entry.filter(holds) {
            return Arc::clone(last);
        }
        let kept = last.filter(holds);
        let describe = |model: &Model| {
            let kept = kept.and_then(|last| last.find(model));
            kept.unwrap_or_else(|| enrichment.describe(provider, model, version))
        };
        let (models, provenance): (Vec<_>, Vec<_>) = entry.models().iter().map(describe).unzip();
        let models = (models != entry.models()).then(|| Arc::from(models));
        let before = same_entry.map(|last| &last.models);
        let models = match before {
            // The very same ones: what was rendered of them still holds.
            Some(before) if *before == models => before.clone(),
            _ => models,
        };
        let described = Self {
            entry: Arc::clone(entry),
            version: version.clone(),
            catalog_id,
            models,
            provenance: provenance.into(),
        };
        described.tell(provider);
        Arc::new(described)
    }

    /// What was made of the same model before.
    fn find(&self, model: &Model) -> Option<(Model, Provenance)> {
        let position = self.entry.position(model.id())?;
        let same = self.entry.models()[position] == *model;
        same.then(|| {
            (
                self.models()[position].clone(),
                self.provenance[position].clone(),
            )
        })
    }

    fn tell(&self, provider: &Provider) {
        let panics = self.panics();
        if panics > 0 {
            tracing::warn!(
                provider = provider.name(),
                models = panics,
                "an enricher panicked, and the models stay as their provider gave them"
            );
        }
    }

    /// Whether it describes the models of this very entry.
    pub(crate) fn is_of(&self, entry: &Arc<Entry>) -> bool {
        Arc::ptr_eq(&self.entry, entry)
    }

    /// The models, in the order of the entry.
    pub(crate) fn models(&self) -> &[Model] {
        match &self.models {
            Some(models) => models,
            None => self.entry.models(),
        }
    }

    /// Whether both are the same models of the same entry.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_models = match (&self.models, &other.models) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_models && Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// Of how many models the catalogue knew something.
    pub(crate) fn catalogued(&self) -> usize {
        self.provenance
            .iter()
            .filter(|provenance| provenance.catalogued)
            .count()
    }

    /// Which overrides matched: a position for each model that one of them matched.
    pub(crate) fn overridden(&self) -> impl Iterator<Item = u32> {
        self.provenance
            .iter()
            .flat_map(|provenance| provenance.overrides.iter().copied())
    }

    /// At how many models an enricher panicked.
    pub(crate) fn panics(&self) -> usize {
        self.provenance
            .iter()
            .filter(|provenance| provenance.panicked)
            .count()
    }
}
