//! The URI of the next page, which must have the same origin as the current one.

use std::borrow::Cow;

use http::{Uri, uri::Authority};

use super::query::with_query;
use crate::error::{ListError, ListErrorKind};

/// The URI of `page` with these query parameters set.
pub(super) fn by_query(page: &Uri, set: &[(Cow<'static, str>, String)]) -> Result<Uri, ListError> {
    let path_and_query = page.path_and_query().map_or("/", |of| of.as_str());
    with_path_and_query(page, &with_query(path_and_query, set))
}

/// Resolves a link of `page`.
///
/// A link to another origin (RFC 6454) is an error: the key must not be sent there.
pub(super) fn by_link(page: &Uri, link: &str) -> Result<Uri, ListError> {
    let link = link.split('#').next().unwrap_or_default().trim();
    if link.is_empty() {
        return Err(ListErrorKind::NextPage.into());
    }
    // A colon before the first slash is a scheme (RFC 3986, section 4.2).
    let first = link.split(['/', '?']).next().unwrap_or_default();
    let absolute =
        (first.ends_with(':') && link[first.len()..].starts_with("//")) || link.starts_with("//");
    if absolute {
        let link: Uri = match link.strip_prefix("//") {
            Some(rest) => format!("{}://{rest}", page.scheme_str().unwrap_or("http")).parse(),
            None => link.parse(),
        }
        .map_err(|_| ListErrorKind::NextPage)?;
        if !same_origin(page, &link) {
            return Err(ListErrorKind::NextPage.into());
        }
        return with_path_and_query(page, link.path_and_query().map_or("/", |of| of.as_str()));
    }
    if link.starts_with('/') {
        return with_path_and_query(page, link);
    }
    let path = page.path();
    if link.starts_with('?') {
        return with_path_and_query(page, &format!("{path}{link}"));
    }
    if first.contains(':') {
        return Err(ListErrorKind::NextPage.into());
    }
    let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
    with_path_and_query(page, &format!("{folder}{link}"))
}

fn with_path_and_query(page: &Uri, path_and_query: &str) -> Result<Uri, ListError> {
    let mut parts = page.clone().into_parts();
    let path_and_query = path_and_query
        .parse()
        .map_err(|_| ListErrorKind::NextPage)?;
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map_err(|_| ListErrorKind::NextPage.into())
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let authority = uri.authority().filter(|of| !of.as_str().contains('@'))?;
        let port = authority.port_u16().or(match uri.scheme_str()? {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        });
        Some((uri.scheme()?.clone(), host(authority), port?))
    };
    origin(a).is_some_and(|a| origin(b) == Some(a))
}

fn host(authority: &Authority) -> String {
    authority.host().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_other_origins_are_rejected() {
        let page = "https://A.test/v1/models?limit=2&x=1";
        let next = |page: &str, link: &str| {
            let page = page.parse().expect("is an address");
            let next = by_link(&page, link).ok()?;
            Some(next.to_string())
        };
        for (link, expected) in [
            (
                "/api/v1/models?offset=2",
                Some("https://A.test/api/v1/models?offset=2"),
            ),
            ("?offset=2", Some("https://A.test/v1/models?offset=2")),
            ("more?offset=2#x", Some("https://A.test/v1/more?offset=2")),
            ("https://a.test:443/m?o=2", Some("https://A.test/m?o=2")),
            ("//a.test/m", Some("https://A.test/m")),
            (
                "/m?u=https://b.test",
                Some("https://A.test/m?u=https://b.test"),
            ),
            ("https:/b.test/m", None),
            (
                "/m?u=https:%2F%2Fb.test",
                Some("https://A.test/m?u=https:%2F%2Fb.test"),
            ),
            ("https://b.test/m", None),
            ("http://a.test/m", None),
            ("https://a.test:444/m", None),
            ("https://a.test@b.test/m", None),
            ("https://u:p@a.test/m", None),
            ("//b.test/m", None),
            ("ftp://a.test/m", None),
            ("mailto:a", None),
            ("/a b", None),
            ("", None),
            ("#top", None),
        ] {
            assert_eq!(next(page, link).as_deref(), expected, "{link}");
        }
        // Without a base URL there is no origin to compare with.
        assert_eq!(next("/v1/models", "/m").as_deref(), Some("/m"));
        assert_eq!(next("/v1/models", "https://a.test/m"), None);
    }

    #[test]
    fn query_parameters_are_replaced_by_name() {
        let page = "https://a.test/m?limit=2&after=a%2Fb&x"
            .parse()
            .expect("is an address");
        let set = [("after".into(), "c d&é".to_owned())];
        let next = by_query(&page, &set).expect("is good");
        assert_eq!(next, "https://a.test/m?limit=2&x&after=c%20d%26%C3%A9");
    }
}
