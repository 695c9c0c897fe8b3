//! One page of a list, and where the list goes on.

use std::borrow::Cow;

use super::{document::Record, fields::Fields};
use crate::model::{Flaws, Model, ModelList, RecordFlaw};

/// One page of a provider's list, as a dialect reads it.
///
/// Most providers answer with everything at once: a page without a next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub(crate) models: Vec<Model>,
    pub(crate) flaws: Flaws,
    /// Records read, those that were skipped included.
    pub(crate) records: usize,
    pub(crate) next: Option<Next>,
    /// What `Dialect::Auto` has found.
    pub(crate) found: Option<super::Dialect>,
}

/// Where a list goes on after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// At the same address, with these query parameters in the place of those of the
    /// same names. They are encoded on their way out.
    Query(Vec<(Cow<'static, str>, String)>),
    /// At this address, absolute or relative to that of the page. One at another origin
    /// is never asked, and the fetch fails.
    Link(String),
    /// Nobody can say: the page says that there is more, and not where. The fetch fails.
    Unknown,
}

impl Next {
    /// At the same address, with this query parameter.
    pub fn query(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self::Query(vec![(name.into(), value.into())])
    }

    /// On the page after this one, if there is more.
    pub(super) fn page_after(page: u64, more: Option<bool>) -> Option<Self> {
        let next = |page: u64| Self::query("page", page.to_string());
        more?.then(|| page.checked_add(1).map_or(Self::Unknown, next))
    }
}

impl Page {
    /// A page with these models, and no next one.
    pub fn new(models: impl IntoIterator<Item = Model>) -> Self {
        let models = Vec::from_iter(models);
        Self {
            records: models.len(),
            models,
            ..Self::default()
        }
    }

    /// Says that so many records of the page could not be read.
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.flaws = Flaws::skipping(records);
        self.records = self.models.len() + records;
        self
    }

    /// Sets where the list goes on.
    pub fn with_next(mut self, next: impl Into<Option<Next>>) -> Self {
        self.next = next.into();
        self
    }

    /// The models, in the order of the page.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// How many records could not be read.
    pub fn skipped(&self) -> usize {
        self.flaws.skipped()
    }

    /// Where the list goes on; `None`: it ends here.
    pub fn next(&self) -> Option<&Next> {
        self.next.as_ref()
    }

    /// The models alone.
    pub fn into_models(self) -> Vec<Model> {
        self.models
    }

    /// Reads each record for itself. One that cannot be read costs itself.
    pub(super) fn of_records<'a>(
        records: Vec<Record<'a>>,
        mut read: impl FnMut(&Fields<'a>) -> Result<Model, RecordFlaw>,
    ) -> Self {
        let mut page = Self {
            records: records.len(),
            ..Self::default()
        };
        for (index, record) in records.into_iter().enumerate() {
            match record.and_then(|fields| read(&fields)) {
                Ok(model) => page.models.push(model),
                Err(flaw) => page.flaws.add(flaw, index),
            }
        }
        page
    }
}

/// The pages of one list, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    models: Vec<Model>,
    flaws: Flaws,
    records: usize,
}

impl Pages {
    pub(crate) fn push(&mut self, page: Page) {
        self.flaws.append(&page.flaws, self.records);
        self.records += page.records;
        if self.models.is_empty() {
            self.models = page.models;
        } else {
            self.models.extend(page.models);
        }
    }

    pub(crate) fn models(&self) -> usize {
        self.models.len()
    }

    pub(crate) fn into_list(self) -> ModelList {
        ModelList::from(self.models).with_flaws(self.flaws)
    }
}
