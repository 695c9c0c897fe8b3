//! `ClientDialect`: in which form a client wants the list, and what each form is made of.

use std::{fmt, str::FromStr};

use http::HeaderName;

use super::{
    CodexOptions, ErrorResponse, ListedId, Record, anthropic, codex, gemini, ollama, openai,
};

/// A form in which clients want the list.
///
/// Which it is follows from the request: from its path first, then from the query, then
/// from its headers; see [`Builder::client_dialects`](crate::Builder::client_dialects).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "config",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
#[repr(u8)]
pub enum ClientDialect {
    /// OpenAI's: `{"object":"list","data":[...]}`, never in pages.
    ///
    /// <https://platform.openai.com/docs/api-reference/models>
    OpenAi = 0,
    /// Anthropic's: a request with the header `anthropic-version`. In pages of 20 models,
    /// or of as many up to 1,000 as `limit` says, in the order of their ids.
    ///
    /// <https://platform.claude.com/docs/en/api/models-list>
    Anthropic = 1,
    /// Gemini's: below `/v1beta/models`, or a request with the header `x-goog-api-key`. In
    /// pages of 50 models, or of as many up to 1,000 as `pageSize` says, in the order of
    /// their ids.
    ///
    /// <https://ai.google.dev/api/models>
    Gemini = 2,
    /// Ollama's: `/api/tags` and `/api/version`. For `POST /api/show` see
    /// [`OllamaShowLayer`](crate::OllamaShowLayer).
    ///
    /// <https://docs.ollama.com/api/tags>
    Ollama = 3,
    /// That of OpenAI's Codex: a request for the list with the parameter `client_version`.
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

    /// The name by which a configuration file knows it.
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

    /// The header that asks for it.
    pub(crate) fn header(self) -> Option<HeaderName> {
        match self {
            Self::Anthropic => Some(HeaderName::from_static("anthropic-version")),
            Self::Gemini => Some(HeaderName::from_static("x-goog-api-key")),
            Self::OpenAi | Self::Ollama | Self::Codex => None,
        }
    }

    /// Whether a header decides that a request gets it, or another.
    pub(crate) fn is_chosen_by_header(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic | Self::Gemini)
    }

    /// Whether its lists are compressed. Codex compares their tag with one that came by
    /// another way, so there must be one tag.
    pub(crate) fn has_codings(self) -> bool {
        self != Self::Codex
    }

    /// How much of the list one answer holds.
    pub(crate) fn pagination(self) -> Pagination {
        match self {
            Self::Anthropic => Pagination::Pages { default: 20 },
            Self::Gemini => Pagination::Pages { default: 50 },
            Self::OpenAi | Self::Ollama | Self::Codex => Pagination::Whole,
        }
    }

    /// Whether a page names the next by a token.
    pub(crate) fn has_tokens(self) -> bool {
        self == Self::Gemini
    }

    /// Whether one model can be asked for.
    pub(crate) fn has_models(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic | Self::Gemini)
    }

    // ----- what it is made of -----

    /// What stands before the records of the whole list, of which these are the ends.
    pub(crate) fn open(self, out: &mut Vec<u8>, ends: Option<(ListedId<'_>, ListedId<'_>)>) {
        match self {
            Self::OpenAi => out.extend_from_slice(openai::ENVELOPE.0),
            Self::Anthropic => anthropic::open(out, ends, false),
            Self::Gemini => gemini::open(out, None),
            Self::Ollama | Self::Codex => out.extend_from_slice(br#"{"models":["#),
        }
    }

    /// What stands before the records of a page.
    pub(crate) fn open_page(self, out: &mut Vec<u8>, page: &PageInfo<'_>) {
        match self {
            Self::Gemini => gemini::open(out, page.next.as_deref()),
            _ => anthropic::open(out, page.ends, page.has_more),
        }
    }

    /// What stands after the records.
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

    /// What is wrong, as its clients read it.
    pub(crate) fn problem(self, problem: &ErrorResponse<'_>) -> Vec<u8> {
        match self {
            Self::OpenAi | Self::Codex => openai::problem(problem),
            Self::Anthropic => anthropic::problem(problem),
            Self::Gemini => gemini::problem(problem),
            Self::Ollama => ollama::problem(problem),
        }
    }
}

/// How much of a list one answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pagination {
    Whole,
    Pages { default: usize },
}

/// What a page says of itself.
#[derive(Debug)]
pub(crate) struct PageInfo<'a> {
    /// Its first and its last model.
    pub(crate) ends: Option<(ListedId<'a>, ListedId<'a>)>,
    /// Whether there are more, in the direction that was asked for.
    pub(crate) has_more: bool,
    /// The token of the page after it.
    pub(crate) next: Option<String>,
}

impl fmt::Display for ClientDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no [`ClientDialect`].
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

/// A set of dialects.
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
