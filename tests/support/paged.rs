//! How providers page their lists on the wire: the content of a page, and how the next one is
//! requested.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module of a test, which fails by panicking"
)]

use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use tower_models_cache::{error::ListErrorKind, provider::Dialect};

/// One page of a list on the server.
struct Leaf<'a> {
    /// Counted from 1.
    number: usize,
    names: &'a [&'a str],
    /// The number of the next page.
    next: Option<usize>,
}

/// How one dialect pages.
pub struct Style {
    /// The name of the dialect.
    pub dialect: &'static str,
    /// The query parameter that is sent for every page.
    size: Option<(&'static str, &'static str)>,
    /// The query parameter that selects the page.
    turn: &'static str,
    /// The value of that parameter for a page after the first.
    pub cursor: fn(usize) -> String,
    page: fn(&Leaf<'_>) -> Value,
    /// A page that lacks an expected cursor, and the error it causes, if any.
    cut_off: fn(&Leaf<'_>) -> (Value, Option<ListErrorKind>),
}

impl Style {
    /// The dialect itself. An unknown name panics.
    pub fn dialect(&self) -> Dialect {
        self.dialect
            .parse()
            .unwrap_or_else(|error| panic!("{} is {error}", self.dialect))
    }

    pub fn page(&self, number: usize, names: &[&str], next: impl Into<Option<usize>>) -> String {
        let next = next.into();
        let leaf = Leaf {
            number,
            names,
            next,
        };
        (self.page)(&leaf).to_string()
    }

    pub fn cut_off(&self, number: usize, names: &[&str]) -> (String, Option<ListErrorKind>) {
        let leaf = Leaf {
            number,
            names,
            next: None,
        };
        let (page, why) = (self.cut_off)(&leaf);
        (page.to_string(), why)
    }

    /// The number of the requested page, if the request is as expected.
    pub fn requested_page(&self, uri: &Uri, pages: usize) -> Option<usize> {
        let mut parameters = query(uri);
        if let Some((name, value)) = self.size {
            let size = (name.to_owned(), value.to_owned());
            let at = parameters.iter().position(|pair| *pair == size)?;
            parameters.remove(at);
        }
        match &parameters[..] {
            [] => Some(1),
            [(name, value)] if name == self.turn => {
                (2..=pages).find(|page| *value == (self.cursor)(*page))
            }
            _ => None,
        }
    }
}

/// The parameters of a query, decoded as by servers that read a plus as a space.
fn query(uri: &Uri) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (decoded(name), decoded(value))
    };
    uri.query()
        .into_iter()
        .flat_map(|of| of.split('&'))
        .map(pair)
        .collect()
}

// ===== cursors =====

/// A cursor with characters that must be escaped in a query.
fn opaque(page: usize) -> String {
    format!("p{page}/+=&#?% ü")
}

fn number(page: usize) -> String {
    page.to_string()
}

/// Records whose `field` is `prefix` and the name.
fn named(names: &[&str], field: &str, prefix: &str) -> Value {
    let record = |name: &&str| json!({ field: format!("{prefix}{name}") });
    names.iter().map(record).collect()
}

/// A list under `container`, with the token of the next page in `field`.
fn by_token(leaf: &Leaf<'_>, container: &str, records: Value, field: &str) -> Value {
    let mut page = json!({ container: records });
    if let Some(next) = leaf.next {
        page[field] = opaque(next).into();
    }
    page
}

/// The same with an empty token, which is the end, as protocol buffers encode it.
fn with_empty(mut page: Value, field: &str) -> (Value, Option<ListErrorKind>) {
    page[field] = "".into();
    (page, None)
}

// ===== cursor =====

fn anthropic_page(leaf: &Leaf<'_>) -> Value {
    let last = leaf.next.map_or("last".to_owned(), opaque);
    let record = |name: &&str| json!({ "type": "model", "id": name });
    json!({
        "data": Value::from_iter(leaf.names.iter().map(record)),
        "first_id": "first",
        "has_more": leaf.next.is_some(),
        "last_id": last,
    })
}

pub const ANTHROPIC: Style = Style {
    dialect: "anthropic",
    size: Some(("limit", "1000")),
    turn: "after_id",
    cursor: opaque,
    page: anthropic_page,
    cut_off: |leaf| {
        let mut page = anthropic_page(leaf);
        page["has_more"] = true.into();
        page["last_id"] = Value::Null;
        (page, Some(ListErrorKind::NextPage))
    },
};

// ===== token =====

fn gemini_page(leaf: &Leaf<'_>) -> Value {
    let mut records = named(leaf.names, "name", "models/");
    for record in records.as_array_mut().unwrap() {
        record["supportedGenerationMethods"] = json!(["generateContent"]);
    }
    by_token(leaf, "models", records, "nextPageToken")
}

pub const GEMINI: Style = Style {
    dialect: "gemini",
    size: Some(("pageSize", "1000")),
    turn: "pageToken",
    cursor: opaque,
    page: gemini_page,
    cut_off: |leaf| with_empty(gemini_page(leaf), "nextPageToken"),
};

fn vertex_page(leaf: &Leaf<'_>) -> Value {
    let records = named(leaf.names, "name", "publishers/google/models/");
    by_token(leaf, "publisherModels", records, "nextPageToken")
}

pub const VERTEX: Style = Style {
    dialect: "vertex",
    size: Some(("pageSize", "100")),
    turn: "pageToken",
    cursor: opaque,
    page: vertex_page,
    cut_off: |leaf| with_empty(vertex_page(leaf), "nextPageToken"),
};

fn fireworks_page(leaf: &Leaf<'_>) -> Value {
    let records = named(leaf.names, "name", "accounts/fireworks/models/");
    let mut page = by_token(leaf, "models", records, "nextPageToken");
    page["totalSize"] = 1000.into();
    page
}

pub const FIREWORKS: Style = Style {
    dialect: "fireworks",
    size: Some(("pageSize", "200")),
    turn: "pageToken",
    cursor: opaque,
    page: fireworks_page,
    cut_off: |leaf| with_empty(fireworks_page(leaf), "nextPageToken"),
};

fn cohere_page(leaf: &Leaf<'_>) -> Value {
    let records = named(leaf.names, "name", "");
    by_token(leaf, "models", records, "next_page_token")
}

pub const COHERE: Style = Style {
    dialect: "cohere",
    size: Some(("page_size", "1000")),
    turn: "page_token",
    cursor: opaque,
    page: cohere_page,
    cut_off: |leaf| with_empty(cohere_page(leaf), "next_page_token"),
};

fn bedrock_page(leaf: &Leaf<'_>) -> Value {
    let mut records = named(leaf.names, "inferenceProfileId", "");
    for record in records.as_array_mut().unwrap() {
        record["status"] = "ACTIVE".into();
    }
    by_token(leaf, "inferenceProfileSummaries", records, "nextToken")
}

pub const BEDROCK_PROFILES: Style = Style {
    dialect: "bedrock-profiles",
    size: Some(("maxResults", "1000")),
    turn: "nextToken",
    cursor: opaque,
    page: bedrock_page,
    cut_off: |leaf| with_empty(bedrock_page(leaf), "nextToken"),
};

// ===== link =====

fn openrouter_page(leaf: &Leaf<'_>) -> Value {
    let link = |next| {
        format!(
            "?offset={}",
            utf8_percent_encode(&opaque(next), NON_ALPHANUMERIC)
        )
    };
    json!({
        "data": named(leaf.names, "id", ""),
        "links": { "next": leaf.next.map(link) },
        "total_count": 1000,
    })
}

pub const OPENROUTER: Style = Style {
    dialect: "openrouter",
    size: None,
    turn: "offset",
    cursor: opaque,
    page: openrouter_page,
    cut_off: |leaf| {
        let mut page = openrouter_page(leaf);
        page["links"]["next"] = "".into();
        (page, None)
    },
};

// ===== page number =====

/// The number of the current page and of the last one, as the server reports them.
fn numbers(leaf: &Leaf<'_>) -> (usize, usize) {
    match leaf.next {
        Some(next) => (next - 1, next),
        None => (leaf.number, leaf.number),
    }
}

fn cloudflare_page(leaf: &Leaf<'_>) -> Value {
    let (page, pages) = numbers(leaf);
    json!({
        "success": true,
        "errors": [],
        "messages": [],
        "result": named(leaf.names, "name", ""),
        "result_info": {
            "page": page,
            "per_page": 100,
            "count": 100,
            "total_count": 100 * pages,
            "total_pages": pages,
        },
    })
}

pub const CLOUDFLARE: Style = Style {
    dialect: "cloudflare",
    size: Some(("per_page", "100")),
    turn: "page",
    cursor: number,
    page: cloudflare_page,
    cut_off: |leaf| {
        let mut page = cloudflare_page(leaf);
        page["result_info"] = json!({});
        (page, None)
    },
};

fn gpustack_page(leaf: &Leaf<'_>) -> Value {
    let (page, pages) = numbers(leaf);
    let mut records = named(leaf.names, "name", "");
    for (id, record) in records.as_array_mut().unwrap().iter_mut().enumerate() {
        record["id"] = id.into();
    }
    json!({
        "items": records,
        "pagination": {
            "page": page,
            "perPage": 100,
            "total": 100 * pages,
            "totalPage": pages,
        },
    })
}

pub const GPUSTACK: Style = Style {
    dialect: "gpustack",
    size: Some(("perPage", "100")),
    turn: "page",
    cursor: number,
    page: gpustack_page,
    cut_off: |leaf| {
        let mut page = gpustack_page(leaf);
        page["pagination"] = json!({});
        (page, None)
    },
};

// ===== detected =====

/// Anthropic's pages, from a server whose dialect is detected.
pub const AUTO: Style = Style {
    dialect: "auto",
    size: None,
    ..ANTHROPIC
};
