//! The model list of a provider, and the flaws of its records.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Model;

/// All models of one provider: the response of a [source](crate::provider::Source).
///
/// Order does not matter, and duplicates are allowed: the cache sorts by id, and keeps the
/// record with the most properties of those with one id.
///
/// ```
/// use tower_models_cache::{Model, model::ModelList};
///
/// let list: ModelList = ["small", "large"].map(Model::new).into_iter().collect();
/// assert_eq!(list.models().len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelList {
    models: Vec<Model>,
    flaws: Flaws,
    declared: bool,
    dialect: Option<&'static str>,
}

impl ModelList {
    /// Returns the models, in the order of the provider's response.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Sets the number of records in the provider's response that could not be read. It is
    /// added to the provider's [status](crate::status::ProviderStatus::skipped).
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.flaws = Flaws::skipping(records);
        self
    }

    /// Returns the number of records in the provider's response that could not be read.
    pub fn skipped(&self) -> usize {
        self.flaws.skipped()
    }

    pub(crate) fn with_flaws(mut self, flaws: Flaws) -> Self {
        self.flaws = flaws;
        self
    }

    /// Sets the dialect that the list was in.
    pub(crate) fn with_dialect(mut self, dialect: &'static str) -> Self {
        self.dialect = Some(dialect);
        self
    }

    pub(crate) fn dialect(&self) -> Option<&'static str> {
        self.dialect
    }

    /// Marks the list as declared in the configuration, and not fetched.
    pub(crate) fn into_declared(mut self) -> Self {
        self.declared = true;
        self
    }

    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    pub(crate) fn into_parts(self) -> (Vec<Model>, Flaws) {
        (self.models, self.flaws)
    }
}

impl From<Vec<Model>> for ModelList {
    fn from(models: Vec<Model>) -> Self {
        Self {
            models,
            ..Self::default()
        }
    }
}

impl FromIterator<Model> for ModelList {
    fn from_iter<I: IntoIterator<Item = Model>>(models: I) -> Self {
        Vec::from_iter(models).into()
    }
}

// ===== Flaws =====

/// A flaw of one record of a list. Because of it the record is skipped, or a field is dropped.
/// It never affects the rest of the list.
///
/// Serialised as its [name](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordFlaw {
    /// The record is not valid in its dialect. It is skipped.
    Unreadable,
    /// The record has no id, or its id is not a string. It is skipped.
    NoId,
    /// The id is longer than 512 bytes. The record is skipped.
    IdTooLong,
    /// The id contains control characters, bidirectional formatting characters or invalid
    /// UTF-8. The record is skipped.
    IdCharacters,
    /// The record is nested deeper than 64 levels. It is skipped.
    TooDeep,
    /// The display name, the owner or the family is longer than 512 bytes, or contains
    /// characters that are not allowed in an id. That field is dropped, and the record is kept.
    Name,
}

impl RecordFlaw {
    /// Returns the name of the flaw for logs and metrics, such as `id_too_long`. The names are
    /// stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoId => "no_id",
            Self::IdTooLong => "id_too_long",
            Self::IdCharacters => "id_characters",
            Self::TooDeep => "too_deep",
            Self::Name => "name",
        }
    }

    /// Returns whether a record with this flaw is skipped.
    pub fn costs_the_record(self) -> bool {
        self != Self::Name
    }
}

impl fmt::Display for RecordFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RecordFlaw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How often a flaw occurs in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlawCount {
    /// The flaw.
    pub flaw: RecordFlaw,
    /// The number of records with this flaw.
    pub records: usize,
    /// The index of the first such record in the provider's response, counted from 0 over all
    /// pages, if known.
    pub first: Option<usize>,
}

/// The flaws of a list with their counts. Usually empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaws(Vec<FlawCount>);

impl Flaws {
    /// Creates the flaws for a number of unreadable records.
    pub(crate) fn skipping(records: usize) -> Self {
        let mut flaws = Self::default();
        flaws.count(RecordFlaw::Unreadable, records, None);
        flaws
    }

    pub(crate) fn add(&mut self, flaw: RecordFlaw, at: impl Into<Option<usize>>) {
        self.count(flaw, 1, at.into());
    }

    /// Adds the flaws of the next page. `records` is the number of records before it.
    pub(crate) fn append(&mut self, page: &Self, records: usize) {
        for of in &page.0 {
            self.count(of.flaw, of.records, of.first.map(|first| first + records));
        }
    }

    fn count(&mut self, flaw: RecordFlaw, records: usize, first: Option<usize>) {
        if records == 0 {
            return;
        }
        match self.0.iter_mut().find(|of| of.flaw == flaw) {
            Some(of) => of.records += records,
            None => self.0.push(FlawCount {
                flaw,
                records,
                first,
            }),
        }
    }

    /// The number of records that were skipped.
    pub(crate) fn skipped(&self) -> usize {
        let is_skipped = |count: &&FlawCount| count.flaw.costs_the_record();
        let counts = self.0.iter().filter(is_skipped);
        counts.map(|count| count.records).sum()
    }

    pub(crate) fn counts(&self) -> &[FlawCount] {
        &self.0
    }
}
