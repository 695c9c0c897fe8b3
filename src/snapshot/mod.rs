//! `Snapshot`: the models of all providers, and the representations rendered from them.
//!
//! Invariants:
//!
//! - A snapshot never changes after its publication, with two exceptions that only add to
//!   it: lists that are rendered on first request ([`prepared`]), and encoded variants.
//! - A snapshot reuses what has not changed since the last one: the records of an unchanged
//!   provider are copied, not rendered again, and a body in which nothing changed is
//!   shared.

mod fragment;
mod listed;
mod models;
mod names;
mod prepared;
mod representation;
mod view;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use self::{
    fragment::{Fragment, FragmentBuilder, RecordTable},
    names::{NameIndex, resolve_names},
    prepared::Views,
    view::ViewMembers,
};
pub(crate) use self::{
    fragment::{Health, ProviderListing},
    models::Slice,
    names::{Aliases, ModelIndex, Naming},
    prepared::{PreparedView, Rendering, Representations, ViewBounds},
    representation::Representation,
    view::{Panicked, ViewPredicate, Visibility},
};
pub use self::{
    listed::{ListedModel, ModelsSnapshot},
    view::View,
};
use crate::{
    encoding::CompressionLevel,
    render::{self, ClientDialect, CodexOptions, ListedId, Record},
    variants::{self, Variants},
};

/// The operator's settings for the lists.
#[derive(Clone, Debug)]
pub(crate) struct ListingSettings {
    pub(crate) variants: variants::HeaderSettings,
    pub(crate) naming: Naming,
    pub(crate) codex_options: CodexOptions,
    pub(crate) views: ViewBounds,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    settings: Arc<ListingSettings>,
    fragments: Box<[Fragment]>,
    index: NameIndex,
    /// The target of each alias, if it is listed, and the aliases' records, which come
    /// first in the body.
    aliases: Box<[Option<ModelIndex>]>,
    alias_records: RecordTable,
    models: usize,
    /// The headers that all lists have in common.
    common_headers: HeaderMap,
    /// The list of all models in OpenAI's dialect.
    variants: Arc<Variants>,
    /// The lists of all models in the other dialects.
    representations: Representations,
    views: Views,
    pub(crate) availability: Availability,
    /// Whether lists are still fetched.
    is_refreshed: bool,
}

/// The state of all providers taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Availability {
    /// All first attempts have ended.
    pub(crate) settled: bool,
    /// There is something to serve: at least one provider's list, or no providers at all.
    pub(crate) listing: bool,
    /// No provider is missing.
    pub(crate) complete: bool,
}

impl Availability {
    fn of(fragments: &[Fragment]) -> Self {
        let has_list = |fragment: &Fragment| fragment.listing.entry.is_some();
        Self {
            settled: !fragments
                .iter()
                .any(|fragment| fragment.listing.health == Health::Pending),
            listing: fragments.is_empty() || fragments.iter().any(has_list),
            complete: fragments.iter().all(has_list),
        }
    }
}

impl Snapshot {
    /// Assembles a snapshot from listings in declaration order, and reuses parts of `last`.
    pub(crate) fn assemble(
        listings: Vec<ProviderListing>,
        last: Option<&Self>,
        settings: &Arc<ListingSettings>,
        is_refreshed: bool,
        carries_views: bool,
    ) -> Self {
        let index = NameIndex::of(&listings);
        let aliases = &settings.naming.aliases;
        let names: Vec<_> = (0..listings.len())
            .map(|position| resolve_names(&listings, position, index.bare(), aliases))
            .collect();
        let builders = listings.into_iter().zip(names);
        let builders: Vec<_> = builders
            .map(|(listing, names)| FragmentBuilder { listing, names })
            .collect();
        let listings = builders.iter().map(|builder| (&builder.listing, true));
        let common_headers = variants::common_headers(listings, &settings.variants, is_refreshed);

        let reused: Vec<_> = (builders.iter().enumerate())
            .map(|(position, builder)| {
                last.and_then(|last| last.reusable_fragment(position, builder))
            })
            .collect();
        let in_place = |(position, reused): (usize, &Option<(usize, &Fragment)>)| {
            reused.is_some_and(|(before, _)| before == position)
        };
        let same = |last: &&Self| last.fragments.len() == builders.len();
        // If every fragment is reused at its index, the whole body can be shared.
        let shared = last
            .filter(same)
            .filter(|_| reused.iter().enumerate().all(in_place));
        let mut next = match shared {
            Some(last) => Self::share(last, builders, common_headers, settings, is_refreshed),
            None => Self::render_all(
                builders,
                &reused,
                last,
                index,
                common_headers,
                settings,
                is_refreshed,
            ),
        };
        if let Some(last) = last.filter(|_| carries_views) {
            next.views = last.views.carry_over(last, &next, shared.is_some());
        }
        next
    }

    /// The next snapshot if no list has changed: shares the bodies, with new headers.
    fn share(
        last: &Self,
        builders: Vec<FragmentBuilder>,
        common_headers: HeaderMap,
        settings: &Arc<ListingSettings>,
        is_refreshed: bool,
    ) -> Self {
        let fragments = last.fragments.iter().zip(builders);
        let fragments =
            fragments.map(|(fragment, builder)| fragment.reused(builder.listing, last, None));
        let fragments: Box<[_]> = fragments.collect();
        Self {
            settings: Arc::clone(settings),
            availability: Availability::of(&fragments),
            is_refreshed,
            fragments,
            index: last.index.clone(),
            aliases: last.aliases.clone(),
            alias_records: last.alias_records.clone(),
            models: last.models,
            variants: Arc::new(last.variants.with_common_headers(&common_headers)),
            representations: last.representations.with_common_headers(&common_headers),
            views: Views::default(),
            common_headers,
        }
    }

    fn render_all(
        builders: Vec<FragmentBuilder>,
        reused: &[Option<(usize, &Fragment)>],
        last: Option<&Self>,
        index: NameIndex,
        common_headers: HeaderMap,
        settings: &Arc<ListingSettings>,
        is_refreshed: bool,
    ) -> Self {
        let openai = ClientDialect::OpenAi;
        let naming = &settings.naming;
        let room = last.map_or(64, |last| last.variants.body().len() * 5 / 4);
        let mut body = Vec::with_capacity(room);
        openai.open(&mut body, None);
        let records_start = body.len();

        let aliases: Vec<_> = (naming.aliases.pairs())
            .map(|(_, target)| index.locate(&builders, target))
            .collect();
        let records =
            (0..)
                .zip(&aliases)
                .map(|(alias, model_index): (u32, &Option<ModelIndex>)| {
                    let record =
                        builders[(*model_index)?.fragment()].record((*model_index)?.position())?;
                    let id = ListedId::new(None, naming.aliases.name(alias));
                    Some(Record { id, ..record })
                });
        let records: Vec<_> = records.collect();
        let alias_records =
            RecordTable::render(records.into_iter(), &settings.codex_options, &mut body);

        let mut fragments = Vec::with_capacity(builders.len());
        for (builder, reused) in builders.into_iter().zip(reused) {
            if builder.listed() > 0 && body.len() > records_start {
                body.push(b',');
            }
            fragments.push(match (reused, last) {
                (Some((_, fragment)), Some(last)) => {
                    fragment.reused(builder.listing, last, Some(&mut body))
                }
                _ => Fragment::render(builder, &settings.codex_options, &mut body),
            });
        }
        body.extend_from_slice(openai.close());
        body.shrink_to_fit();
        let variants = Variants::new(
            openai,
            body.into(),
            CompressionLevel::Best,
            &common_headers,
            &settings.variants,
        );

        let named = aliases.iter().flatten().count();
        let mut next = Self {
            settings: Arc::clone(settings),
            availability: Availability::of(&fragments),
            is_refreshed,
            models: named + fragments.iter().map(Fragment::listed).sum::<usize>(),
            fragments: fragments.into(),
            index,
            aliases: aliases.into(),
            alias_records,
            common_headers,
            variants: Arc::new(variants),
            representations: Representations::default(),
            views: Views::default(),
        };
        if let Some(last) = last {
            next.representations = last
                .representations
                .map(|dialect, _| next.render_for_all(dialect));
        }
        next
    }

    /// A fragment of this snapshot that can be reused instead of rendering `builder`.
    fn reusable_fragment(
        &self,
        index: usize,
        builder: &FragmentBuilder,
    ) -> Option<(usize, &Fragment)> {
        // Most fragments stay at their index.
        if let Some(fragment) = self
            .fragments
            .get(index)
            .filter(|reused| reused.renders_as(builder))
        {
            return Some((index, fragment));
        }
        let found = |(_, fragment): &(usize, &Fragment)| fragment.renders_as(builder);
        self.fragments.iter().enumerate().find(found)
    }

    // ----- lists -----

    /// The list of all models in OpenAI's dialect.
    pub(crate) fn variants(&self) -> &Arc<Variants> {
        &self.variants
    }

    /// The body of Ollama's `POST /api/show` for a model.
    pub(crate) fn show(&self, model_index: ModelIndex) -> Vec<u8> {
        render::show(&self.record(model_index, ClientDialect::Ollama))
    }

    /// Every rendered list, the most requested one first.
    pub(crate) fn all_variants(&self) -> Vec<Arc<Variants>> {
        let views = self.views.all();
        let of_views = views
            .iter()
            .flat_map(|prepared_view| prepared_view.representations.all());
        let representations = self
            .representations
            .all()
            .chain(of_views)
            .map(Representation::variants);
        std::iter::once(&self.variants)
            .chain(representations)
            .map(Arc::clone)
            .collect()
    }

    /// The lists of all models in the other dialects.
    pub(crate) fn representations(&self) -> &Representations {
        &self.representations
    }

    /// The prepared views.
    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    /// The number of listed names.
    pub(crate) fn models(&self) -> usize {
        self.models
    }

    /// The bytes of memory that the lists take.
    pub(crate) fn size(&self) -> usize {
        let (_, views) = self.views.size();
        self.variants.size() + self.representations.size() + views
    }

    /// Takes over variants that were added to the last snapshot while this one was
    /// assembled.
    pub(crate) fn take_encodings(&self, last: &Self) {
        if !self.variants.lacks_encodings()
            && !self
                .representations
                .all()
                .any(Representation::lacks_encodings)
        {
            return;
        }
        let before = last.all_variants();
        for variants in self.all_variants() {
            let same = |other: &&Arc<Variants>| other.body().as_ptr() == variants.body().as_ptr();
            if let Some(other) = before.iter().find(same) {
                variants.take_encodings(other);
            }
        }
    }

    pub(crate) fn settings(&self) -> &ListingSettings {
        &self.settings
    }

    fn codex_options(&self) -> &CodexOptions {
        &self.settings.codex_options
    }

    /// The common headers of a view's lists. They name only providers of which the view
    /// sees a model, so never a missing one.
    fn headers_for(&self, predicate: &ViewPredicate, members: &ViewMembers) -> HeaderMap {
        let listings = self.parts().enumerate();
        let listings = listings.map(|(fragment, listing)| (listing, members.has_any_of(fragment)));
        // For a view that is always empty, no provider is missing.
        let listings = listings.filter(|_| !predicate.is_empty);
        variants::common_headers(listings, &self.settings.variants, self.is_refreshed)
    }

    /// The `Cache-Status` of a response with one model to a caller with a view.
    pub(crate) fn status_for(&self, model_index: ModelIndex) -> HeaderValue {
        match self.fragments[model_index.fragment()].stale {
            _ if !self.is_refreshed => variants::HIT_STOPPED,
            _ if !self.availability.complete => variants::PARTIAL,
            Some(_) => variants::STALE,
            None => variants::HIT,
        }
    }

    /// Removes from the headers of one model what a caller with a view must not see.
    pub(crate) fn tell_view(&self, model_index: ModelIndex, head: &mut HeaderMap) {
        let stale = self.fragments[model_index.fragment()].stale.as_ref();
        let named = stale.filter(|_| self.settings.variants.expose_incomplete);
        variants::restrict_to_provider(head, self.status_for(model_index), named);
    }

    /// Renders the list in one dialect, for all callers or for one view.
    fn render(
        &self,
        dialect: ClientDialect,
        members: Option<&ViewMembers>,
        common_headers: &HeaderMap,
    ) -> Representation {
        Representation::render(
            self,
            dialect,
            members,
            common_headers,
            &self.settings.variants,
        )
    }

    /// Renders the list of all models in a dialect.
    pub(crate) fn render_for_all(&self, dialect: ClientDialect) -> Representation {
        self.render(dialect, None, &self.common_headers)
    }

    /// Renders the list of the models that a view allows, in a dialect.
    pub(crate) fn render_for(
        &self,
        dialect: ClientDialect,
        predicate: &ViewPredicate,
        prepared_view: &PreparedView,
    ) -> Result<Representation, Panicked> {
        // Two dialects of one view may be rendered concurrently: both get the same result.
        let members = match prepared_view.members.get() {
            Some(members) => members,
            None => {
                let members = ViewMembers::of(self, predicate, None)?;
                prepared_view.members.get_or_init(|| members)
            }
        };
        Ok(self.render(
            dialect,
            Some(members),
            &self.headers_for(predicate, members),
        ))
    }
}
