//! One page of a list, and the reference to the next page.

use std::borrow::Cow;

use super::{document::Record, fields::Fields, rules::Rules};
use crate::model::{Flaws, Model, ModelList, RecordFlaw};

/// One page of a provider's list, as parsed by a dialect.
///
/// Most providers send the whole list at once: a single page without a next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPage {
    pub(crate) models: Vec<Model>,
    pub(crate) flaws: Flaws,
    /// The number of records, including skipped ones.
    pub(crate) records: usize,
    pub(crate) next: Option<NextPage>,
    /// The dialect that `Dialect::Auto` detected.
    pub(crate) detected: Option<super::Dialect>,
}

/// A reference to the next page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextPage {
    /// The URI of the current page with these query parameters set, replacing parameters of the
    /// same names. Names and values are percent-encoded when the page is requested.
    Query(Vec<(Cow<'static, str>, String)>),
    /// A URI, absolute or relative to that of the current page. If it has another origin, it is
    /// not requested, and the fetch fails.
    Link(String),
    /// There is a next page, but the current page does not identify it. The fetch fails.
    Unknown,
}

impl NextPage {
    /// Creates a reference with one query parameter. See [`Query`](Self::Query).
    pub fn query(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self::Query(vec![(name.into(), value.into())])
    }

    /// The page after a numbered page with `records` records, according to the paging
    /// information in `info`. `Unknown` if that is incomplete.
    pub(super) fn by_number(info: &Fields<'_>, names: &PageFields, records: usize) -> Option<Self> {
        let records = records as u64;
        let page = info.count("page");
        let size = info.count(names.size).filter(|size| *size > 0);
        let more = if let Some(pages) = info.count(names.pages) {
            page.unwrap_or(1) < pages
        } else if let Some(all) = info.count(names.all) {
            let read = page.zip(size).map(|(page, size)| page.saturating_mul(size));
            read.unwrap_or(records) < all
        } else if records > 0 && size == Some(records) {
            return Some(Self::Unknown); // a full page, without any total
        } else {
            false
        };
        let next = |page: u64| Self::query("page", page.to_string());
        let after = page.and_then(|page| page.checked_add(1));
        more.then(|| after.map_or(Self::Unknown, next))
    }
}

/// The names of a dialect's paging fields, besides `page`.
pub(super) struct PageFields {
    /// The maximum number of records per page.
    pub(super) size: &'static str,
    /// The total number of pages.
    pub(super) pages: &'static str,
    /// The total number of records.
    pub(super) all: &'static str,
}

impl ModelPage {
    /// Creates a page with these models and without a next page.
    pub fn new(models: impl IntoIterator<Item = Model>) -> Self {
        let models = Vec::from_iter(models);
        Self {
            records: models.len(),
            models,
            ..Self::default()
        }
    }

    /// Sets the number of records that could not be read, besides the models.
    pub fn with_skipped(mut self, records: usize) -> Self {
        self.flaws = Flaws::skipping(records);
        self.records = self.models.len() + records;
        self
    }

    /// Sets the next page. `None`, the default, marks the last page.
    pub fn with_next(mut self, next: impl Into<Option<NextPage>>) -> Self {
        self.next = next.into();
        self
    }

    /// Returns the models, in the order of the page.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Returns the number of records that could not be read.
    pub fn skipped(&self) -> usize {
        self.flaws.skipped()
    }

    /// Returns the next page, or `None` if this is the last one.
    pub fn next(&self) -> Option<&NextPage> {
        self.next.as_ref()
    }

    /// Returns the models, consuming the page.
    pub fn into_models(self) -> Vec<Model> {
        self.models
    }

    /// Reads the records of a list. A malformed record is skipped and counted.
    pub(super) fn from_records<'a>(
        records: Vec<Record<'a>>,
        rules: &Rules,
        mut read: impl FnMut(&Fields<'a>, &Rules) -> Result<Model, RecordFlaw>,
    ) -> Self {
        let mut page = Self {
            records: records.len(),
            ..Self::default()
        };
        for (index, record) in records.into_iter().enumerate() {
            match record.and_then(|fields| read(&fields, rules)) {
                Ok(model) => page.models.push(model),
                Err(flaw) => page.flaws.add(flaw, index),
            }
        }
        page
    }
}

/// Collects the pages of one list.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    models: Vec<Model>,
    flaws: Flaws,
    records: usize,
}

impl Pages {
    pub(crate) fn push(&mut self, page: ModelPage) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_numbered_page_is_derived_from_totals() {
        const NAMES: PageFields = PageFields {
            size: "size",
            pages: "pages",
            all: "all",
        };
        let second = || Some(NextPage::query("page", "2"));
        let unknown = Some(NextPage::Unknown);
        for (info, records, expected) in [
            (r#"{"page":1,"size":50,"all":97}"#, 50, second()),
            (r#"{"page":2,"size":50,"all":97}"#, 47, None),
            (r#"{"page":1,"pages":2}"#, 1, second()),
            (r#"{"page":2,"pages":2}"#, 1, None),
            (r#"{"page":1,"pages":1,"all":9}"#, 1, None),
            (r#"{"page":"1","pages":"2"}"#, 1, second()),
            // No page number, but more pages.
            (r#"{"pages":2}"#, 1, unknown.clone()),
            (r#"{"page":"one","pages":2}"#, 1, unknown.clone()),
            (r#"{"pages":1}"#, 1, None),
            (r#"{"size":50,"all":97}"#, 50, unknown.clone()),
            (r#"{"all":50}"#, 50, None),
            // No size, or a size of 0.
            (r#"{"page":1,"all":97}"#, 50, second()),
            (r#"{"page":1,"size":0,"all":97}"#, 50, second()),
            // No total: a full page may not be the last one.
            (r#"{"page":1,"size":50}"#, 50, unknown.clone()),
            (r#"{"page":1,"size":50}"#, 49, None),
            (r#"{"page":1,"size":50,"pages":null}"#, 50, unknown.clone()),
            (r#"{"page":1,"size":50,"all":"many"}"#, 50, unknown.clone()),
            ("{}", 50, None),
            (
                r#"{"page":18446744073709551615,"size":0,"all":9}"#,
                1,
                unknown.clone(),
            ),
        ] {
            let fields = serde_json::from_str(info).expect("is an object");
            let next = NextPage::by_number(&fields, &NAMES, records);
            assert_eq!(next, expected, "{info} {records}");
        }
    }
}
