//! Adds descriptions to the listings of the next snapshot.

use std::sync::Arc;

use super::publish::Mode;
use crate::{
    enrich::{Described, Enrichment, EnrichmentVersion},
    entry::Entry,
    snapshot::{ProviderListing, Snapshot},
};

/// Describes the models of all listings, and reuses the descriptions of `last` where
/// nothing has changed. In `Mode::Essential` no enricher runs: models without an earlier
/// description stay as their provider describes them.
pub(super) fn describe(
    mut listings: Vec<ProviderListing>,
    last: Option<&Snapshot>,
    enrichment: &Enrichment,
    catalog: Option<Arc<Entry>>,
    mode: Mode,
) -> Vec<ProviderListing> {
    let essential;
    let (enrichment, keeps_last) = match mode {
        Mode::Full => (enrichment, false),
        Mode::Essential => {
            essential = enrichment.without_enrichers();
            (&essential, true)
        }
    };
    let version = match enrichment.version(catalog) {
        Some(version) => version,
        // The descriptions there are stay, although nothing describes more models now.
        None if keeps_last => EnrichmentVersion::default(),
        None => return listings,
    };
    for listing in &mut listings {
        let Some(entry) = &listing.entry else {
            continue;
        };
        let name = listing.provider.name();
        let before =
            last.and_then(|last| last.parts().find(|listing| listing.provider.name() == name));
        let before = before.and_then(|listing| listing.described.as_ref());
        if let Some(before) = before.filter(|before| keeps_last && before.is_of(entry)) {
            listing.described = Some(Arc::clone(before));
            continue;
        }
        if before.is_none() && enrichment.is_empty() && keeps_last {
            continue;
        }
        let (provider, keep) = (&listing.provider, keeps_last);
        let described = Described::new(entry, provider, enrichment, &version, before, keep);
        listing.described = Some(described);
    }
    listings
}
