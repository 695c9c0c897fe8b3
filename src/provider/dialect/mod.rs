//! Wire formats of model lists: bytes in, models out. Pure: no I/O, no clock.
//!
//! A file a dialect, or a few that are close: what is asked for, and how a page is read.
//! [`document`] and [`fields`] are what they read with, [`format`](mod@format) what they
//! are made of.

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

/// The wire format of a provider's list.
///
/// In a file, a dialect is its [name](Self::name).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `openai`: `{"object":"list","data":[{"id":...}]}`, of OpenAI and all that speak
    /// like it, with whatever facts they add.
    #[default]
    OpenAi,
    /// `openrouter`: OpenAI's, with prices in US dollars for a token, and owners that
    /// stand in the ids.
    OpenRouter,
    /// `anthropic`: of Anthropic and MiniMax, in pages.
    Anthropic,
    /// `array`: a list that is the whole document, of records like OpenAI's: Together,
    /// GitHub's catalogue.
    Array,
    /// `auto`: asked for as OpenAI's, and told by its marks: one of the others. The
    /// [status](crate::ProviderStatus::dialect) says which was found.
    Auto,
    /// `azure`: what a resource of Azure OpenAI could deploy.
    Azure,
    /// `azure-deployments`: what a resource of Azure OpenAI has deployed.
    AzureDeployments,
    /// `bedrock`: the foundation models of Amazon Bedrock.
    Bedrock,
    /// `bedrock-profiles`: the inference profiles of Amazon Bedrock, in pages.
    BedrockProfiles,
    /// `cloudflare`: Workers AI, in pages.
    Cloudflare,
    /// `cohere`: in pages.
    Cohere,
    /// `fireworks`: the control plane of Fireworks, in pages.
    Fireworks,
    /// `gemini`: in pages.
    Gemini,
    /// `gpustack`: a GPUStack server's own form, in pages.
    GpuStack,
    /// `litellm`: the models of a LiteLLM proxy with what is known of them
    /// (`/v1/model/info`).
    LiteLlm,
    /// `lmstudio`: LM Studio's own API of version 1.
    LmStudio,
    /// `lmstudio-v0`: LM Studio's own API of version 0.
    LmStudioV0,
    /// `models.dev`: what a [catalogue](crate::Catalog) is in, which lists its models as
    /// `provider/id`. A file cannot name it: it is no provider's.
    #[cfg(feature = "catalog")]
    #[cfg_attr(docsrs, doc(cfg(feature = "catalog")))]
    ModelsDev,
    /// `ollama`: `/api/tags`.
    Ollama,
    /// `vertex`: the publishers' models of Vertex AI, in pages.
    Vertex,
    /// `xai-language`: xAI's language models, with prices.
    XaiLanguage,
    /// One that the crate does not know.
    Custom(Custom),
}

/// Asked as OpenAI is, and read in whatever dialect the answer turns out to be.
const AUTO: Format = Format {
    name: "auto",
    head: openai::FORMAT.head,
    read: |document, rules| {
        let document = document.no_error()?;
        let found = sniff::sniff(&document)?;
        let mut page = (found.format().read)(document, rules)?;
        page.found = Some(found);
        Ok(page)
    },
};

/// Every dialect that has a name.
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
    /// A dialect that the crate does not know.
    pub fn custom(dialect: impl CustomDialect) -> Self {
        Self::Custom(Custom(Arc::new(dialect)))
    }

    /// The name, as it stands in a file and in the status.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.0.name(),
            known => known.format().name,
        }
    }

    /// The same as [`name`](Self::name).
    pub fn as_str(&self) -> &'static str {
        self.name()
    }

    /// Reads one page, with nothing known of the provider: prices are read where the
    /// dialect says what their numbers mean, and of further fields the
    /// [known](ExtraFields::Known) ones are kept. 100,000 records are read at the most.
    ///
    /// # Errors
    ///
    /// The body is no page of a list in this dialect.
    ///
    /// ```
    /// use tower_models_cache::{Dialect, ListErrorKind};
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

    /// Reads one page of status 2xx.
    pub(super) fn read_page(&self, body: &[u8], rules: &Rules) -> Result<ModelPage, ListError> {
        let format = match self {
            Self::Custom(custom) => return custom.0.read(body),
            known => known.format(),
        };
        let text = decoded(body);
        (format.read)(JsonDocument::parse(&text, rules.records)?, rules)
    }

    /// What is asked for.
    pub(super) fn head(&self) -> Request<'_> {
        match self {
            Self::Custom(Custom(custom)) => {
                let path = custom.path();
                Request {
                    path: path.into(),
                    below: path.trim_start_matches('/').into(),
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
            Self::Custom(_) => unreachable!("a custom dialect reads for itself"),
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

    /// The dialect of this name.
    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        let found = NAMED.into_iter().find(|dialect| dialect.name() == name);
        found.ok_or(UnknownDialect)
    }
}

/// A name that no dialect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDialect;

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMED.map(|dialect| dialect.name());
        write!(
            f,
            "no dialect of this name, which is one of {}",
            names.join(", ")
        )
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

/// The text of a body. JSON is UTF-8 (RFC 8259, section 8.1); a byte that is none
/// costs the text it stands in, and a mark of the byte order costs nothing.
fn decoded(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Nearly every body is UTF-8, and that is found far faster than what is not.
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}
