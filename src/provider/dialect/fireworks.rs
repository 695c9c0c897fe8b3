//! The models of a Fireworks account, from the control plane API.
//!
//! <https://docs.fireworks.ai/api-reference/list-models>

use super::{
    fields::Fields,
    format::{Format, RequestHead},
    google,
    rules::Rules,
};
use crate::model::{Capability, Model, RecordFlaw};

pub(super) const FORMAT: Format = Format {
    name: "fireworks",
    head: RequestHead {
        path: "/v1/accounts/fireworks/models",
        relative_path: "models",
        query: &[("pageSize", "200")],
        ..RequestHead::NONE
    },
    read: |document, rules| google::read(document, "models", rules, read_record),
};

/// The id is the whole name, `accounts/org/models/star`.
fn read_record(fields: &Fields<'_>, rules: &Rules) -> Result<Model, RecordFlaw> {
    let created = fields.timestamp("createTime");
    let model = fields
        .model("name")?
        .with_created(rules.created(created))
        .with_context_length(fields.tokens("contextLength"))
        .with_vision(fields.flag("supportsImageInput"))
        .with_capability(Capability::Tools, fields.flag("supportsTools"))
        .with_extra_fields(rules.extra(fields));
    let account = model.id().strip_prefix("accounts/");
    let account = account.and_then(|rest| rest.split('/').next());
    let account = account.map(|account| account.to_owned().into());
    Ok(model.with_names(account, fields.text("displayName")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Modality;
    use crate::provider::dialect::{Dialect, NextPage};

    #[test]
    fn account_is_owner_and_name_is_id() {
        let page = Dialect::Fireworks
            .read(
                br#"{"models":[{"name":"accounts/org/models/star-v3","displayName":"Star V3",
                    "createTime":"2025-05-20T00:00:00.5Z","contextLength":131072,"supportsImageInput":true,
                    "supportsTools":true,"state":"READY"}],"nextPageToken":"t","totalSize":300}"#,
            )
            .expect("is a page");
        assert_eq!(page.next(), Some(&NextPage::query("pageToken", "t")));
        let expected = Model::new("accounts/org/models/star-v3")
            .with_owned_by("org")
            .with_display_name("Star V3")
            .with_created(1_747_699_200)
            .with_context_length(131_072)
            .with_input([Modality::Text, Modality::Image])
            .with_capability(Capability::Tools, true);
        assert_eq!(page.models(), [expected]);
    }
}
