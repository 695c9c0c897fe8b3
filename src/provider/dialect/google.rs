//! Common parts of Google's APIs and of those modelled on them: page tokens, and empty lists
//! that are omitted.
//!
//! <https://google.aip.dev/158>

use super::{document::JsonDocument, fields::Fields, page::ModelPage, rules::Rules};
use crate::{
    error::ListError,
    model::{Model, RecordFlaw},
};

/// Reads a page whose records are in the member `list`.
pub(super) fn read(
    document: JsonDocument<'_>,
    list: &str,
    rules: &Rules,
    read_record: fn(&Fields<'_>, &Rules) -> Result<Model, RecordFlaw>,
) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let next = object.next_by_token("nextPageToken", "pageToken");
    let records = object.take_or_empty(list)?;
    Ok(ModelPage::from_records(records, rules, read_record).with_next(next))
}
