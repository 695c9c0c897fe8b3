//! Model search of Cloudflare Workers AI: `result`, in numbered pages.
//!
//! <https://developers.cloudflare.com/api/resources/ai/subresources/models/methods/list/>

use super::{
    document::JsonDocument,
    fields::Fields,
    format::{Format, RequestHead},
    page::{ModelPage, NextPage, PageFields},
    rules::Rules,
};
use crate::{
    error::ListError,
    model::{Modality, Model, RecordFlaw},
};

pub(super) const FORMAT: Format = Format {
    name: "cloudflare",
    head: RequestHead {
        path: "/models/search",
        relative_path: "models/search",
        stripped: &["/v1"],
        query: &[("per_page", "100")],
        ..RequestHead::NONE
    },
    read,
};

const PAGE_FIELDS: PageFields = PageFields {
    size: "per_page",
    pages: "total_pages",
    all: "total_count",
};

fn read(document: JsonDocument<'_>, rules: &Rules) -> Result<ModelPage, ListError> {
    let mut object = document.object()?;
    let records = object.take("result")?;
    let next = object
        .object("result_info")
        .and_then(|info| NextPage::by_number(info, &PAGE_FIELDS, records.len()));
    Ok(ModelPage::from_records(records, rules, read_record).with_next(next))
}

/// Requests name a model by its name. The id of a record is a UUID.
fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let window = fields
        .objects("properties")
        .into_iter()
        .find_map(|property| {
            let is_window = property.text("property_id").as_deref() == Some("context_window");
            is_window.then(|| property.tokens("value"))?
        });
    let task = fields.object("task").unwrap_or_default();
    let model = fields
        .model("name")?
        .with_context_length(window)
        .with_extra_fields(rules.extra_with(fields, &[("task", task.flat_value("name"))]));
    Ok(match task.text("name").as_deref() {
        Some("Text Generation") => model.with_output([Modality::Text]),
        Some("Text Embeddings") => model.with_output([Modality::Embeddings]),
        Some("Text-to-Image") => model.with_output([Modality::Image]),
        _ => model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ListErrorKind, provider::dialect::Dialect};

    #[test]
    fn names_are_ids_and_pages_are_numbered() {
        let page = |page: u32| {
            let body = format!(
                r#"{{"success":true,"errors":[],"messages":[],"result":[{{"id":"0f7e","name":"@cf/org/star",
                    "description":"d","task":{{"name":"Text Generation"}},"source":1,
                    "properties":[{{"property_id":"price","value":[]}},{{"property_id":"context_window","value":"131072"}}]}}],
                    "result_info":{{"page":{page},"per_page":50,"total_count":97}}}}"#
            );
            Dialect::Cloudflare
                .read(body.as_bytes())
                .expect("is a page")
        };
        let expected = Model::new("@cf/org/star")
            .with_context_length(131_072)
            .with_output([Modality::Text])
            .with_extra("task", "Text Generation");
        assert_eq!(page(1).models(), [expected]);
        assert_eq!(page(1).next(), Some(&NextPage::query("page", "2")));
        assert_eq!(page(2).next(), None);
    }

    #[test]
    fn unsuccessful_response_is_rejected() {
        let body = br#"{"success":false,"errors":[{"code":10000,"message":"no"}],"result":[]}"#;
        let error = Dialect::Cloudflare.read(body).expect_err("is none");
        assert_eq!(error.kind(), ListErrorKind::Refused);
    }
}
