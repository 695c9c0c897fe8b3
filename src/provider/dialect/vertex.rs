//! `publishers.models.list` of Vertex AI's Model Garden.
//!
//! <https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1/publishers.models/list>

use super::{
    fields::Fields,
    format::{Format, RequestHead},
    google,
    rules::Rules,
};
use crate::model::{Model, RecordFlaw};

pub(super) const FORMAT: Format = Format {
    name: "vertex",
    head: RequestHead {
        path: "/v1beta1/publishers/google/models",
        relative_path: "v1beta1/publishers/google/models",
        query: &[("pageSize", "100")],
        ..RequestHead::NONE
    },
    read: |document, rules| google::read(document, "publisherModels", rules, read_record),
};

/// The name is `publishers/google/models/star-2`: the owner and the id.
fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let name = fields.untrimmed_text("name").ok_or(RecordFlaw::NoId)?;
    let id = name.trim().rsplit('/').next().unwrap_or_default().trim();
    if id.is_empty() {
        return Err(RecordFlaw::NoId);
    }
    let publisher = name.trim().strip_prefix("publishers/");
    let publisher = publisher.and_then(|rest| rest.split_once('/'));
    let publisher = publisher.map(|(publisher, _)| publisher.into());
    let launch_stage = [("launch_stage", fields.flat_value("launchStage"))];
    Ok(Model::new(id)
        .with_upstream_id(&*name)
        .with_names(publisher, None)
        .with_extra_fields(rules.extra_with(fields, &launch_stage)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::dialect::{Dialect, NextPage};

    #[test]
    fn name_contains_owner_and_id() {
        let page = Dialect::Vertex
            .read(
                br#"{"publisherModels":[
                    {"name":"publishers/vendor/models/star-2","versionId":"default","launchStage":"GA",
                     "supportedActions":{"openNotebook":{"title":"x"}}},
                    {"name":"star-3"},{"name":"publishers//models/star-3"},
                    {"versionId":"1"},{"name":"publishers/vendor/models/"}
                ],"nextPageToken":"t"}"#,
            )
            .expect("is a page");
        assert_eq!(page.skipped(), 2);
        assert_eq!(page.next(), Some(&NextPage::query("pageToken", "t")));
        assert_eq!(
            page.models(),
            [
                Model::new("star-2")
                    .with_upstream_id("publishers/vendor/models/star-2")
                    .with_owned_by("vendor")
                    .with_extra("launch_stage", "GA"),
                Model::new("star-3"),
                Model::new("star-3").with_upstream_id("publishers//models/star-3"),
            ]
        );
    }
}
