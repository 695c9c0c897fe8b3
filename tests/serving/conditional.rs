//! `If-None-Match` and the other preconditions (RFC 9110, section 13), in process, over HTTP/1.1
//! and over HTTP/2, which all give the same response.

use crate::support;
use std::time::Duration;

use crate::support::ScriptedSource;
use crate::support::transports::{
    CODINGS, Transports, VARY, VARY_BY_DIALECT, coding, encoded, error_code, house, only,
};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use tower_models_cache::{
    Model, Provider, StaticModelsCacheLayer,
    error::{ListError, ListErrorKind},
};

/// Field lines, in which `@` is replaced by the quoted tag; whether they match; the rule.
type Row = (&'static [&'static [u8]], bool, &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (&[], false, "no condition"),
    (&[b"@"], true, "the tag"),
    (&[b"W/@"], true, "the comparison is weak"),
    (&[b" \t@ \t"], true, "whitespace around the tag"),
    (&[b"*"], true, "any representation"),
    (&[b" * "], true, "any representation, with whitespace"),
    (&[b"\"x\", @"], true, "last in a list"),
    (&[b"@ , \"x\""], true, "first in a list"),
    (&[b"\"x\",W/@,\"y\""], true, "in the middle, weak, without whitespace"),
    (&[b",, ,@,"], true, "empty members are ignored"),
    (&[b"\"x\"", b"@"], true, "field lines form one list"),
    (&[b"\"x\", \"y\"", b"", b"W/\"z\", W/@"], true, "a list on several lines"),
    (&[b"\"a,b\", @"], true, "a comma within a tag"),
    (&[b"\"\x80\xff\", @"], true, "bytes beyond ASCII within a tag"),
    (&[b"\"\", @"], true, "after the empty tag"),
    (&[b"\"x\""], false, "another tag"),
    (&[b"W/\"x\", \"y\""], false, "other tags"),
    (&[b"\"*\""], false, "a star within quotes is a tag"),
    (&[b"*, \"x\""], false, "a star in a list is malformed"),
    (&[b"*", b"\"x\""], false, "a star beside another line is malformed"),
    (&[b""], false, "an empty line"),
    (&[b",,"], false, "no members"),
    // Malformed members are ignored and do not affect others.
    (&[b"w/@"], false, "the weakness mark is case-sensitive"),
    (&[b"W/ @"], false, "no space after the mark"),
    (&[b"@@"], false, "two tags without a comma"),
    (&[b"@ @"], false, "two tags with only a space between"),
    (&[b"@;q=1"], false, "tags have no parameters"),
    (&[b"x@"], false, "text before the quote"),
    (&[b"@x"], false, "text after the quote"),
    (&[b"x"], false, "no quotes"),
    (&[b"\""], false, "one quote"),
    (&[b"\xff\xfe"], false, "not valid text"),
    (&[b"x, @"], true, "after an unquoted member"),
    (&[b"@, \"x"], true, "before an unterminated member"),
    (&[b"\"x, @"], true, "after an unterminated member"),
    (&[b"\"x", b"@"], true, "a quoted string ends with its line"),
    (&[b"W/, @"], true, "after a mark without a tag"),
];

/// The resources with a tag: the list under each coding, and one model.
fn targets() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lists = CODINGS.map(|coding| ("/v1/models", coding));
    let models = CODINGS.map(|coding| ("/v1/models/house/small", coding));
    lists.into_iter().chain(models)
}

/// The headers of a 304 are those of the 200, without those that describe the body.
fn assert_not_modified(response: &Response<Bytes>, found: &Response<Bytes>, why: &str) {
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{why}");
    assert!(response.body().is_empty(), "{why}");
    let mut expected = found.headers().clone();
    for name in [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
    ] {
        expected.remove(name);
    }
    assert_eq!(response.headers(), &expected, "{why}");
}

#[tokio::test]
async fn if_none_match_follows_rfc_9110() {
    let layer = house();
    encoded(&layer).await;
    let mut transports = Transports::of(&layer).await;
    for (path, name) in targets() {
        let accept = ("accept-encoding", name.as_bytes());
        let found = transports.get(path, &[accept]).await;
        let etag = found.headers()[header::ETAG].as_bytes();
        for (lines, matches, why) in TABLE {
            let lines: Vec<Vec<u8>> = lines.iter().map(|line| fill_in(line, etag)).collect();
            let mut headers = vec![accept];
            headers.extend(lines.iter().map(|line| ("if-none-match", &line[..])));
            let response = transports.get_and_head(path, &headers).await;
            let why = format!("{path} as {name}: {why}");
            if *matches {
                assert_not_modified(&response, &found, &why);
            } else {
                assert_eq!(response.status(), StatusCode::OK, "{why}");
                assert_eq!(response.headers(), found.headers(), "{why}");
                assert!(response.body() == found.body(), "{why}");
            }
        }
    }
}

fn fill_in(line: &[u8], etag: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b'@').collect();
    parts.join(etag)
}

#[tokio::test]
async fn not_modified_has_required_headers_only() {
    let layer = house();
    encoded(&layer).await;
    let mut transports = Transports::of(&layer).await;
    for (path, name) in targets() {
        let accept = ("accept-encoding", name.as_bytes());
        let found = transports.get(path, &[accept]).await;
        let etag = only(found.headers(), "etag");
        let headers = [accept, ("if-none-match", etag.as_bytes())];
        let response = transports.get_and_head(path, &headers).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let mut names: Vec<_> = response
            .headers()
            .keys()
            .map(|name| name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "cache-status", "etag", "vary"]);
        let is_list = path == "/v1/models";
        let vary = if is_list { VARY } else { VARY_BY_DIALECT };
        assert_eq!(only(response.headers(), "vary"), vary);
        assert_eq!(only(response.headers(), "etag"), etag);
        assert_eq!(
            only(response.headers(), "cache-control"),
            "private, no-cache"
        );
        assert_eq!(
            only(response.headers(), "cache-status"),
            "tower-models-cache; hit"
        );
    }
}

#[tokio::test]
async fn etag_of_other_coding_or_resource_is_no_match() {
    let layer = house();
    encoded(&layer).await;
    let mut transports = Transports::of(&layer).await;
    let mut tags = Vec::new();
    for name in CODINGS {
        let accept = ("accept-encoding", name.as_bytes());
        let list = transports.get("/v1/models", &[accept]).await;
        assert_eq!(coding(list.headers()), name);
        tags.push(("/v1/models", name, list.headers()[header::ETAG].clone()));
    }
    for path in ["/v1/models/house/small", "/v1/models/house/large"] {
        let model = transports.get(path, &[]).await;
        tags.push((path, "identity", model.headers()[header::ETAG].clone()));
    }
    for (row, (path, name, _)) in tags.iter().enumerate() {
        for (column, (_, _, etag)) in tags.iter().enumerate() {
            let headers = [
                ("accept-encoding", name.as_bytes()),
                ("if-none-match", etag.as_bytes()),
            ];
            let status = transports.get_and_head(path, &headers).await.status();
            let expected = if row == column {
                StatusCode::NOT_MODIFIED
            } else {
                StatusCode::OK
            };
            assert_eq!(status, expected, "{path} as {name}, and {etag:?}");
        }
    }
}

#[tokio::test]
async fn if_modified_since_is_ignored() {
    let layer = house();
    let mut transports = Transports::of(&layer).await;
    let future = ("if-modified-since", &b"Fri, 31 Dec 2100 23:59:59 GMT"[..]);
    let past = ("if-modified-since", &b"Thu, 01 Jan 1970 00:00:00 GMT"[..]);
    for path in ["/v1/models", "/v1/models/house/small"] {
        let found = transports.get(path, &[]).await;
        let etag = ("if-none-match", found.headers()[header::ETAG].as_bytes());
        let other = ("if-none-match", &b"\"x\""[..]);
        assert!(!found.headers().contains_key(header::LAST_MODIFIED));
        for (headers, expected) in [
            (&[future][..], StatusCode::OK),
            (&[past], StatusCode::OK),
            (&[("if-modified-since", b"soon")], StatusCode::OK),
            (&[future, other], StatusCode::OK),
            (&[past, etag], StatusCode::NOT_MODIFIED),
        ] {
            let response = transports.get_and_head(path, headers).await;
            assert_eq!(response.status(), expected, "{path} {headers:?}");
        }
    }
}

/// A cache may ignore `If-Match` (section 13.1.1), and a server without range support may ignore
/// `Range` and `If-Range` (section 14.2).
#[tokio::test]
async fn range_and_if_match_are_ignored() {
    let layer = house();
    let mut transports = Transports::of(&layer).await;
    for path in ["/v1/models", "/v1/models/house/small"] {
        let found = transports.get(path, &[]).await;
        assert!(!found.headers().contains_key(header::ACCEPT_RANGES));
        let etag = found.headers()[header::ETAG].as_bytes();
        for headers in [
            &[("range", &b"bytes=0-9"[..])][..],
            &[("range", b"bytes=-1")],
            &[("range", b"bytes=999999999-")],
            &[("range", b"bytes=0-9"), ("if-range", etag)],
            &[("if-match", b"\"x\"")],
            &[("if-match", b"*")],
            &[("if-unmodified-since", b"Thu, 01 Jan 1970 00:00:00 GMT")],
        ] {
            let response = transports.get_and_head(path, headers).await;
            assert_eq!(response.status(), StatusCode::OK, "{path} {headers:?}");
            assert_eq!(response.headers(), found.headers(), "{path} {headers:?}");
            assert!(response.body() == found.body(), "{path} {headers:?}");
        }
    }
}

#[tokio::test]
async fn no_cache_request_may_get_304() {
    let layer = house();
    let mut transports = Transports::of(&layer).await;
    let found = transports.get("/v1/models", &[]).await;
    let etag = found.headers()[header::ETAG].as_bytes();
    for directive in ["no-cache", "no-store", "max-age=0", "only-if-cached"] {
        let headers = [
            ("if-none-match", etag),
            ("cache-control", directive.as_bytes()),
            ("pragma", b"no-cache"),
        ];
        let response = transports.get_and_head("/v1/models", &headers).await;
        assert_not_modified(&response, &found, directive);
    }
}

#[tokio::test]
async fn errors_are_never_not_modified() {
    let layer = house();
    encoded(&layer).await;
    let mut transports = Transports::of(&layer).await;
    let any = ("if-none-match", &b"*"[..]);
    let missing = transports.get_and_head("/v1/models/nothing", &[any]).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(error_code(&missing), "model_not_found");
    let nothing = ("accept-encoding", &b"*;q=0"[..]);
    let refused = transports.get_and_head("/v1/models", &[any, nothing]).await;
    assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);

    // The provider is backed off for an hour, so the response does not change meanwhile.
    let hour = Duration::from_secs(3600);
    let down = move || ListError::new(ListErrorKind::Timeout).with_retry_after(hour);
    let failing = ScriptedSource::new(move |_| async move { Err(down()) });
    let layer = StaticModelsCacheLayer::builder()
        .provider(Provider::source("lab", failing))
        .build()
        .unwrap();
    // The first request waits for the provider, and its response reports that.
    support::send(&layer, support::get("/v1/models")).await;
    let response = Transports::of(&layer).await.get("/v1/models", &[any]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error_code(&response), "models_unavailable");
}

#[tokio::test]
async fn etag_matches_while_models_are_unchanged() {
    let layer = house();
    let mut transports = Transports::of(&layer).await;
    let cache = layer.cache();
    let one = || Provider::fixed("house", [Model::new("small")]);
    let two = || Provider::fixed("house", [Model::new("small"), Model::new("x")]);
    cache.set_providers([one()]).await.unwrap();
    let first = transports.get("/v1/models", &[]).await;
    let model = transports.get("/v1/models/house/small", &[]).await;
    let tag_of = |found: &Response<Bytes>| found.headers()[header::ETAG].as_bytes().to_owned();
    let (first_tag, model_tag) = (tag_of(&first), tag_of(&model));

    cache.set_providers([two()]).await.unwrap();
    let headers = [("if-none-match", &first_tag[..])];
    let second = transports.get_and_head("/v1/models", &headers).await;
    assert_eq!(second.status(), StatusCode::OK);
    // This model is unchanged.
    let headers = [("if-none-match", &model_tag[..])];
    let same = transports
        .get_and_head("/v1/models/house/small", &headers)
        .await;
    assert_not_modified(&same, &model, "the model is unchanged");

    cache.set_providers([one()]).await.unwrap();
    let headers = [("if-none-match", &first_tag[..])];
    let again = transports.get_and_head("/v1/models", &headers).await;
    assert_not_modified(&again, &first, "the original models again");
    let headers = [("if-none-match", second.headers()[header::ETAG].as_bytes())];
    let changed = transports.get_and_head("/v1/models", &headers).await;
    assert_eq!(changed.status(), StatusCode::OK);
}
