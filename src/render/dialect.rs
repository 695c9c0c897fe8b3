//! `ClientDialect`: the formats in which clients request the list.

use std::{fmt, str::FromStr};

use http::HeaderName;

use super::{
    CodexOptions, ErrorResponse, ListedId, Record, anthropic, codex, gemini, ollama, openai,
};

/// A format in which clients request the list.
///
/// The request selects the dialect: first by its path, then by its query, then by its
/// headers. See [`Builder::client_dialects`](crate::Builder::client_dialects).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
#[repr(u8)]
pub enum ClientDialect {
    /// OpenAI's: `{"object":"list","data":[...]}`, never paged.
    ///
    /// <https://platform.openai.com/docs/api-reference/models>
    OpenAi = 0,
    /// Anthropic's: for a request with the header `anthropic-version`. Pages have 20 models
    /// by default and up to 1,000 with `limit`, sorted by id.
    ///
    /// <https://platform.claude.com/docs/en/api/models-list>
    Anthropic = 1,
    /// Gemini's: for paths below `/v1beta/models`, or a request with the header
    /// `x-goog-api-key`. Pages have 50 models by default and up to 1,000 with `pageSize`,
    /// sorted by id.
    ///
    /// <https://ai.google.dev/api/models>
    Gemini = 2,
    /// Ollama's: `/api/tags` and `/api/version`. For `POST /api/show` see
    /// [`OllamaShowLayer`](crate::ollama_show::OllamaShowLayer).
    ///
    /// <https://docs.ollama.com/api/tags>
    Ollama = 3,
    /// OpenAI Codex's: for a request for the list with the query parameter
    /// `client_version`.
    Codex = 4,
}

impl ClientDialect {
    pub(crate) const ALL: [Self; 5] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::Codex,
    ];

    /// The name of the dialect in a configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Codex => "codex",
        }
    }

    /// The same as [`name`](Self::name).
    pub fn as_str(self) -> &'static str {
        self.name()
    }

    /// The header that selects this dialect.
    pub(crate) fn header(self) -> Option<HeaderName> {
        match self {
            Self::Anthropic => Some(HeaderName::from_static("anthropic-version")),
            Self::Gemini => Some(HeaderName::from_static("x-goog-api-key")),
            Self::OpenAi | Self::Ollama | Self::Codex => None,
        }
    }

    /// Whether headers decide between this dialect and another one.
    pub(crate) fn is_chosen_by_header(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic | Self::Gemini)
    }

    /// Whether lists in this dialect are compressed. Codex compares the list's tag with the
    /// `x-models-etag` of other responses, so there must be only one tag.
    pub(crate) fn has_codings(self) -> bool {
        self != Self::Codex
    }

    /// How the list is paged.
    pub(crate) fn pagination(self) -> Pagination {
        match self {
            Self::Anthropic => Pagination::Pages { default: 20 },
            Self::Gemini => Pagination::Pages { default: 50 },
            Self::OpenAi | Self::Ollama | Self::Codex => Pagination::Whole,
        }
    }

    /// Whether a page refers to the next one by a token.
    pub(crate) fn has_tokens(self) -> bool {
        self == Self::Gemini
    }

    /// Whether a client can request a single model.
    pub(crate) fn has_models(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic | Self::Gemini)
    }

    // ----- parts of a list -----

    /// Appends the start of the whole list, up to its first record. `ends` are its first
    /// and last id.
    pub(crate) fn open(self, out: &mut Vec<u8>, ends: Option<(ListedId<'_>, ListedId<'_>)>) {
        match self {
            Self::OpenAi => out.extend_from_slice(openai::ENVELOPE.0),
            Self::Anthropic => anthropic::open(out, ends, false),
            Self::Gemini => gemini::open(out, None),
            Self::Ollama | Self::Codex => out.extend_from_slice(br#"{"models":["#),
        }
    }

    /// Appends the start of a page, up to its first record.
    pub(crate) fn open_page(self, out: &mut Vec<u8>, page: &PageInfo<'_>) {
        match self {
            Self::Gemini => gemini::open(out, page.next.as_deref()),
            _ => anthropic::open(out, page.ends, page.has_more),
        }
    }

    /// The end of a list or page, after its last record.
    pub(crate) fn close(self) -> &'static [u8] {
        openai::ENVELOPE.1
    }

    /// Appends one record.
    pub(crate) fn write(
        self,
        out: &mut Vec<u8>,
        record: &Record<'_>,
        codex_options: &CodexOptions,
    ) {
        match self {
            Self::OpenAi => openai::write(out, record),
            Self::Anthropic => anthropic::write(out, record),
            Self::Gemini => gemini::write(out, record),
            Self::Ollama => ollama::write(out, record),
            Self::Codex => codex::write(out, record, codex_options),
        }
    }

    /// The body of an error response.
    pub(crate) fn problem(self, problem: &ErrorResponse<'_>) -> Vec<u8> {
        match self {
            Self::OpenAi | Self::Codex => openai::problem(problem),
            Self::Anthropic => anthropic::problem(problem),
            Self::Gemini => gemini::problem(problem),
            Self::Ollama => ollama::problem(problem),
        }
    }
}

/// How a list is paged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pagination {
    Whole,
    Pages { default: usize },
}

/// The metadata of a page.
#[derive(Debug)]
pub(crate) struct PageInfo<'a> {
    /// The first and the last id.
    pub(crate) ends: Option<(ListedId<'a>, ListedId<'a>)>,
    /// Whether there are more models in the requested direction.
    pub(crate) has_more: bool,
    /// The token of the next page.
    pub(crate) next: Option<String>,
}

impl fmt::Display for ClientDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of parsing an unknown name of a [`ClientDialect`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownClientDialect(String);

impl FromStr for ClientDialect {
    type Err = UnknownClientDialect;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|dialect| dialect.name() == text);
        named.ok_or_else(|| UnknownClientDialect(text.to_owned()))
    }
}

impl fmt::Display for UnknownClientDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is none of ", self.0)?;
        for (index, dialect) in ClientDialect::ALL.into_iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            write!(f, "{gap}{}", dialect.name())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownClientDialect {}

// ===== Dialects =====

/// A set of client dialects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialects(u8);

impl Dialects {
    pub(crate) const fn has(self, dialect: ClientDialect) -> bool {
        self.0 & (1 << dialect as u8) != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<ClientDialect> for Dialects {
    fn from_iter<I: IntoIterator<Item = ClientDialect>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, one| set | 1 << one as u8))
    }
}
