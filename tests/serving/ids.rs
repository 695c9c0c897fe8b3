//! Ids in paths: each listed id is found in every encoding that a client may send, and any other
//! id is 404. In process, over HTTP/1.1 and over HTTP/2.

use crate::support::send;
use crate::support::transports::{Transports, decoded, error_code, request};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use tower_models_cache::{Model, Provider, StaticModelsCacheLayer};

/// Ids of real providers, and difficult ones.
const LISTED: &[&str] = &[
    "house/small",
    "house/llama-3.1:8b@q4_K_M",
    "house/org/model",
    "house/a/b/c/d",
    "house/a b",
    "house/a+b",
    "house/größe-模型-🦙",
    "house/~tilde",
    "house/it's(1)!*",
    "house/a&b=c;d,e$f",
    "house/[x]{y}|z^`\"<>\\",
    "house/what?",
    "house/#1",
    "house/100%",
    "house/%2F",
    "house/a%20b",
    "house/.",
    "house/..",
    "house/../up",
    "house/...",
    "house/.hidden",
    "house/slash/",
    "house//doubled",
    "house//",
    "a/b c",
    ":1",
    "..",
    ".",
    "/leading",
    "%",
    "+",
    "models/gemini",
];

fn layer() -> StaticModelsCacheLayer {
    let house = LISTED.iter().filter_map(|id| id.strip_prefix("house/"));
    let bare = LISTED.iter().filter(|id| !id.starts_with("house/"));
    StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("house", house.map(Model::new)))
        .provider(Provider::fixed("bare", bare.map(|id| Model::new(*id))).prefix(false))
        .build()
        .unwrap()
}

/// Escapes all bytes but letters, digits and `plain`.
fn escape(id: &str, plain: &str, lower: bool) -> String {
    let escape = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || plain.contains(c) => c.to_string(),
        _ if lower => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    id.bytes().map(escape).collect()
}

/// The ways in which clients write an id into a path.
fn dialects(id: &str) -> Vec<(&'static str, String)> {
    let all = |byte: u8| format!("%{byte:02X}");
    vec![
        ("encodeURIComponent", escape(id, "-_.!~*'()", false)),
        ("quote, no safe characters", escape(id, "-_.~", false)),
        ("quote", escape(id, "-_.~/", false)),
        (
            "a path segment's characters",
            escape(id, "-._~!$&'()*+,;=:@", false),
        ),
        (
            "a path's characters",
            escape(id, "-._~!$&'()*+,;=:@/", false),
        ),
        ("small hex digits", escape(id, "-_.~", true)),
        ("nothing left plain", id.bytes().map(all).collect()),
    ]
}

/// The record of the model in the list.
fn record<'a>(list: &'a [serde_json::Value], id: &str) -> &'a serde_json::Value {
    list.iter().find(|model| model["id"] == id).unwrap()
}

#[tokio::test]
async fn listed_id_is_found_in_every_encoding() {
    let layer = layer();
    let list: serde_json::Value = serde_json::from_slice(&layer.cache().snapshot().body()).unwrap();
    let list = list["data"].as_array().unwrap();
    assert_eq!(list.len(), LISTED.len());
    let mut transports = Transports::of(&layer).await;
    for id in LISTED {
        for (form, written) in dialects(id) {
            for end in ["", "?limit=1", "?x=%zz&%"] {
                let path = format!("/v1/models/{written}{end}");
                let response = transports.get_and_head(&path, &[]).await;
                assert_eq!(response.status(), StatusCode::OK, "{id} by {form}: {path}");
                let model: serde_json::Value = serde_json::from_slice(&decoded(&response)).unwrap();
                assert_eq!(&model, record(list, id), "{form}: {path}");
            }
        }
    }
}

/// SDKs that put the id into the URL unescaped, as far as that is a valid path.
#[tokio::test]
async fn listed_id_is_found_unescaped() {
    let layer = layer();
    let mut transports = Transports::of(&layer).await;
    let mut raw = Vec::new();
    for id in LISTED {
        let path = format!("/v1/models/{id}");
        // Escapes, a query and a fragment have another meaning in a URL.
        if id.contains(['%', '?', '#']) || Uri::try_from(path.as_bytes()).is_err() {
            continue;
        }
        let response = transports.get_and_head(&path, &[]).await;
        let model: serde_json::Value = serde_json::from_slice(&decoded(&response)).unwrap();
        assert_eq!(model["id"], *id);
        raw.push(*id);
    }
    for id in [
        "house/größe-模型-🦙",
        "house/..",
        "house//doubled",
        "/leading",
    ] {
        assert!(raw.contains(&id), "{id} was not sent unescaped: {raw:?}");
    }
}

#[tokio::test]
async fn trailing_slash_is_part_of_id_or_ignored() {
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed("p", ["a", "b/", "c", "c/"].map(Model::new)))
        .build()
        .unwrap();
    let cases = [
        ("p/a", Some("p/a")),
        ("p/a/", Some("p/a")),
        ("p/a%2F", Some("p/a")),
        ("p/a//", None),
        ("p/b", None),
        ("p/b/", Some("p/b/")),
        ("p/b//", Some("p/b/")),
        ("p/b///", None),
        ("p/c", Some("p/c")),
        ("p/c/", Some("p/c/")),
        ("p/c%2f", Some("p/c/")),
        ("p/c//", Some("p/c/")),
    ];
    assert_models(&layer, &cases).await;
}

/// Checks which model each path leads to; `None` is a 404.
async fn assert_models(layer: &StaticModelsCacheLayer, cases: &[(&str, Option<&str>)]) {
    let mut transports = Transports::of(layer).await;
    for (path, expected) in cases {
        let uri = format!("/v1/models/{path}");
        let response = transports.get_and_head(&uri, &[]).await;
        assert_model(&response, *expected, path);
    }
}

fn assert_model(response: &Response<Bytes>, expected: Option<&str>, what: &str) {
    let Some(expected) = expected else {
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{what}");
        assert_eq!(error_code(response), "model_not_found", "{what}");
        return;
    };
    assert_eq!(response.status(), StatusCode::OK, "{what}");
    let model: serde_json::Value = serde_json::from_slice(&decoded(response)).unwrap();
    assert_eq!(model["id"], expected, "{what}");
}

#[tokio::test]
async fn id_is_decoded_once_and_plus_is_literal() {
    let cases = [
        ("house/a+b", Some("house/a+b")),
        ("house/a%2Bb", Some("house/a+b")),
        ("house/a%20b", Some("house/a b")),
        ("house/a%2520b", Some("house/a%20b")),
        ("house/a%252520b", None),
        ("house/%252F", Some("house/%2F")),
        ("house/%2F", Some("house//")),
        ("house%252Fsmall", None),
        ("+", Some("+")),
        ("%2B", Some("+")),
        ("%20", None),
    ];
    assert_models(&layer(), &cases).await;
}

#[tokio::test]
async fn unknown_id_is_openai_404() {
    let mut transports = Transports::of(&layer()).await;
    let long = [641, 1923, 1924, 1926, 1927, 4000].map(|length| "a".repeat(length));
    let slashes = "/".repeat(3000);
    let escapes = "%2F".repeat(2000);
    let hidden = "house/small".to_owned() + &"/".repeat(2000);
    let mut paths: Vec<&[u8]> = vec![
        // Almost a listed id.
        b"house",
        b"house/",
        b"/house/small",
        b"house//small",
        b"house/small//",
        b"House/small",
        b"house/smal",
        b"house/smalls",
        b"small",
        b"bare/:1",
        b"./house/small",
        b"house/./small",
        b"x/../house/small",
        b"house/small/..",
        b"house/small/.",
        b"...",
        b"a/b+c",
        // Invalid escapes.
        b"%",
        b"%2",
        b"%zz",
        b"%2G",
        b"house/small%",
        b"house/small%4",
        b"%%",
        b"%%41",
        b"%u0061",
        // Invalid UTF-8.
        b"%FF",
        b"%C3",
        b"%C3%28",
        b"%ED%A0%80",
        b"%C0%AF",
        b"%F5%80%80%80",
        b"house/%80",
        // Characters that no id has.
        b"%00",
        b"house/small%00",
        b"%0D%0Aset-cookie:%20x=y",
        b"%1B%5B2J",
        b"%E2%80%AE",
        b"%7F",
        // Attacks.
        b"..%2f..%2f..%2fetc%2fpasswd",
        b"%2e%2e%2e",
        b"%3Cscript%3E",
        b"{id}",
        b"*",
        b"/",
        b"//",
        b"%2F",
        b"%22%7D%5D",
        b"$%7Bjndi:x%7D",
    ];
    paths.extend([slashes.as_bytes(), escapes.as_bytes(), hidden.as_bytes()]);
    paths.extend(long.iter().map(|id| id.as_bytes()));
    for path in paths {
        let what = path.escape_ascii().to_string();
        let path = [b"/v1/models/", path].concat();
        for method in [Method::GET, Method::HEAD] {
            let response = transports.send(&request(method.clone(), &path, &[])).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{what}");
            if method == Method::GET {
                assert_model(&response, None, &what);
            }
        }
    }
}

#[tokio::test]
async fn longest_possible_path_is_404() {
    for unit in ["a", "/", "%61", "%", "house/small/", "ü"] {
        let path = "/v1/models/".to_owned() + &unit.repeat(65_000 / unit.len());
        let request: Request<Empty<Bytes>> = request(Method::GET, path, &[]).map(|()| Empty::new());
        assert_model(&send(&layer(), request).await, None, unit);
    }
}

#[tokio::test]
async fn longest_id_is_found_fully_escaped() {
    let name = "n".repeat(128);
    let id = "ü".repeat(256);
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::fixed(&name, [Model::new(&id)]))
        .build()
        .unwrap();
    let listed = format!("{name}/{id}");
    let mut transports = Transports::of(&layer).await;
    for (form, written) in dialects(&listed) {
        for end in ["", "/", "%2F"] {
            let path = format!("/v1/models/{written}{end}");
            let response = transports.get_and_head(&path, &[]).await;
            assert_model(&response, Some(&listed), &format!("{form}, then {end:?}"));
        }
    }
}

#[tokio::test]
async fn error_quotes_id_as_plain_text() {
    let mut transports = Transports::of(&layer()).await;
    let path = "/v1/models/%22%7D,%7B%22x%22:%0D%0A%3Cb%3E%00";
    let response = transports.get(path, &[]).await;
    assert_eq!(error_code(&response), "model_not_found");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("\"},{\"x\":\r\n<b>\0"), "{message:?}");
}
