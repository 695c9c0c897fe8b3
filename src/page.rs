//! Page requests of Anthropic's and Gemini's clients, and Gemini's page tokens. Pure.
//!
//! Pages are slices of the list in the byte order of its ids, and a position is an id. So a
//! position remains valid on every replica when the list changes: a client that pages through a
//! changing list gets no model twice, and gets every model that is listed throughout.

use std::{borrow::Cow, num::NonZeroUsize};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use twox_hash::XxHash3_64;

use crate::render::ListedId;

/// The maximum number of models per page.
pub(crate) const LARGEST: usize = 1000;

/// A requested page: where it starts or ends, and how many models it holds at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest<'a> {
    pub(crate) place: PageStart<'a>,
    pub(crate) limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageStart<'a> {
    Start,
    After(Cow<'a, str>),
    Before(Cow<'a, str>),
    /// After the token's number of models if its list is still current, and after its id
    /// otherwise.
    Token(PageToken),
}

impl<'a> PageRequest<'a> {
    /// The page of a request in Anthropic's dialect. Invalid parameters are ignored, and a
    /// limit above the maximum is lowered to it.
    pub(crate) fn anthropic(query: &'a str, default: usize) -> Self {
        let (mut after, mut before, mut limit) = (None, None, None);
        for (name, value) in parameters(query) {
            match &*name {
                "after_id" => after = Some(value),
                "before_id" => before = Some(value),
                "limit" => limit = size(&value),
                _ => {}
            }
        }
        let is_set = |id: &Cow<'_, str>| !id.is_empty();
        let place = match (after.filter(is_set), before.filter(is_set)) {
            (Some(id), _) => PageStart::After(id),
            (None, Some(id)) => PageStart::Before(id),
            (None, None) => PageStart::Start,
        };
        Self {
            place,
            limit: limit.unwrap_or(default),
        }
    }

    /// The page of a request in Gemini's dialect. `None` if the token is invalid.
    pub(crate) fn gemini(query: &'a str, default: usize) -> Option<Self> {
        let (mut token, mut limit) = (None, None);
        for (name, value) in parameters(query) {
            match &*name {
                "pageToken" | "page_token" => token = Some(value),
                "pageSize" | "page_size" => limit = size(&value),
                _ => {}
            }
        }
        let place = match token.filter(|token| !token.is_empty()) {
            Some(token) => PageStart::Token(PageToken::read(&token)?),
            None => PageStart::Start,
        };
        Some(Self {
            place,
            limit: limit.unwrap_or(default),
        })
    }
}

/// The parameters of a query. Most are plain and need no decoding.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let is_plain = |pair: &str| memchr::memchr2(b'%', b'+', pair.as_bytes()).is_none();
    query
        .split('&')
        .filter_map(move |pair| match pair.split_once('=') {
            Some((name, value)) if is_plain(pair) => Some((name.into(), value.into())),
            _ => form_urlencoded::parse(pair.as_bytes()).next(),
        })
}

fn size(text: &str) -> Option<usize> {
    let size: NonZeroUsize = text.parse().ok()?;
    Some(size.get().min(LARGEST))
}

/// A position in a list in Gemini's dialect.
///
/// The token is opaque to clients and has a checksum, so that a corrupted one is rejected. It is
/// not a secret: a forged one only starts at another model of the caller's own list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    /// A hash of the list that it was made for.
    pub(crate) list: u64,
    /// The number of models of that list before the position.
    pub(crate) index: u32,
    /// The id of the last of them.
    pub(crate) id: String,
}

/// The version of the token format.
const VERSION: u8 = 1;
const HEAD: usize = 1 + 8 + 4;
const CHECK: usize = 8;

impl PageToken {
    /// Encodes the position after `index` models, of which `id` is the last.
    pub(crate) fn token(list: u64, index: usize, id: ListedId<'_>) -> String {
        let mut token = vec![VERSION];
        token.extend(list.to_le_bytes());
        token.extend(u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
        token.extend(id.to_string().bytes());
        token.extend(check(&token).to_le_bytes());
        URL_SAFE_NO_PAD.encode(token)
    }

    fn read(token: &str) -> Option<Self> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (token, sum) = token.split_last_chunk::<CHECK>()?;
        let head = token.get(..HEAD)?;
        if check(token).to_le_bytes() != *sum || head[0] != VERSION {
            return None;
        }
        Some(Self {
            list: u64::from_le_bytes(head[1..9].try_into().ok()?),
            index: u32::from_le_bytes(head[9..].try_into().ok()?),
            id: str::from_utf8(&token[HEAD..]).ok()?.to_owned(),
        })
    }
}

fn check(token: &[u8]) -> u64 {
    const SEED: u64 = 0x6d6f_6465_6c73; // used for nothing but this token format
    XxHash3_64::oneshot_with_seed(SEED, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_query_parameters_are_ignored() {
        let of = |query| {
            let PageRequest { place, limit } = PageRequest::anthropic(query, 20);
            (place, limit)
        };
        let after = |id: &'static str| PageStart::After(id.into());
        for (query, place, limit) in [
            ("", PageStart::Start, 20),
            ("limit=7", PageStart::Start, 7),
            ("limit=1000", PageStart::Start, 1000),
            ("limit=1001", PageStart::Start, 1000),
            ("limit=18446744073709551615", PageStart::Start, 1000),
            ("limit=0", PageStart::Start, 20),
            ("limit=-1", PageStart::Start, 20),
            ("limit=x&limit=", PageStart::Start, 20),
            ("after_id=a%2Fb+c%20d", after("a/b c d"), 20),
            ("after_id=&x", PageStart::Start, 20),
            ("before_id=%C3%BC", PageStart::Before("ü".into()), 20),
            ("before_id=a&after_id=b&limit=3", after("b"), 3),
            ("beta=true&after_id", PageStart::Start, 20),
            ("&&==&a%", PageStart::Start, 20),
        ] {
            assert_eq!(of(query), (place, limit), "{query}");
        }
    }

    #[test]
    fn token_round_trips_and_rejects_changes() {
        let id = ListedId::new(Some("p"), "a/ü:b c");
        let token = PageToken::token(7, 50, id);
        let read = PageToken::read(&token).expect("is a token");
        assert_eq!((read.list, read.index, &*read.id), (7, 50, "p/a/ü:b c"));
        for at in 0..token.len() {
            for other in ["A", "z", "-", "_", "=", "%", ""] {
                let changed = [&token[..at], other, &token[at + 1..]].concat();
                assert!(
                    changed == token || PageToken::read(&changed).is_none(),
                    "{changed}"
                );
            }
        }
        assert!(PageRequest::gemini("pageToken=AAAA", 50).is_none());
        assert!(PageRequest::gemini("pageToken=&pageSize=3", 50).is_some_and(|w| w.limit == 3));
    }
}
