//! Facts of models beyond what their providers tell: from the operator, from code of the
//! user, and from a catalogue.
//!
//! Who is asked, and in which order, is decided here, once for a model and its provider's
//! list: never for a request.
//!
//! - Overrides of the operator go before the provider, later ones before earlier ones.
//! - The provider goes before all [enrichers](Enrich), and these before the catalogue.
//! - What nobody knows stays absent, and no id ever changes.

mod described;
mod matching;
mod overrides;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use self::described::Provenance;
pub(crate) use self::{
    described::Described,
    overrides::{ModelSelector, Override},
};
use crate::{
    entry::{Bounds, Entry, drop_bad_names},
    error::BuildError,
    model::{Flaws, Model},
    provider::Provider,
};

/// Knows facts of models that their providers do not tell.
///
/// An enricher only describes. The crate takes from its description what the provider is
/// silent about, and what an enricher that was added earlier does not know; the ids of a
/// description count for nothing.
///
/// It is asked at publication, off the request path: once for a model that is new or has
/// changed, and once for every model when its [generation](Self::generation), or what else
/// models are described by, has changed. It must not do I/O. Equal questions have equal
/// answers within a generation, or else replicas list different things.
///
/// When one panics, no enricher describes that model until it changes, or what it is
/// described by. That is logged, and counted in the provider's [status](crate::ProviderStatus::enrich_panics).
///
/// ```
/// use tower_models_cache::{Enrich, Model, Provider, StaticModelsCacheLayer};
///
/// struct Windows;
///
/// impl Enrich for Windows {
///     fn describe(&self, _provider: &str, model: &Model) -> Option<Model> {
///         let known = model.id().starts_with("llama-4");
///         known.then(|| Model::description().with_context_length(131_072))
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = StaticModelsCacheLayer::builder()
///     .provider(Provider::fixed("lab", [Model::new("llama-4-scout")]))
///     .enrich(Windows)
///     .build()?;
/// let snapshot = layer.cache().snapshot();
/// let model = snapshot.get("lab/llama-4-scout").ok_or("not listed")?;
/// assert_eq!(model.model().context_length(), Some(131_072));
/// # Ok(())
/// # }
/// ```
pub trait Enrich: Send + Sync + 'static {
    /// What is known of this model of this provider; `None`: nothing.
    ///
    /// The model is as the provider gave it. [`Model::description`] is where an answer
    /// begins.
    fn describe(&self, provider: &str, model: &Model) -> Option<Model>;

    /// Another number than before: descriptions may be others, and every model is asked
    /// for again with the next publication. [`ModelsCache::reenrich`] brings that about.
    ///
    /// [`ModelsCache::reenrich`]: crate::ModelsCache::reenrich
    fn generation(&self) -> u64 {
        0
    }
}

/// All by which models are described, but the catalogue.
#[derive(Clone, Default)]
pub(crate) struct Enrichment {
    pub(crate) enrichers: Vec<Arc<dyn Enrich>>,
    pub(crate) overrides: Vec<Override>,
}

/// By what models were described: as long as it is the same, so are their descriptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnrichmentVersion {
    generations: Arc<[u64]>,
    catalog: Option<Arc<Entry>>,
}

impl PartialEq for EnrichmentVersion {
    fn eq(&self, other: &Self) -> bool {
        let same_catalog = match (&self.catalog, &other.catalog) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_catalog && self.generations == other.generations
    }
}

impl Enrichment {
    /// The same, once nothing is found wrong with its overrides.
    pub(crate) fn checked(self) -> Result<Self, BuildError> {
        let overrides = self.overrides.into_iter().enumerate();
        let checked = |(index, over): (usize, Override)| {
            let within = |error: BuildError| error.within(format_args!("overrides[{index}]"));
            over.checked().map_err(within)
        };
        Ok(Self {
            overrides: overrides.map(checked).collect::<Result<_, _>>()?,
            ..self
        })
    }

    /// The same without the code of others.
    pub(crate) fn without_enrichers(&self) -> Self {
        Self {
            enrichers: Vec::new(),
            overrides: self.overrides.clone(),
        }
    }

    /// By what models are described at this moment; `None`: by nothing.
    pub(crate) fn version(&self, catalog: Option<Arc<Entry>>) -> Option<EnrichmentVersion> {
        if self.enrichers.is_empty() && self.overrides.is_empty() && catalog.is_none() {
            return None;
        }
        let generation = |enricher: &Arc<dyn Enrich>| {
            // One that panics here stays in its first generation.
            catch_unwind(AssertUnwindSafe(|| enricher.generation())).unwrap_or_default()
        };
        Some(EnrichmentVersion {
            generations: self.enrichers.iter().map(generation).collect(),
            catalog,
        })
    }

    /// A model with all that is known of it, and who knew something.
    fn describe(
        &self,
        provider: &Provider,
        model: &Model,
        version: &EnrichmentVersion,
    ) -> (Model, Provenance) {
        let mut described = model.clone();
        let mut provenance = Provenance::default();
        for enricher in &self.enrichers {
            let ask = || enricher.describe(provider.name(), model);
            match catch_unwind(AssertUnwindSafe(ask)) {
                Ok(Some(mut known)) => {
                    let longest = Bounds::default().id;
                    drop_bad_names(&mut known, longest, &mut Flaws::default());
                    described.fill(&known);
                }
                Ok(None) => {}
                Err(_) => provenance.panicked = true,
            }
        }
        if provenance.panicked {
            described = model.clone();
        }
        let known = version
            .catalog
            .as_ref()
            .zip(provider.called_in_catalog())
            .and_then(|(catalog, id)| matching::find(catalog, id, model));
        if let Some(known) = known {
            described.fill(&known);
            provenance.catalogued = true;
        }
        let mut matched = Vec::new();
        for (position, over) in (0..).zip(&self.overrides) {
            if over.is_for(provider.name(), model.id()) {
                described.replace(&over.facts);
                matched.push(position);
            }
        }
        provenance.overrides = matched.into();
        (described, provenance)
    }
}

impl fmt::Debug for Enrichment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrichment")
            .field("enrichers", &self.enrichers.len())
            .field("overrides", &self.overrides)
            .finish()
    }
}
