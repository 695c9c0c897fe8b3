//! What the lists of Google's APIs have in common, and of those made after them: tokens for
//! pages, and nothing where a list is empty.
//!
//! <https://google.aip.dev/158>

use super::{document::JsonDocument, fields::Fields, page::ModelPage, rules::Rules};
use crate::{
    error::ListError,
    model::{Model, RecordFlaw},
};

/// Reads a page whose records stand under `list`.
pub(super) fn read(
    document: JsonDocument<'_>,
    list: &str,
    rules: &Rules,
    read_record: fn(&Fields<'_>, &Rules) -> Result<Model, RecordFlaw>,
) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = object.next_by_token("nextPageToken", "pageToken");
    let records = object.take_or_none(list)?;
    Ok(ModelPage::of_records(records, rules, read_record).with_next(next))
}
