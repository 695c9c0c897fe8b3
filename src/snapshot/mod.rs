//! The immutable whole: every provider's entry, in order, and the answers made of it.
//!
//! A snapshot is made at publication and never changes, but that lists which nobody had
//! asked for are added to it when somebody does. What did not change since the last one is
//! taken over from it: a provider's part of the body is copied, not rendered again, and a
//! body in which no part changed is shared.

mod face;
mod listed;
mod names;
mod prepared;
mod section;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

pub(crate) use self::{
    face::Face,
    names::{Aliases, Naming, Seat},
    prepared::{Bounds as ViewBounds, Faces, Seen},
    section::{Health, Part},
    view::{Panicked, Policy, Sight},
};
pub use self::{
    listed::{ListedModel, ModelsSnapshot},
    view::View,
};
use self::{
    names::{CLAUDE, Index, plan, shows_claude},
    prepared::Views,
    section::{Plan, Records, Section},
    view::Members,
};
use crate::{
    document::{self, Document, Tags},
    encoding::Effort,
    enrich::Described,
    render::{self, ClientDialect, ListedId, Record, Style},
};

/// What the operator chose of the lists.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) document: document::Settings,
    pub(crate) naming: Naming,
    pub(crate) style: Style,
    pub(crate) views: ViewBounds,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    settings: Arc<Settings>,
    sections: Box<[Section]>,
    index: Index,
    /// The model that each alias stands for, where it is listed; and their records, which
    /// come first in the body.
    aliases: Box<[Option<Seat>]>,
    alias_records: Records,
    models: usize,
    /// The headers that every list has.
    heads: HeaderMap,
    /// The list of all models in OpenAI's form.
    document: Arc<Document>,
    /// The lists of all models in other forms.
    faces: Faces,
    views: Views,
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

/// The bytes of one model inside the list, its validator, and the list.
pub(crate) struct Slice<'a> {
    pub(crate) body: Bytes,
    pub(crate) tags: &'a Tags,
    pub(crate) index: usize,
    pub(crate) document: &'a Document,
}

impl Snapshot {
    /// Makes the whole of `parts`, in their order, out of `last` where it can.
    pub(crate) fn assemble(
        parts: Vec<Part>,
        last: Option<&Self>,
        settings: &Arc<Settings>,
    ) -> Self {
        let index = Index::of(&parts);
        let aliases = &settings.naming.aliases;
        let names: Vec<_> = (0..parts.len())
            .map(|part| plan(&parts, part, index.bare(), aliases))
            .collect();
        let plans = parts.into_iter().zip(names);
        let plans: Vec<_> = plans.map(|(part, names)| Plan { part, names }).collect();
        let heads = document::heads(plans.iter().map(|plan| &plan.part), &settings.document);

        let like: Vec<_> = (plans.iter().enumerate())
            .map(|(position, plan)| last.and_then(|last| last.section_like(position, plan)))
            .collect();
        let in_place = |(position, like): (usize, &Option<(usize, &Section)>)| {
            like.is_some_and(|(before, _)| before == position)
        };
        let same = |last: &&Self| last.sections.len() == plans.len();
        let shared = last
            .filter(same)
            .filter(|_| like.iter().enumerate().all(in_place));
        match shared {
            Some(last) => Self::share(last, plans, heads, settings),
            None => Self::render_all(plans, &like, last, index, heads, settings),
        }
    }

    /// The next snapshot, in which no list has changed.
    fn share(last: &Self, plans: Vec<Plan>, heads: HeaderMap, settings: &Arc<Settings>) -> Self {
        let sections = last.sections.iter().zip(plans);
        let sections = sections.map(|(section, plan)| section.moved(plan.part, last, None));
        let sections: Box<[_]> = sections.collect();
        let mut next = Self {
            settings: Arc::clone(settings),
            standing: Standing::of(&sections),
            sections,
            index: last.index.clone(),
            aliases: last.aliases.clone(),
            alias_records: last.alias_records.clone(),
            models: last.models,
            document: Arc::new(last.document.with_heads(&heads)),
            faces: last.faces.with_heads(&heads),
            views: Views::default(),
            heads,
        };
        next.views = last.views.carry_over(last, &next, true);
        next
    }

    fn render_all(
        plans: Vec<Plan>,
        like: &[Option<(usize, &Section)>],
        last: Option<&Self>,
        index: Index,
        heads: HeaderMap,
        settings: &Arc<Settings>,
    ) -> Self {
        let openai = ClientDialect::OpenAi;
        let naming = &settings.naming;
        let room = last.map_or(64, |last| last.document.body().len() * 5 / 4);
        let mut body = Vec::with_capacity(room);
        openai.open(&mut body, None);
        let begin = body.len();

        let aliases: Vec<_> = (naming.aliases.pairs())
            .map(|(_, target)| index.locate(&plans, target))
            .collect();
        let records = (0..)
            .zip(&aliases)
            .map(|(alias, seat): (u32, &Option<Seat>)| {
                let record = plans[(*seat)?.section()].record((*seat)?.position())?;
                let id = ListedId::new(None, naming.aliases.name(alias));
                Some(Record { id, ..record })
            });
        let records: Vec<_> = records.collect();
        let alias_records = Records::render(records.into_iter(), &settings.style, &mut body);

        let mut sections = Vec::with_capacity(plans.len());
        for (plan, like) in plans.into_iter().zip(like) {
            if plan.listed() > 0 && body.len() > begin {
                body.push(b',');
            }
            sections.push(match (like, last) {
                (Some((_, section)), Some(last)) => section.moved(plan.part, last, Some(&mut body)),
                _ => Section::render(plan, &settings.style, &mut body),
            });
        }
        body.extend_from_slice(openai.close());
        body.shrink_to_fit();
        let document = Document::new(
            openai,
            body.into(),
            Effort::Most,
            &heads,
            &settings.document,
        );

        let named = aliases.iter().flatten().count();
        let mut next = Self {
            settings: Arc::clone(settings),
            standing: Standing::of(&sections),
            models: named + sections.iter().map(Section::listed).sum::<usize>(),
            sections: sections.into(),
            index,
            aliases: aliases.into(),
            alias_records,
            heads,
            document: Arc::new(document),
            faces: Faces::default(),
            views: Views::default(),
        };
        if let Some(last) = last {
            next.faces = last.faces.map(|dialect, _| next.render(dialect, None));
            next.views = last.views.carry_over(last, &next, false);
        }
        next
    }

    /// A section of ours that would be rendered the same for a plan.
    fn section_like(&self, index: usize, plan: &Plan) -> Option<(usize, &Section)> {
        // Most often nothing moved.
        if let Some(section) = self
            .sections
            .get(index)
            .filter(|like| like.renders_as(plan))
        {
            return Some((index, section));
        }
        let found = |(_, section): &(usize, &Section)| section.renders_as(plan);
        self.sections.iter().enumerate().find(found)
    }

    // ----- lists -----

    /// The list of all models in OpenAI's form.
    pub(crate) fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// The tag of a list, if it is prepared.
    pub(crate) fn etag(&self, view: &View, dialect: ClientDialect) -> Option<HeaderValue> {
        let etag = |face: &Face| face.document().etag_value().clone();
        match &view.0 {
            Sight::All => self.faces.get(dialect).map(etag),
            Sight::Some(policy) => {
                let face = |seen: &Seen| seen.faces.get(dialect).map(etag);
                self.views.with(policy, face).flatten()
            }
            Sight::Denied(_) | Sight::Unknown => None,
        }
    }

    /// A model as Ollama's clients are shown it.
    pub(crate) fn show(&self, listed_id: &str) -> Option<Vec<u8>> {
        let (seat, _) = self.locate(listed_id)?;
        Some(render::show(&self.record(seat, ClientDialect::Ollama)))
    }

    /// Every list that there is, the one that is asked for most first.
    pub(crate) fn documents(&self) -> Vec<Arc<Document>> {
        let views = self.views.all();
        let of_views = views.iter().flat_map(|seen| seen.faces.all());
        let faces = self.faces.all().chain(of_views).map(Face::document);
        std::iter::once(&self.document)
            .chain(faces)
            .map(Arc::clone)
            .collect()
    }

    /// The lists of all models in other forms.
    pub(crate) fn faces(&self) -> &Faces {
        &self.faces
    }

    /// The views that were asked for.
    pub(crate) fn views(&self) -> &Views {
        &self.views
    }

    /// How many models are listed.
    pub(crate) fn models(&self) -> usize {
        self.models
    }

    /// How much memory the lists take.
    pub(crate) fn size(&self) -> usize {
        let (_, views) = self.views.size();
        self.document.size() + self.faces.size() + views
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn style(&self) -> &Style {
        &self.settings.style
    }

    /// The list in one form, for all or for some.
    fn render(&self, dialect: ClientDialect, members: Option<&Members>) -> Face {
        Face::render(self, dialect, members, &self.settings.document)
    }

    /// The list of all models in another form.
    pub(crate) fn render_for_all(&self, dialect: ClientDialect) -> Face {
        self.render(dialect, None)
    }

    /// The list of those models in one form that a policy allows.
    pub(crate) fn render_for(
        &self,
        dialect: ClientDialect,
        policy: &Policy,
        seen: &Seen,
    ) -> Result<Face, Panicked> {
        // Two dialects of one view may ask at the same time: both come to the same.
        let members = match seen.members.get() {
            Some(members) => members,
            None => {
                let _ = seen.members.set(Members::of(self, policy, None)?);
                seen.members.get().expect("was just set")
            }
        };
        Ok(self.render(dialect, Some(members)))
    }

    // ----- models -----

    /// The model that is listed under this id.
    pub(crate) fn find(&self, listed_id: &str) -> Option<ListedModel<'_>> {
        let (seat, lead) = self.locate(listed_id)?;
        let model = self.listed(seat);
        let id = ListedId { lead, ..model.id };
        Some(ListedModel { id, ..model })
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
        (!shows_claude(self.listed(seat).id)).then_some((seat, CLAUDE))
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
    fn record(&self, seat: Seat, dialect: ClientDialect) -> Record<'_> {
        let ListedModel { mut id, model, .. } = self.listed(seat);
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

    pub(crate) fn listed(&self, seat: Seat) -> ListedModel<'_> {
        let section = &self.sections[seat.section()];
        let model = &section.part.models()[seat.position()];
        let id = match seat.alias() {
            Some(alias) => ListedId::new(None, self.settings.naming.aliases.name(alias)),
            None => ListedId::new(section.prefix_of(seat.position()), model.id()),
        };
        ListedModel {
            id,
            provider: section.part.provider.name(),
            model,
        }
    }

    /// The models in the order of the list, each under all of its names.
    fn seats(&self) -> impl Iterator<Item = Seat> {
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

    fn openai_record(&self, seat: Seat) -> &[u8] {
        let (records, index) = self.openai_place(seat);
        &self.document.body()[records.range(index)]
    }

    fn iter(&self) -> impl Iterator<Item = ListedModel<'_>> {
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
