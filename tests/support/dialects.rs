//! The dialects in which clients request the list: requests in each, and accessors for the
//! responses.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part of it, and tests unwrap"
)]

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Empty;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, value::RawValue};
use tower_models_cache::{Builder, ClientDialect};

pub const ALL: [ClientDialect; 5] = [
    ClientDialect::OpenAi,
    ClientDialect::Anthropic,
    ClientDialect::Gemini,
    ClientDialect::Ollama,
    ClientDialect::Codex,
];

/// The dialects with paged lists.
pub const PAGED: [ClientDialect; 2] = [ClientDialect::Anthropic, ClientDialect::Gemini];

/// The dialects with a request for one model.
pub const WITH_MODELS: [ClientDialect; 3] = [
    ClientDialect::OpenAi,
    ClientDialect::Anthropic,
    ClientDialect::Gemini,
];

/// Enables all dialects.
pub fn with_all_dialects(builder: Builder) -> Builder {
    builder.client_dialects(ALL)
}

fn request(uri: &str, dialect: ClientDialect) -> Request<Empty<Bytes>> {
    let mut request = Request::get(uri);
    if dialect == ClientDialect::Anthropic {
        request = request.header("anthropic-version", "2023-06-01");
    }
    request.body(Empty::new()).unwrap()
}

/// A request for the list, or for a page of it.
pub fn list(dialect: ClientDialect, query: &str) -> Request<Empty<Bytes>> {
    let path = match dialect {
        ClientDialect::Gemini => "/v1beta/models",
        ClientDialect::Ollama => "/api/tags",
        ClientDialect::Codex => "/v1/models?client_version=0.169.0&",
        _ => "/v1/models",
    };
    let mark = if path.contains('?') || query.is_empty() {
        ""
    } else {
        "?"
    };
    request(&format!("{path}{mark}{query}"), dialect)
}

/// A request for the whole list, in one page where the dialect has pages.
pub fn whole_list(dialect: ClientDialect) -> Request<Empty<Bytes>> {
    list(dialect, limit(dialect, 1000).as_str())
}

/// The query parameter for pages of this size.
pub fn limit(dialect: ClientDialect, size: usize) -> String {
    match dialect {
        ClientDialect::Anthropic => format!("limit={size}"),
        ClientDialect::Gemini => format!("pageSize={size}"),
        _ => String::new(),
    }
}

/// A request for one model, with its id fully escaped.
pub fn model(dialect: ClientDialect, id: &str) -> Request<Empty<Bytes>> {
    model_at(dialect, &escaped(id))
}

/// A request for one model, with this path for its id.
pub fn model_at(dialect: ClientDialect, path: &str) -> Request<Empty<Bytes>> {
    let mount = match dialect {
        ClientDialect::Gemini => "/v1beta/models",
        _ => "/v1/models",
    };
    request(&format!("{mount}/{path}"), dialect)
}

pub fn escaped(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

pub fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// The records of a list or of a page, byte for byte.
pub fn records(dialect: ClientDialect, body: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct List<'a> {
        #[serde(borrow, alias = "data")]
        models: Vec<&'a RawValue>,
    }
    let list: List<'_> = serde_json::from_slice(body).unwrap();
    let _ = dialect;
    list.models
        .iter()
        .map(|record| record.get().to_owned())
        .collect()
}

/// The id of a record.
pub fn id_of(dialect: ClientDialect, record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    let text = |field: &str| record[field].as_str().unwrap().to_owned();
    match dialect {
        ClientDialect::Gemini => text("name").strip_prefix("models/").unwrap().to_owned(),
        ClientDialect::Ollama => text("model"),
        ClientDialect::Codex => text("slug"),
        _ => text("id"),
    }
}

/// The ids of a list or of a page.
pub fn ids(dialect: ClientDialect, body: &[u8]) -> Vec<String> {
    let records = records(dialect, body);
    records
        .iter()
        .map(|record| id_of(dialect, record))
        .collect()
}

/// The query parameter for the next page, if there is one.
pub fn next(dialect: ClientDialect, response: &Response<Bytes>) -> Option<String> {
    let page = json(response);
    let (name, value) = match dialect {
        ClientDialect::Anthropic if page["has_more"].as_bool().unwrap() => {
            ("after_id", &page["last_id"])
        }
        ClientDialect::Gemini => ("pageToken", page.get("nextPageToken")?),
        _ => return None,
    };
    Some(format!("{name}={}", escaped(value.as_str().unwrap())))
}

/// The message of an error, and its code or type in the dialect.
pub fn error(dialect: ClientDialect, response: &Response<Bytes>) -> (String, String) {
    let body = json(response);
    let error = &body["error"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match dialect {
        ClientDialect::Anthropic => {
            assert_eq!(body["type"], "error");
            (text(&error["message"]), text(&error["type"]))
        }
        ClientDialect::Gemini => {
            assert_eq!(error["code"], response.status().as_u16());
            (text(&error["message"]), text(&error["status"]))
        }
        ClientDialect::Ollama => (text(error), String::new()),
        _ => {
            assert!(error.get("param").is_some() && error["type"].is_string());
            let code = error["code"].as_str().unwrap_or_default();
            (text(&error["message"]), code.to_owned())
        }
    }
}

/// The headers without `Cache-Status`, which changes while the list does not.
pub fn without_cache_status(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove("cache-status");
    headers
}
