//! The URI of a provider's list, and the checks of a base URL.

use std::{borrow::Cow, net::IpAddr};

use http::Uri;

use super::query::{names, with_query};
use crate::error::{BuildError, without_query};

/// The location of a list on a provider's host, as its dialect defines it.
pub(super) struct ListLocation<'a> {
    /// The absolute path, for a base URL without a path.
    pub(super) path: Cow<'a, str>,
    /// The path relative to the path of a base URL.
    pub(super) relative_path: Cow<'a, str>,
    /// Suffixes of a base URL that belong to another API of the same provider.
    pub(super) stripped: &'static [&'static str],
    /// Whether a version in the base URL replaces the version in `path`.
    pub(super) any_version: bool,
    /// Query parameters. A parameter of the same name in `models_path` takes precedence.
    pub(super) query: Vec<(Cow<'a, str>, String)>,
}

/// The URI of the list.
///
/// Userinfo in a URL is rejected: it is a credential, and belongs in a header.
pub(super) fn list_uri(
    base_url: Option<&str>,
    models_path: Option<&str>,
    location: &ListLocation<'_>,
) -> Result<Uri, BuildError> {
    let base = match base_url {
        None => Uri::from_static("/"),
        Some(url) => parse_base(url)?,
    };
    check_suffix(&base, models_path, location)?;
    let path = match models_path {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => {
            let expected = "a path that starts with a slash";
            return Err(BuildError::new(
                "models_path",
                without_query(path),
                expected,
            ));
        }
        None => join(base.path(), location),
    };
    let invalid = || BuildError::new("models_path", without_query(&path), "a valid path");
    let missing = |(name, _): &&(Cow<'_, str>, String)| !names(&path).any(|other| other == *name);
    let missing: Vec<_> = location.query.iter().filter(missing).cloned().collect();
    let path_and_query = with_query(&path, &missing);
    let mut parts = base.into_parts();
    parts.path_and_query = Some(path_and_query.parse().map_err(|_| invalid())?);
    Uri::from_parts(parts).map_err(|_| invalid())
}

/// Joins the path of a base URL and the path of the list.
///
/// A base URL can be written in several ways: with or without the version of the API, or for
/// another API of the same server.
fn join(base: &str, location: &ListLocation<'_>) -> String {
    let ListLocation {
        path,
        relative_path,
        ..
    } = location;
    let base = base.trim_end_matches('/');
    let mut suffixes = location.stripped.iter();
    let stripped = suffixes.find_map(|suffix| base.strip_suffix(suffix));
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
    if location.any_version && is_version(last) && is_version(first) {
        return format!("{base}{}", &path[1 + first.len()..]);
    }
    format!("{base}/{relative_path}")
}

/// Whether a path segment is a version, such as `v1`, `v1beta` or `v4`.
fn is_version(segment: &str) -> bool {
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    segment.strip_prefix('v').is_some_and(digit)
}

/// The URI without userinfo and query, for logs and the status.
pub(super) fn redact(uri: &Uri) -> String {
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

/// Suffixes of a URL that name an endpoint of an API, so that it is not the base URL of one.
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

/// Suffixes that name an endpoint only after a version: a server can also be mounted under
/// such a path.
const VERSIONED_ENDPOINTS: [&str; 3] = ["/embeddings", "/rerank", "/moderations"];

/// The endpoint that a base URL's path ends in, if any. The list would be requested below it.
fn endpoint(base: &str) -> Option<&'static str> {
    let base = base.trim_end_matches('/');
    let follows_version = |suffix: &&&str| {
        let before = base.strip_suffix(**suffix);
        before.is_some_and(|before| is_version(before.rsplit('/').next().unwrap_or_default()))
    };
    let unversioned = ENDPOINTS.iter().find(|suffix| base.ends_with(**suffix));
    unversioned
        .or_else(|| VERSIONED_ENDPOINTS.iter().find(follows_version))
        .copied()
}

/// Whether a base URL ends in `/models` and the dialect's own path does not go on from there.
/// The list would be requested below it.
fn ends_in_models(base: &str, location: &ListLocation<'_>) -> bool {
    const MODELS: &str = "/models";
    let base = base.trim_end_matches('/');
    let is_prefix_of_path = || {
        let ends = location.path.match_indices("/models/");
        ends.map(|(at, _)| &location.path[..at + MODELS.len()])
            .any(|start| base.ends_with(start))
    };
    base.ends_with(MODELS) && !is_prefix_of_path()
}

/// Parses and checks a base URL that no list is fetched from.
#[cfg(feature = "config")]
pub(super) fn checked_base(url: &str) -> Result<Uri, BuildError> {
    let base = parse_base(url)?;
    match endpoint(base.path()) {
        Some(endpoint) => Err(names_endpoint(endpoint)),
        None => Ok(base),
    }
}

fn names_endpoint(endpoint: &str) -> BuildError {
    let value = format!("a URL that ends in {endpoint}");
    let expected = format!("the base URL of the API, without {endpoint}");
    BuildError::hidden("base_url", &value, expected)
}

fn check_suffix(
    base: &Uri,
    models_path: Option<&str>,
    location: &ListLocation<'_>,
) -> Result<(), BuildError> {
    let models =
        || (models_path.is_none() && ends_in_models(base.path(), location)).then_some("/models");
    match endpoint(base.path()).or_else(models) {
        Some(endpoint) => Err(names_endpoint(endpoint)),
        None => Ok(()),
    }
}

fn parse_base(url: &str) -> Result<Uri, BuildError> {
    let expected = "an absolute http or https URL such as https://api.example.com/v1";
    // The error does not repeat a URL that fails to parse: it may contain a credential.
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
        let expected = "a URL without user name and password; set a header instead";
        return Err(BuildError::hidden(
            "base_url",
            "a URL with userinfo",
            expected,
        ));
    }
    // `http` accepts any text after the host, even if it is not a port.
    if authority.as_str() != authority.host() && authority.port_u16().is_none() {
        return Err(BuildError::hidden(
            "base_url",
            "a URL with an invalid port",
            expected,
        ));
    }
    if uri.query().is_some() {
        let expected = "a URL without a query; put the query in models_path";
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
            "a URL with an unsupported scheme",
            expected,
        )),
    }
}

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

    fn location(path: &'static str, relative_path: &'static str) -> ListLocation<'static> {
        ListLocation {
            path: path.into(),
            relative_path: relative_path.into(),
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
    fn list_uri_is_below_the_base_url() {
        let openai = location("/v1/models", "models");
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
        for (path, relative_path, base, expected) in [
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
            let location = location(path, relative_path);
            let uri = list_uri(Some(&base), None, &location).expect("is good");
            assert_eq!(uri.path(), expected, "{base} {path}");
        }
    }

    #[test]
    fn query_of_models_path_overrides_dialect() {
        let mut location = location("/v1/models", "models");
        location.query = vec![
            ("limit".into(), "1000".into()),
            ("a b".into(), "ü&=".into()),
        ];
        for (path, expected) in [
            (None, "/v1/models?limit=1000&a%20b=%C3%BC%26%3D"),
            (Some("/m?limit=5&"), "/m?limit=5&a%20b=%C3%BC%26%3D"),
            (Some("/m?%6Cimit=5&a%20b"), "/m?%6Cimit=5&a%20b"),
        ] {
            let uri = list_uri(None, path, &location).expect("is good");
            assert_eq!(uri, expected);
        }
    }

    #[test]
    fn errors_do_not_repeat_invalid_urls() {
        let openai = location("/v1/models", "models");
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
    fn base_url_of_an_endpoint_is_rejected() {
        let openai = location("/v1/models", "models");
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
                "base_url is a URL that ends in {end}, expected the base URL of the API, without {end}"
            );
            assert_eq!(text, expected);
        }
        // `models_path` does not turn an inference endpoint into a base URL.
        let base = "https://a.test/inference/chat/completions";
        assert!(list_uri(Some(base), Some("/catalog/models"), &openai).is_err());
    }

    #[test]
    fn loopback_hosts_are_recognised() {
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
