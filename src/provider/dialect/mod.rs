//! Dialects: the wire formats of model lists. Parsing is pure, without I/O or clocks.
//!
//! Each file holds one dialect or a few similar ones: the request for a page, and the parser
//! of the response. [`document`] and [`fields`] are the JSON parser they share, and
//! [`format`](mod@format) is the type that describes a dialect.

mod anthropic;
mod array;
mod azure;
mod bedrock;
mod canonical;
mod cloudflare;
mod cohere;
mod custom;
mod document;
mod fields;
mod fireworks;
mod format;
mod gemini;
mod google;
mod gpustack;
mod json;
mod litellm;
mod lmstudio;
#[cfg(feature = "catalog")]
mod modelsdev;
mod ollama;
mod openai;
mod page;
mod prices;
mod rules;
mod sniff;
mod vertex;
mod xai;

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

pub(crate) use self::page::Pages;
pub(super) use self::rules::{PriceRule, Rules};
pub use self::{
    custom::{Custom, CustomDialect},
    page::{ModelPage, NextPage},
    rules::ExtraFields,
};
use self::{
    document::JsonDocument,
    format::{Format, Request},
};
use crate::error::ListError;

/// The wire format of a provider's model list.
///
/// In a configuration file a dialect is its [name](Self::name).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `openai`: `{"object":"list","data":[{"id":...}]}`, used by OpenAI and compatible
    /// servers, including the fields that those add.
    #[default]
    OpenAi,
    /// `openrouter`: like `openai`, with prices in US dollars per token. The owner is the first
    /// segment of the id.
    OpenRouter,
    /// `anthropic`: used by Anthropic and MiniMax. Paged.
    Anthropic,
    /// `array`: a top-level array of records like OpenAI's, used by Together and GitHub Models.
    Array,
    /// `auto`: requested like `openai`, and detected from the response. The
    /// [status](crate::status::ProviderStatus::dialect) reports the detected dialect.
    Auto,
    /// `azure`: the models available to an Azure OpenAI resource for deployment.
    Azure,
    /// `azure-deployments`: the deployments of an Azure OpenAI resource.
    AzureDeployments,
    /// `bedrock`: the foundation models of Amazon Bedrock.
    Bedrock,
    /// `bedrock-profiles`: the inference profiles of Amazon Bedrock. Paged.
    BedrockProfiles,
    /// `cloudflare`: Workers AI. Paged.
    Cloudflare,
    /// `cohere`. Paged.
    Cohere,
    /// `fireworks`: the control plane of Fireworks. Paged.
    Fireworks,
    /// `gemini`. Paged.
    Gemini,
    /// `gpustack`: the native list of a GPUStack server. Paged.
    GpuStack,
    /// `litellm`: the models of a LiteLLM proxy with details (`/v1/model/info`).
    LiteLlm,
    /// `lmstudio`: the native API of LM Studio, version 1.
    LmStudio,
    /// `lmstudio-v0`: the native API of LM Studio, version 0.
    LmStudioV0,
    /// `models.dev`: the format of a [catalogue](crate::Catalog). Its models have the ids
    /// `provider/id`. A configuration file cannot use it, because no provider has this format.
    #[cfg(feature = "catalog")]
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    ModelsDev,
    /// `ollama`: `/api/tags`.
    Ollama,
    /// `vertex`: the publisher models of Vertex AI. Paged.
    Vertex,
    /// `xai-language`: the language models of xAI, with prices.
    XaiLanguage,
    /// A dialect that is not built in. See [`Dialect::custom`].
    Custom(Custom),
}

/// Requested like OpenAI, and parsed in the dialect that the response is in.
const AUTO: Format = Format {
    name: "auto",
    head: openai::FORMAT.head,
    read: |document, rules| {
        let document = document.reject_error()?;
        let detected = sniff::sniff(&document)?;
        let mut page = (detected.format().read)(document, rules)?;
        page.detected = Some(detected);
        Ok(page)
    },
};

/// Every dialect that a configuration file can name.
const NAMED: [Dialect; 20] = [
    Dialect::OpenAi,
    Dialect::OpenRouter,
    Dialect::Anthropic,
    Dialect::Array,
    Dialect::Auto,
    Dialect::Azure,
    Dialect::AzureDeployments,
    Dialect::Bedrock,
    Dialect::BedrockProfiles,
    Dialect::Cloudflare,
    Dialect::Cohere,
    Dialect::Fireworks,
    Dialect::Gemini,
    Dialect::GpuStack,
    Dialect::LiteLlm,
    Dialect::LmStudio,
    Dialect::LmStudioV0,
    Dialect::Ollama,
    Dialect::Vertex,
    Dialect::XaiLanguage,
];

impl Dialect {
    /// Creates a dialect from an implementation of [`CustomDialect`].
    pub fn custom(dialect: impl CustomDialect) -> Self {
        Self::Custom(Custom(Arc::new(dialect)))
    }

    /// Returns the name of the dialect, as used in configuration files and in the status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.0.name(),
            known => known.format().name,
        }
    }

    /// Returns the same as [`name`](Self::name).
    pub fn as_str(&self) -> &'static str {
        self.name()
    }

    /// Parses one page of a list, without the settings of a provider.
    ///
    /// Prices are read only if the dialect defines their unit. Of the additional fields,
    /// those of [`ExtraFields::Known`] are kept. Malformed records are skipped and
    /// [counted](ModelPage::skipped).
    ///
    /// # Errors
    ///
    /// Returns an error if the body is not a page of a list in this dialect, or if it has more
    /// than 100,000 records.
    ///
    /// ```
    /// use tower_models_cache::{error::ListErrorKind, provider::Dialect};
    ///
    /// let page = Dialect::OpenAi.read(br#"{"data":[{"id":"a"},{"id":7}]}"#).unwrap();
    /// assert_eq!((page.models()[0].id(), page.skipped()), ("a", 1));
    ///
    /// let error = Dialect::OpenAi.read(br#"{"error":"no key"}"#).unwrap_err();
    /// assert_eq!(error.kind(), ListErrorKind::Refused);
    /// ```
    pub fn read(&self, body: &[u8]) -> Result<ModelPage, ListError> {
        self.read_page(body, &Rules::default())
    }

    /// Parses the body of a successful response.
    pub(super) fn read_page(&self, body: &[u8], rules: &Rules) -> Result<ModelPage, ListError> {
        let format = match self {
            Self::Custom(custom) => return custom.0.read(body),
            known => known.format(),
        };
        let text = decoded(body);
        (format.read)(JsonDocument::parse(&text, rules.records)?, rules)
    }

    /// The request for the list.
    pub(super) fn head(&self) -> Request<'_> {
        match self {
            Self::Custom(Custom(custom)) => {
                let path = custom.path();
                Request {
                    path: path.into(),
                    relative_path: path.trim_start_matches('/').into(),
                    stripped: &[],
                    any_version: false,
                    query: (custom.query().into_iter())
                        .map(|(name, value)| (name.into(), value))
                        .collect(),
                    headers: custom.headers(),
                }
            }
            known => known.format().head.request(),
        }
    }

    fn format(&self) -> &'static Format {
        match self {
            Self::OpenAi => &openai::FORMAT,
            Self::OpenRouter => &openai::OPENROUTER,
            Self::Anthropic => &anthropic::FORMAT,
            Self::Array => &array::FORMAT,
            Self::Auto => &AUTO,
            Self::Azure => &azure::MODELS,
            Self::AzureDeployments => &azure::DEPLOYMENTS,
            Self::Bedrock => &bedrock::MODELS,
            Self::BedrockProfiles => &bedrock::PROFILES,
            Self::Cloudflare => &cloudflare::FORMAT,
            Self::Cohere => &cohere::FORMAT,
            Self::Fireworks => &fireworks::FORMAT,
            Self::Gemini => &gemini::FORMAT,
            Self::GpuStack => &gpustack::FORMAT,
            Self::LiteLlm => &litellm::FORMAT,
            Self::LmStudio => &lmstudio::V1,
            Self::LmStudioV0 => &lmstudio::V0,
            #[cfg(feature = "catalog")]
            Self::ModelsDev => &modelsdev::FORMAT,
            Self::Ollama => &ollama::FORMAT,
            Self::Vertex => &vertex::FORMAT,
            Self::XaiLanguage => &xai::FORMAT,
            Self::Custom(_) => unreachable!("a custom dialect has its own parser"),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    /// Parses the [name](Dialect::name) of a dialect.
    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        let found = NAMED.into_iter().find(|dialect| dialect.name() == name);
        found.ok_or(UnknownDialect)
    }
}

/// The error returned when parsing an unknown [`Dialect`] name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMED.map(|dialect| dialect.name());
        write!(f, "unknown dialect, expected one of {}", names.join(", "))
    }
}

impl std::error::Error for UnknownDialect {}

#[cfg(feature = "config")]
impl<'de> serde::Deserialize<'de> for Dialect {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let names = NAMED.map(|dialect| dialect.name()).join(", ");
        let expected = format!("one of {names}");
        let unknown = serde::de::Unexpected::Str(&name);
        (name.parse()).map_err(|_| serde::de::Error::invalid_value(unknown, &&*expected))
    }
}

/// Decodes a body as UTF-8 (RFC 8259, section 8.1). Invalid bytes are replaced by U+FFFD, which
/// affects only the string they are in. A byte order mark is ignored.
fn decoded(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Nearly every body is valid, and validation is much faster than lossy decoding.
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}
