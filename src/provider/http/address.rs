//! Addresses: where a list lies, and where no key may go.

use std::{borrow::Cow, net::IpAddr};

use http::Uri;

use super::query::{names, with_query};
use crate::error::{BuildError, without_query};

/// Where a list lies on the host of a provider.
pub(super) struct ListLocation<'a> {
    /// On a host of its own.
    pub(super) path: Cow<'a, str>,
    /// Below the path of a base URL.
    pub(super) below: Cow<'a, str>,
    /// Ends of a base URL that belong to another API of the same provider.
    pub(super) stripped: &'static [&'static str],
    /// Whether another version in a base URL stands in for that of `path`.
    pub(super) any_version: bool,
    /// What is asked for unless the provider's own path says otherwise.
    pub(super) query: Vec<(Cow<'a, str>, String)>,
}

/// Where the list lies.
///
/// Userinfo in a URL is refused: it is a credential, and belongs in a header.
pub(super) fn list_uri(
    base_url: Option<&str>,
    models_path: Option<&str>,
    place: &ListLocation<'_>,
) -> Result<Uri, BuildError> {
    let base = match base_url {
        None => Uri::from_static("/"),
        Some(url) => parse_base(url)?,
    };
    check_end(&base, models_path, place)?;
    let path = match models_path {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => {
            let expected = "a path that begins with a slash";
            return Err(BuildError::new(
                "models_path",
                without_query(path),
                expected,
            ));
        }
        None => join(base.path(), place),
    };
    let invalid = || BuildError::new("models_path", without_query(&path), "a valid path");
    let missing = |(name, _): &&(Cow<'_, str>, String)| !names(&path).any(|other| other == *name);
    let missing: Vec<_> = place.query.iter().filter(missing).cloned().collect();
    let path_and_query = with_query(&path, &missing);
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path_and_query.parse().map_err(|_| invalid())?);
    Uri::from_parts(parts).map_err(|_| invalid())
}

/// The path of the list below that of a base URL. People write the same base in many
/// ways: with the version of the API or without, for this API of a server or another.
fn join(base: &str, place: &ListLocation<'_>) -> String {
    let ListLocation { path, below, .. } = place;
    let base = base.trim_end_matches('/');
    let stripped = place.stripped.iter().find_map(|end| base.strip_suffix(end));
    let base = stripped.unwrap_or(base);
    if base.is_empty() {
        return path.clone().into_owned();
    }
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    let mut starts: Vec<_> = ends.chain([path.len()]).map(|end| &path[..end]).collect();
    starts.reverse();
    if let Some(rest) = starts.iter().find_map(|start| base.strip_suffix(start)) {
        return format!("{rest}{path}");
    }
    let first = path[1..].split('/').next().unwrap_or_default();
    let last = base.rsplit('/').next().unwrap_or_default();
    if place.any_version && is_version(last) && is_version(first) {
        return format!("{base}{}", &path[1 + first.len()..]);
    }
    format!("{base}/{below}")
}

/// `v1`, `v1beta`, `v4`.
fn is_version(segment: &str) -> bool {
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    segment.strip_prefix('v').is_some_and(digit)
}

/// An address as an operator may read it: without query, and never with userinfo.
pub(super) fn shown(uri: &Uri) -> String {
    let Some(authority) = uri.authority() else {
        return uri.path().to_owned();
    };
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = authority.host();
    let port = authority
        .port_u16()
        .map_or(String::new(), |port| format!(":{port}"));
    format!("{scheme}://{host}{port}{}", uri.path())
}

/// Ends of a URL that are one endpoint of an API, and so never the address of an API.
const ENDPOINTS: [&str; 9] = [
    "/chat/completions",
    "/completions",
    "/messages",
    "/responses",
    "/api/chat",
    "/api/generate",
    "/images/generations",
    "/audio/speech",
    "/audio/transcriptions",
];

/// The same, but a server can also be mounted under such a path: only behind a version.
const VERSIONED: [&str; 3] = ["/embeddings", "/rerank", "/moderations"];

/// The endpoint at the end of a base URL's path, if it names one. The list, or a chat, would
/// be requested below it.
fn endpoint(base: &str) -> Option<&'static str> {
    let base = base.trim_end_matches('/');
    let behind_version = |end: &&&str| {
        let before = base.strip_suffix(**end);
        before.is_some_and(|before| is_version(before.rsplit('/').next().unwrap_or_default()))
    };
    let plain = ENDPOINTS.iter().find(|end| base.ends_with(**end));
    plain
        .or_else(|| VERSIONED.iter().find(behind_version))
        .copied()
}

/// Whether a base URL ends in `/models`, below which the list would be requested, and that is
/// not how the dialect's own path begins.
fn ends_in_models(base: &str, place: &ListLocation<'_>) -> bool {
    const MODELS: &str = "/models";
    let base = base.trim_end_matches('/');
    let inner = || {
        let ends = place.path.match_indices("/models/");
        ends.map(|(at, _)| &place.path[..at + MODELS.len()])
            .any(|start| base.ends_with(start))
    };
    base.ends_with(MODELS) && !inner()
}

/// A base URL, once nothing is found wrong with it as such.
#[cfg(feature = "config")]
pub(super) fn checked_base(url: &str) -> Result<Uri, BuildError> {
    let base = parse_base(url)?;
    match endpoint(base.path()) {
        Some(end) => Err(ends_in(end)),
        None => Ok(base),
    }
}

fn ends_in(end: &str) -> BuildError {
    let value = format!("a URL that ends in {end}");
    let expected = format!("the address of the API, without {end}");
    BuildError::hidden("base_url", &value, expected)
}

fn check_end(
    base: &Uri,
    models_path: Option<&str>,
    place: &ListLocation<'_>,
) -> Result<(), BuildError> {
    let models =
        || (models_path.is_none() && ends_in_models(base.path(), place)).then_some("/models");
    match endpoint(base.path()).or_else(models) {
        Some(end) => Err(ends_in(end)),
        None => Ok(()),
    }
}

fn parse_base(url: &str) -> Result<Uri, BuildError> {
    let expected = "an absolute http or https URL such as https://api.example.com/v1";
    // The text of a URL that does not parse is not repeated: what is in it is
    // not known, and may be a credential.
    let uri: Uri = url
        .parse()
        .map_err(|_| BuildError::hidden("base_url", "not a URL", expected))?;
    let Some(authority) = uri.authority() else {
        return Err(BuildError::hidden(
            "base_url",
            "not an absolute URL",
            expected,
        ));
    };
    if authority.as_str().contains('@') {
        let expected = "a URL without user name and password: set a header instead";
        return Err(BuildError::hidden(
            "base_url",
            "a URL with userinfo",
            expected,
        ));
    }
    // What stands behind the host is taken as it is, port or not.
    if authority.as_str() != authority.host() && authority.port_u16().is_none() {
        return Err(BuildError::hidden(
            "base_url",
            "a URL with a port that is none",
            expected,
        ));
    }
    if uri.query().is_some() {
        let expected = "a URL without a query: put it into models_path";
        return Err(BuildError::hidden(
            "base_url",
            "a URL with a query",
            expected,
        ));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err(BuildError::hidden(
            "base_url",
            "of another scheme",
            expected,
        )),
    }
}

// ===== Where no key may go =====

/// Whether a host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &'static str, below: &'static str) -> ListLocation<'static> {
        ListLocation {
            path: path.into(),
            below: below.into(),
            stripped: if path.starts_with("/api/") {
                &["/v1"]
            } else {
                &[]
            },
            any_version: true,
            query: Vec::new(),
        }
    }

    #[test]
    fn the_list_lies_where_the_base_url_says() {
        let openai = place("/v1/models", "models");
        for (base, path, expected) in [
            (None, None, "/v1/models"),
            (None, Some("/models"), "/models"),
            (Some("https://a.test"), None, "https://a.test/v1/models"),
            (Some("https://a.test/"), None, "https://a.test/v1/models"),
            (Some("https://a.test/v1"), None, "https://a.test/v1/models"),
            (Some("https://a.test/v1/"), None, "https://a.test/v1/models"),
            (
                Some("https://a.test/v1//"),
                None,
                "https://a.test/v1/models",
            ),
            (
                Some("https://a.test/models"),
                Some("/list"),
                "https://a.test/list",
            ),
            (
                Some("https://a.test/embeddings"),
                None,
                "https://a.test/embeddings/models",
            ),
            (
                Some("https://a.test/my-completions"),
                None,
                "https://a.test/my-completions/models",
            ),
            (
                Some("https://a.test/api/paas/v4"),
                None,
                "https://a.test/api/paas/v4/models",
            ),
            (
                Some("https://a.test/openai"),
                None,
                "https://a.test/openai/models",
            ),
            (
                Some("http://[::1]:80/openai/v1"),
                None,
                "http://[::1]:80/openai/v1/models",
            ),
            (
                Some("https://a.test/inference"),
                Some("/catalog/models?x=1"),
                "https://a.test/catalog/models?x=1",
            ),
        ] {
            let uri = list_uri(base, path, &openai).expect("is a good address");
            assert_eq!(uri, expected, "{base:?} {path:?}");
        }
        for (path, below, base, expected) in [
            (
                "/v1/models",
                "v1/models",
                "/anthropic",
                "/anthropic/v1/models",
            ),
            (
                "/v1/models",
                "v1/models",
                "/anthropic/v1",
                "/anthropic/v1/models",
            ),
            (
                "/v1beta/models",
                "v1beta/models",
                "/v1beta",
                "/v1beta/models",
            ),
            ("/v1beta/models", "v1beta/models", "/v1", "/v1/models"),
            (
                "/ai/models/search",
                "models/search",
                "/x/ai/models",
                "/x/ai/models/search",
            ),
            ("/api/tags", "api/tags", "/api", "/api/tags"),
            ("/api/tags", "api/tags", "/v1", "/api/tags"),
            ("/api/tags", "api/tags", "/ollama/v1", "/ollama/api/tags"),
            ("/api/tags", "api/tags", "/ollama", "/ollama/api/tags"),
        ] {
            let base = format!("http://a.test{base}");
            let uri = list_uri(Some(&base), None, &place(path, below)).expect("is good");
            assert_eq!(uri.path(), expected, "{base} {path}");
        }
    }

    #[test]
    fn the_query_of_a_dialect_gives_way_to_that_of_a_path() {
        let mut place = place("/v1/models", "models");
        place.query = vec![
            ("limit".into(), "1000".into()),
            ("a b".into(), "ü&=".into()),
        ];
        for (path, expected) in [
            (None, "/v1/models?limit=1000&a%20b=%C3%BC%26%3D"),
            (Some("/m?limit=5&"), "/m?limit=5&a%20b=%C3%BC%26%3D"),
            (Some("/m?%6Cimit=5&a%20b"), "/m?%6Cimit=5&a%20b"),
        ] {
            assert_eq!(list_uri(None, path, &place).expect("is good"), expected);
        }
    }

    #[test]
    fn a_bad_address_is_told_without_its_text() {
        let openai = place("/v1/models", "models");
        for base in [
            "https://user:hunter2@a.test/v1",
            "hunter2",
            "https://a b/hunter2",
            "ftp://a.test/hunter2",
            "/hunter2",
            "https://a.test/v1?key=hunter2",
            "https://a.test:hunter2/v1",
            "https://a.test:/hunter2",
            "https://a.test:99999/hunter2",
        ] {
            let error = list_uri(Some(base), None, &openai).expect_err(base);
            assert_eq!(error.field(), "base_url");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let error = list_uri(None, Some("models"), &openai).expect_err("has no slash");
        assert_eq!(error.field(), "models_path");
        for path in ["models?key=hunter2", "/a b?key=hunter2"] {
            let error = list_uri(None, Some(path), &openai).expect_err(path);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_base_url_that_is_an_endpoint_is_refused() {
        let openai = place("/v1/models", "models");
        for (base, end) in [
            (
                "https://a.test/hunter2/v1/chat/completions",
                "/chat/completions",
            ),
            ("https://a.test/chat/completions//", "/chat/completions"),
            ("https://a.test/v1/completions", "/completions"),
            ("https://a.test/v1/messages/", "/messages"),
            ("https://a.test/v1/responses", "/responses"),
            ("https://a.test/v1/embeddings", "/embeddings"),
            ("https://a.test/v1/models", "/models"),
            ("https://a.test/models/", "/models"),
            ("http://localhost:11434/api/chat", "/api/chat"),
        ] {
            let error = list_uri(Some(base), None, &openai).expect_err(base);
            assert_eq!(error.field(), "base_url");
            let text = error.to_string();
            let expected = format!(
                "base_url is a URL that ends in {end}, expected the address of the API, without {end}"
            );
            assert_eq!(text, expected);
        }
        // The list's path does not make an endpoint of inference an address.
        let base = "https://a.test/inference/chat/completions";
        assert!(list_uri(Some(base), Some("/catalog/models"), &openai).is_err());
    }

    #[test]
    fn loopback_is_what_never_leaves_the_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "a.test",
            "localhost.a.test",
            "127.0.0.1.a.test",
            "128.0.0.1",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::]",
            "",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
