//! The immutable whole: every provider's entry, in order, and the answers made of it.
//!
//! A snapshot is made at publication and never changes, but that lists which nobody had
//! asked for are added to it when somebody does. What did not change since the last one is
//! taken over from it: a provider's part of the body is copied, not rendered again, and a
//! body in which no part changed is shared.

mod face;
mod listed;
mod models;
mod names;
mod prepared;
mod section;
mod view;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

pub(crate) use self::{
    face::Face,
    models::Slice,
    names::{Aliases, Naming, Seat},
    prepared::{Bounds as ViewBounds, Faces, Rendering, Seen},
    section::{Health, Part},
    view::{Panicked, Policy, Sight},
};
pub use self::{
    listed::{ListedModel, ModelsSnapshot},
    view::View,
};
use self::{
    names::{Index, plan},
    prepared::Views,
    section::{Plan, Records, Section},
    view::Members,
};
use crate::{
    document::{self, Document},
    encoding::Effort,
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
    /// Whether lists are still fetched.
    is_refreshed: bool,
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

impl Snapshot {
    /// Makes the whole of `parts`, in their order, out of `last` where it can.
    pub(crate) fn assemble(
        parts: Vec<Part>,
        last: Option<&Self>,
        settings: &Arc<Settings>,
        is_refreshed: bool,
        carries_views: bool,
    ) -> Self {
        let index = Index::of(&parts);
        let aliases = &settings.naming.aliases;
        let names: Vec<_> = (0..parts.len())
            .map(|part| plan(&parts, part, index.bare(), aliases))
            .collect();
        let plans = parts.into_iter().zip(names);
        let plans: Vec<_> = plans.map(|(part, names)| Plan { part, names }).collect();
        let parts = plans.iter().map(|plan| (&plan.part, true));
        let heads = document::heads(parts, &settings.document, is_refreshed);

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
        let mut next = match shared {
            Some(last) => Self::share(last, plans, heads, settings, is_refreshed),
            None => Self::render_all(plans, &like, last, index, heads, settings, is_refreshed),
        };
        if let Some(last) = last.filter(|_| carries_views) {
            next.views = last.views.carry_over(last, &next, shared.is_some());
        }
        next
    }

    /// The next snapshot, in which no list has changed.
    fn share(
        last: &Self,
        plans: Vec<Plan>,
        heads: HeaderMap,
        settings: &Arc<Settings>,
        is_refreshed: bool,
    ) -> Self {
        let sections = last.sections.iter().zip(plans);
        let sections = sections.map(|(section, plan)| section.moved(plan.part, last, None));
        let sections: Box<[_]> = sections.collect();
        Self {
            settings: Arc::clone(settings),
            standing: Standing::of(&sections),
            is_refreshed,
            sections,
            index: last.index.clone(),
            aliases: last.aliases.clone(),
            alias_records: last.alias_records.clone(),
            models: last.models,
            document: Arc::new(last.document.with_heads(&heads)),
            faces: last.faces.with_heads(&heads),
            views: Views::default(),
            heads,
        }
    }

    fn render_all(
        plans: Vec<Plan>,
        like: &[Option<(usize, &Section)>],
        last: Option<&Self>,
        index: Index,
        heads: HeaderMap,
        settings: &Arc<Settings>,
        is_refreshed: bool,
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
            is_refreshed,
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
            next.faces = last.faces.map(|dialect, _| next.render_for_all(dialect));
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

    /// A model as Ollama's clients are shown it.
    pub(crate) fn show(&self, seat: Seat) -> Vec<u8> {
        render::show(&self.record(seat, ClientDialect::Ollama))
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

    /// Takes over the variants that the last snapshot got while this one was made.
    pub(crate) fn take_encodings(&self, last: &Self) {
        if !self.document.lacks_encodings() && !self.faces.all().any(Face::lacks_encodings) {
            return;
        }
        let before = last.documents();
        for document in self.documents() {
            let same = |other: &&Arc<Document>| other.body().as_ptr() == document.body().as_ptr();
            if let Some(other) = before.iter().find(same) {
                document.take_encodings(other);
            }
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn style(&self) -> &Style {
        &self.settings.style
    }

    /// The headers of a view's lists. They name the providers of which it sees a model: of
    /// one that is missing it sees none.
    fn heads_for(&self, policy: &Policy, members: &Members) -> HeaderMap {
        let parts = self.parts().enumerate();
        let parts = parts.map(|(section, part)| (part, members.has_any_of(section)));
        // A view that allows nothing lacks nothing either.
        let parts = parts.filter(|_| !policy.is_empty);
        document::heads(parts, &self.settings.document, self.is_refreshed)
    }

    /// What the answer with one model says of itself to a view's caller.
    pub(crate) fn status_for(&self, seat: Seat) -> HeaderValue {
        match self.sections[seat.section()].stale {
            _ if !self.standing.complete => document::PARTIAL,
            Some(_) => document::STALE,
            None => document::HIT,
        }
    }

    /// Leaves, in the list's headers on one model, what a view's caller may know.
    pub(crate) fn tell_view(&self, seat: Seat, head: &mut HeaderMap) {
        let stale = self.sections[seat.section()].stale.as_ref();
        let named = stale.filter(|_| self.settings.document.name_providers);
        document::tell_of_one(head, self.status_for(seat), named);
    }

    /// The list in one form, for all or for some.
    fn render(&self, dialect: ClientDialect, members: Option<&Members>, heads: &HeaderMap) -> Face {
        Face::render(self, dialect, members, heads, &self.settings.document)
    }

    /// The list of all models in another form.
    pub(crate) fn render_for_all(&self, dialect: ClientDialect) -> Face {
        self.render(dialect, None, &self.heads)
    }

    /// The list of those models in one form that a policy allows.
    pub(crate) fn render_for(
        &self,
        dialect: ClientDialect,
        policy: &Policy,
        seen: &Seen,
    ) -> Result<Face, Panicked> {
        // Two dialects of one view may be rendered at the same time: both come to the same.
        let members = match seen.members.get() {
            Some(members) => members,
            None => {
                let members = Members::of(self, policy, None)?;
                seen.members.get_or_init(|| members)
            }
        };
        Ok(self.render(dialect, Some(members), &self.heads_for(policy, members)))
    }
}
