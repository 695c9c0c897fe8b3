//! Codex's dialect: the records of its list.
//!
//! Its source is the reference (`ModelInfo` in `codex-rs/protocol`, versions 0.80 to
//! 0.169): a record without one of these fields fails the whole list. Unknown values are
//! those that Codex uses for a model that is not listed.

use serde::Serialize;

use super::{CodexOptions, ListedId, Record, anthropic::DisplayName, write_json};
use crate::model::{Modality, Model};

#[derive(Serialize)]
struct CodexModel<'a> {
    slug: ListedId<'a>,
    display_name: DisplayName<'a>,
    description: Option<&'a str>,
    supported_reasoning_levels: [(); 0],
    shell_type: &'static str,
    visibility: &'static str,
    supported_in_api: bool,
    priority: i32,
    upgrade: Option<()>,
    base_instructions: &'a str,
    supports_reasoning_summaries: bool,
    supports_reasoning_summary_parameter: bool,
    support_verbosity: bool,
    default_verbosity: Option<()>,
    apply_patch_tool_type: Option<()>,
    truncation_policy: Truncation,
    supports_parallel_tool_calls: bool,
    context_window: Option<u64>,
    experimental_supported_tools: [(); 0],
    input_modalities: &'static [&'static str],
}

#[derive(Serialize)]
struct Truncation {
    mode: &'static str,
    limit: i64,
}

/// Whether an agent can use the model: its output is text, or not known.
fn outputs_text(model: &Model) -> bool {
    model.output().is_empty() || model.output().contains(Modality::Text)
}

/// Appends one record.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>, codex_options: &CodexOptions) {
    let model = record.model;
    let record = CodexModel {
        slug: record.id,
        display_name: DisplayName::of(record),
        description: None,
        supported_reasoning_levels: [],
        shell_type: "default",
        visibility: if outputs_text(model) { "list" } else { "hide" },
        supported_in_api: true,
        priority: 99,
        upgrade: None,
        base_instructions: &codex_options.codex_instructions,
        supports_reasoning_summaries: false,
        supports_reasoning_summary_parameter: false,
        support_verbosity: false,
        default_verbosity: None,
        apply_patch_tool_type: None,
        truncation_policy: Truncation {
            mode: "bytes",
            limit: 10_000,
        },
        supports_parallel_tool_calls: false,
        context_window: model.context_length(),
        experimental_supported_tools: [],
        // Older versions fail on any other value.
        input_modalities: match model.input().contains(Modality::Image) {
            true => &["text", "image"],
            false => &["text"],
        },
    };
    write_json(out, &record);
}
