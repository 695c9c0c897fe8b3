//! Finds the record of the catalogue that describes a model.
//!
//! The catalogue's models have the ids `provider/id`, with its own ids of providers. Ids are
//! compared exactly: case is not folded, and dates are not removed.
//!
//! 1. The provider's record with the upstream id, or else with the listed id. This is the same
//!    offer, so prices are used.
//! 2. If there is none and the id is `vendor/rest`: the vendor's record of `rest`, or the
//!    provider's record of `rest`. This is the same model under different terms, so prices and
//!    deprecation are not used. If both exist and differ, neither is used.

use std::borrow::Cow;

use crate::{entry::Entry, model::Model};

/// Looks up a model of a provider. `provider` is its id in the catalogue.
pub(super) fn find<'a>(
    catalog: &'a Entry,
    provider: &str,
    model: &Model,
) -> Option<Cow<'a, Model>> {
    let lookup = |provider: &str, id: &str| {
        let position = catalog.position(&format!("{provider}/{id}"))?;
        Some(&catalog.models()[position])
    };
    let exact = lookup(provider, model.upstream_id()).or_else(|| lookup(provider, model.id()));
    if let Some(exact) = exact {
        return Some(Cow::Borrowed(exact));
    }
    let (vendor, rest) = model.id().split_once('/')?;
    let description = |model: &Model| {
        let mut description = Model::description();
        description.fill(model);
        description.without_terms()
    };
    let of_vendor = lookup(vendor, rest).map(description);
    let of_provider = lookup(provider, rest).map(description);
    let known = match (of_vendor, of_provider) {
        (Some(a), Some(b)) => (a == b).then_some(a)?,
        (a, b) => a.or(b)?,
    };
    Some(Cow::Owned(known))
}
