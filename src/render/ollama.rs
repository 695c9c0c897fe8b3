//! Ollama's dialect: its tags, its version, the details of one model, and its errors.
//!
//! <https://docs.ollama.com/api/tags>. Clients require every field of a tag, and
//! `model_info` and `capabilities` in the details of a model. Unknown values are empty.

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{ErrorResponse, ListedId, Record, to_json, write_json};
use crate::model::{Capability, Modality, Model};

/// The version of the API implemented here. Some clients check it first.
const VERSION: &str = "0.12.0";

#[derive(Serialize)]
struct Tag<'a> {
    name: ListedId<'a>,
    model: ListedId<'a>,
    modified_at: Timestamp,
    size: u64,
    digest: &'static str,
    details: Details<'a>,
    capabilities: Vec<&'static str>,
}

#[derive(Serialize)]
struct Details<'a> {
    parent_model: &'static str,
    format: &'static str,
    family: &'a str,
    families: Vec<&'a str>,
    parameter_size: &'a str,
    quantization_level: &'a str,
}

impl<'a> Details<'a> {
    fn of(model: &'a Model) -> Self {
        let family = model.family();
        Self {
            parent_model: "",
            format: "",
            family: family.unwrap_or_default(),
            families: family.into_iter().collect(),
            parameter_size: text(model, "parameter_size").unwrap_or_default(),
            quantization_level: text(model, "quantization").unwrap_or_default(),
        }
    }
}

/// The value of a further field that is a string.
fn text<'a>(model: &'a Model, name: &str) -> Option<&'a str> {
    serde_json::from_str(model.extra(name)?).ok()
}

fn modified_at(model: &Model) -> Timestamp {
    let seconds = model.created().unwrap_or(0).into();
    Timestamp::from_second(seconds).expect("32 bits are within the years that there are")
}

/// The capabilities of a model, by Ollama's names. A model without known output gets
/// `completion`, because clients leave out a model without capabilities.
fn capabilities(model: &Model) -> Vec<&'static str> {
    let (input, output) = (model.input(), model.output());
    let has = |capability| model.capabilities().get(capability) == Some(true);
    [
        (
            "completion",
            output.is_empty() || output.contains(Modality::Text),
        ),
        ("embedding", output.contains(Modality::Embeddings)),
        ("vision", input.contains(Modality::Image)),
        ("audio", input.contains(Modality::Audio)),
        ("image", output.contains(Modality::Image)),
        ("tools", has(Capability::Tools)),
        ("thinking", has(Capability::Reasoning)),
    ]
    .into_iter()
    .filter_map(|(word, known)| known.then_some(word))
    .collect()
}

/// Appends one tag.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    let tag = Tag {
        name: record.id,
        model: record.id,
        modified_at: modified_at(record.model),
        size: 0,
        digest: "",
        details: Details::of(record.model),
        capabilities: capabilities(record.model),
    };
    write_json(out, &tag);
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

/// The body of `GET /api/version`.
pub(crate) fn version() -> Vec<u8> {
    to_json(&Version { version: VERSION })
}

#[derive(Serialize)]
struct Shown<'a> {
    modelfile: &'static str,
    parameters: String,
    template: &'static str,
    details: Details<'a>,
    model_info: Info<'a>,
    capabilities: Vec<&'static str>,
    modified_at: Timestamp,
}

/// Facts by name, as in the GGUF files that Ollama runs.
struct Info<'a>(&'a Record<'a>);

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(record) = self;
        // Required in any case: the key of the context length contains it.
        let architecture = record.model.family().unwrap_or("model");
        let mut info = serializer.serialize_map(None)?;
        info.serialize_entry("general.architecture", architecture)?;
        match record.model.display_name() {
            Some(name) => info.serialize_entry("general.basename", name)?,
            None => info.serialize_entry("general.basename", &record.id)?,
        }
        if let Some(tokens) = record.model.context_length() {
            info.serialize_entry(&format!("{architecture}.context_length"), &tokens)?;
        }
        info.end()
    }
}

/// The body of `POST /api/show` for one model.
pub(crate) fn show(record: &Record<'_>) -> Vec<u8> {
    let window = record.model.context_length();
    to_json(&Shown {
        modelfile: "",
        parameters: window.map_or(String::new(), |tokens| format!("num_ctx {tokens}")),
        template: "",
        details: Details::of(record.model),
        model_info: Info(record),
        capabilities: capabilities(record.model),
        modified_at: modified_at(record.model),
    })
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

pub(super) fn problem(problem: &ErrorResponse<'_>) -> Vec<u8> {
    let message = match problem {
        ErrorResponse::NotFound(id) => format!("model '{id}' not found"),
        ErrorResponse::NoModel => "model is required".to_owned(),
        other => other.message(),
    };
    to_json(&Failure { error: &message })
}
