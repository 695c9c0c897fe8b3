//! Matches the head of a request against the configured paths and dialects. Pure.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, Method, Uri,
    header::{ACCEPT_ENCODING, IF_NONE_MATCH},
};
use percent_encoding::percent_decode_str;

use crate::{
    error::{BuildError, without_query},
    render::{ClientDialect, Dialects},
};

/// The configured paths and dialects.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    mounts: Box<[Mount]>,
    /// The length of the shortest mount. Most other paths are shorter.
    shortest: usize,
    dialects: Dialects,
    /// The paths at which Ollama's clients request one model.
    shows: Box<[Box<str>]>,
}

#[derive(Clone, Debug)]
struct Mount {
    path: Box<str>,
    dialect: DialectChoice,
    /// The resource at the path itself.
    resource: Resource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialectChoice {
    /// The dialect that query and headers select.
    Negotiated,
    /// Always this dialect.
    Always(ClientDialect),
}

/// The result of matching a path. It does not borrow from the request, so that the request is
/// moved to the inner service without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    dialect: DialectChoice,
    resource: Resource,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) dialect: ClientDialect,
    pub(crate) resource: Resource,
    pub(crate) fields: RequestFields,
}

/// Which of the header fields that decide a response are in a request. One look at each
/// name finds them all, and most requests have none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestFields {
    anthropic_version: bool,
    goog_api_key: bool,
    pub(crate) accept_encoding: bool,
    pub(crate) if_none_match: bool,
}

impl RequestFields {
    // Compares every name instead of looking it up: see `header_values`.
    #[inline]
    fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for name in headers.keys() {
            fields.anthropic_version |= *name == ANTHROPIC;
            fields.goog_api_key |= *name == GEMINI;
            fields.accept_encoding |= *name == ACCEPT_ENCODING;
            fields.if_none_match |= *name == IF_NONE_MATCH;
        }
        fields
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The list, or a page of it.
    List,
    /// One model, whose id starts at this offset in the path.
    Model { at: u16 },
    /// The version of an Ollama server.
    Version,
}

/// The maximum length of an id in bytes, before decoding: three per byte of the longest listed
/// id, with its lead, the provider's name, and a trailing slash.
const LONGEST: usize = 3 * (16 + 128 + 1 + 512 + 1);

/// The query parameter of Codex's requests for the list.
const CODEX: &str = "client_version";
const ANTHROPIC: HeaderName = HeaderName::from_static("anthropic-version");
const GEMINI: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The configured paths, by what they serve.
#[derive(Clone, Debug)]
pub(crate) struct PathConfig {
    /// Where query and headers select the dialect.
    pub(crate) paths: Vec<String>,
    pub(crate) gemini: Vec<String>,
    /// The base paths of Ollama's API.
    pub(crate) ollama: Vec<String>,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            paths: vec!["/v1/models".to_owned()],
            gemini: vec!["/v1beta/models".to_owned()],
            ollama: vec!["/api".to_owned()],
        }
    }
}

impl Paths {
    pub(crate) fn new(mounts: PathConfig, dialects: Dialects) -> Result<Self, BuildError> {
        let mut paths = Self {
            mounts: Box::default(),
            shortest: 0,
            dialects,
            shows: Box::default(),
        };
        if dialects.is_empty() {
            let expected = "at least one dialect, such as openai";
            return Err(BuildError::hidden("client_dialects", "empty", expected));
        }
        let mut all = Vec::new();
        let negotiated = [
            ClientDialect::OpenAi,
            ClientDialect::Anthropic,
            ClientDialect::Gemini,
            ClientDialect::Codex,
        ];
        let with_own_paths = [
            (&mounts.gemini, "gemini_paths", ClientDialect::Gemini),
            (&mounts.ollama, "ollama_paths", ClientDialect::Ollama),
        ];
        if negotiated.into_iter().any(|dialect| dialects.has(dialect)) {
            let list = (DialectChoice::Negotiated, Resource::List);
            add("paths", &mounts.paths, "", list, &mut all)?;
        }
        for (mounts, field, dialect) in with_own_paths {
            let list = (DialectChoice::Always(dialect), Resource::List);
            match dialect {
                _ if !dialects.has(dialect) => {}
                ClientDialect::Ollama => {
                    add(field, mounts, "/tags", list, &mut all)?;
                    let version = (DialectChoice::Always(dialect), Resource::Version);
                    add(field, mounts, "/version", version, &mut all)?;
                    let show = |path: &String| format!("{}/show", path.trim_end_matches('/'));
                    paths.shows = mounts.iter().map(|path| show(path).into()).collect();
                }
                _ => add(field, mounts, "", list, &mut all)?,
            }
        }
        paths.shortest = all.iter().map(|mount| mount.path.len()).min().unwrap_or(0);
        paths.mounts = all.into();
        Ok(paths)
    }

    /// The route of a request, if its method and path match.
    #[inline]
    pub(crate) fn route(&self, method: &Method, uri: &Uri) -> Option<Route> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        // Includes the query, because finding the end of the path costs more.
        let path = uri.path_and_query()?.as_str();
        if path.len() < self.shortest {
            return None;
        }
        self.find(path)
    }

    // Not inlined, because short paths have been rejected before.
    #[inline(never)]
    fn find(&self, path: &str) -> Option<Route> {
        // A path may start with the text of one mount and belong to another:
        // `/v1/models-mine` starts with `/v1/models`.
        self.mounts.iter().find_map(|mount| {
            let rest = path.as_bytes().strip_prefix(mount.path.as_bytes())?;
            mount.route(rest)
        })
    }

    /// The target of a request on a route. `None` if its dialect is off.
    #[inline]
    pub(crate) fn target(&self, route: Route, uri: &Uri, headers: &HeaderMap) -> Option<Target> {
        let resource = route.resource;
        let fields = RequestFields::of(headers);
        let dialect = match route.dialect {
            DialectChoice::Negotiated => self.choose(resource, uri, fields)?,
            DialectChoice::Always(dialect) => dialect,
        };
        Some(Target {
            dialect,
            resource,
            fields,
        })
    }

    pub(crate) fn is_show(&self, path: &str) -> bool {
        self.shows.iter().any(|show| **show == *path)
    }

    /// Selects the dialect of a request at a path with several.
    #[inline]
    fn choose(
        &self,
        resource: Resource,
        uri: &Uri,
        fields: RequestFields,
    ) -> Option<ClientDialect> {
        let has = |dialect| self.dialects.has(dialect);
        if has(ClientDialect::Codex)
            && resource == Resource::List
            && uri.query().is_some_and(|query| has_parameter(query, CODEX))
        {
            return Some(ClientDialect::Codex);
        }
        if fields.anthropic_version && has(ClientDialect::Anthropic) {
            Some(ClientDialect::Anthropic)
        } else if fields.goog_api_key && has(ClientDialect::Gemini) {
            Some(ClientDialect::Gemini)
        } else {
            has(ClientDialect::OpenAi).then_some(ClientDialect::OpenAi)
        }
    }
}

#[cold]
fn has_parameter(query: &str, name: &str) -> bool {
    let mut parameters = query.split('&');
    parameters.any(|parameter| {
        let rest = parameter.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

impl Mount {
    /// The route for `rest`, the path and query after this mount.
    fn route(&self, rest: &[u8]) -> Option<Route> {
        let resource = match Resource::below(rest, self.path.len())? {
            Resource::List => self.resource,
            Resource::Model { .. } if !self.has_models() => return None,
            model => model,
        };
        Some(Route {
            dialect: self.dialect,
            resource,
        })
    }

    fn has_models(&self) -> bool {
        match self.dialect {
            DialectChoice::Negotiated => true,
            DialectChoice::Always(dialect) => dialect.has_models(),
        }
    }
}

/// Adds these paths, each followed by `below`, if all are valid.
fn add(
    field: &'static str,
    paths: &[String],
    below: &str,
    (dialect, resource): (DialectChoice, Resource),
    mounts: &mut Vec<Mount>,
) -> Result<(), BuildError> {
    if paths.is_empty() {
        let expected = "at least one path, such as /v1/models";
        return Err(BuildError::new(field, paths, expected));
    }
    for path in paths {
        let mount = path.trim_end_matches('/');
        let is_valid = |byte: u8| byte.is_ascii_graphic() && !b"?#%".contains(&byte);
        if !path.starts_with('/') || mount.is_empty() || !mount.bytes().all(is_valid) {
            let expected = "a path that begins with a slash, such as /v1/models, \
                            without query, escapes or spaces";
            return Err(BuildError::new(field, without_query(path), expected));
        }
        if is_template(mount) {
            let expected = "a literal path: parameters such as {id} or :id and wildcards are \
                            not supported";
            return Err(BuildError::new(field, path, expected));
        }
        let mount = format!("{mount}{below}");
        if let Some(other) = mounts.iter().find(|other| {
            let inside = |a: &str, b: &str| {
                a.strip_prefix(b)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            inside(&mount, &other.path) || inside(&other.path, &mount)
        }) {
            let expected = format!("a path that does not collide with {}", other.path);
            return Err(BuildError::new(field, path, expected));
        }
        let path = mount.into();
        mounts.push(Mount {
            path,
            dialect,
            resource,
        });
    }
    Ok(())
}

/// Whether a path has a router's parameters or wildcards, or a character that is invalid in a
/// path (RFC 3986, section 3.3).
fn is_template(path: &str) -> bool {
    path.contains(|c| r#"{}*<>[]\^`|""#.contains(c)) || path.contains("/:")
}

impl Resource {
    /// The resource at `rest`, the path and query after a mount of this length.
    fn below(rest: &[u8], mount: usize) -> Option<Self> {
        match rest {
            [] | [b'/'] | [b'?', ..] | [b'/', b'?', ..] => Some(Self::List),
            [b'/', ..] => {
                // An offset that does not fit is longer than any URI of the `http` crate.
                let at = u16::try_from(mount + 1).ok()?;
                Some(Self::Model { at })
            }
            _ => None,
        }
    }

    /// The id in the path of the request, not decoded.
    pub(crate) fn id(self, uri: &Uri) -> Option<&str> {
        match self {
            Self::List | Self::Version => None,
            Self::Model { at } => uri.path().get(usize::from(at)..),
        }
    }
}

/// Decodes the id of a path, once. `None` if it is malformed or too long.
pub(crate) fn decode_id(raw: &str) -> Option<Cow<'_, str>> {
    if raw.len() > LONGEST {
        return None;
    }
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut escapes = raw.split('%').skip(1).map(str::as_bytes);
    let is_valid = |escape: &[u8]| matches!(escape, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !escapes.all(is_valid) {
        return None;
    }
    percent_decode_str(raw).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Result<Paths, BuildError> {
        let paths = paths.iter().map(|&path| path.to_owned()).collect();
        let mounts = PathConfig {
            paths,
            ..PathConfig::default()
        };
        Paths::new(mounts, Dialects::from_iter(ClientDialect::ALL))
    }

    fn classify(paths: &Paths, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Target> {
        let route = paths.route(method, uri)?;
        paths.target(route, uri, headers)
    }

    /// The dialect, and the id of a request for one model.
    fn dialect_and_id(
        method: Method,
        uri: &str,
        headers: &[&str],
    ) -> Option<(ClientDialect, Option<String>)> {
        let paths = paths(&["/v1/models"]).expect("are good");
        let name = |name: &&str| HeaderName::from_bytes(name.as_bytes()).expect("is a name");
        let value = http::HeaderValue::from_static("2023-06-01");
        let headers = headers.iter().map(|header| (name(header), value.clone()));
        let uri: Uri = uri.parse().expect(uri);
        let target = classify(&paths, &method, &uri, &headers.collect())?;
        Some((target.dialect, target.resource.id(&uri).map(str::to_owned)))
    }

    #[test]
    fn dialect_follows_path_then_query_then_headers() {
        use ClientDialect::{Anthropic, Codex, Gemini, Ollama, OpenAi};
        const CLAUDE: &str = "anthropic-version";
        const GOOGLE: &str = "x-goog-api-key";
        for (uri, headers, expected) in [
            ("/v1/models", &[][..], Some((OpenAi, None))),
            ("/v1/models", &["x-api-key"], Some((OpenAi, None))),
            ("/v1/models?a", &[CLAUDE], Some((Anthropic, None))),
            ("/v1/models/a/b", &[CLAUDE], Some((Anthropic, Some("a/b")))),
            ("/v1/models/a", &[GOOGLE], Some((Gemini, Some("a")))),
            ("/v1/models", &[GOOGLE, CLAUDE], Some((Anthropic, None))),
            (
                "/v1/models?x=1&client_version=0.9",
                &[GOOGLE, CLAUDE],
                Some((Codex, None)),
            ),
            ("/v1/models/?client_version", &[], Some((Codex, None))),
            ("/v1/models?client_versions=1", &[], Some((OpenAi, None))),
            ("/v1/models?x=client_version=1", &[], Some((OpenAi, None))),
            (
                "/v1/models/a?client_version=1",
                &[],
                Some((OpenAi, Some("a"))),
            ),
            ("/v1beta/models", &[CLAUDE], Some((Gemini, None))),
            ("/v1beta/models?client_version=1", &[], Some((Gemini, None))),
            (
                "/v1beta/models/models/a",
                &[],
                Some((Gemini, Some("models/a"))),
            ),
            ("/api/tags", &[CLAUDE], Some((Ollama, None))),
            ("/api/tags/", &[], Some((Ollama, None))),
            ("/api/tags/a", &[], None),
            ("/api/version", &[], Some((Ollama, None))),
            ("/api/version/a", &[], None),
            ("/api/ps", &[], None),
            ("/api/show", &[], None),
        ] {
            let expected = expected.map(|(dialect, id)| (dialect, id.map(str::to_owned)));
            let got = dialect_and_id(Method::GET, uri, headers);
            assert_eq!(got, expected, "{uri} {headers:?}");
            assert_eq!(dialect_and_id(Method::POST, uri, headers), None);
        }
    }

    #[test]
    fn disabled_dialect_takes_no_request() {
        let only = |dialect| {
            let paths = Paths::new(PathConfig::default(), Dialects::from_iter([dialect]));
            let paths = paths.expect("is good");
            let matches = |uri: &'static str, header: &'static str| {
                let headers = [(
                    HeaderName::from_static(header),
                    http::HeaderValue::from_static("1"),
                )];
                let uri = Uri::from_static(uri);
                classify(&paths, &Method::GET, &uri, &headers.into_iter().collect()).is_some()
            };
            [
                matches("/v1/models", "x-other"),
                matches("/v1/models", "anthropic-version"),
                matches("/v1beta/models", "x-other"),
                matches("/api/tags", "x-other"),
                matches("/v1/models?client_version=1", "x-other"),
            ]
        };
        assert_eq!(
            only(ClientDialect::OpenAi),
            [true, true, false, false, true]
        );
        assert_eq!(
            only(ClientDialect::Anthropic),
            [false, true, false, false, false]
        );
        assert_eq!(
            only(ClientDialect::Gemini),
            [false, false, true, false, false]
        );
        assert_eq!(
            only(ClientDialect::Ollama),
            [false, false, false, true, false]
        );
        assert_eq!(
            only(ClientDialect::Codex),
            [false, false, false, false, true]
        );
        let none = Paths::new(PathConfig::default(), Dialects::default());
        assert_eq!(none.expect_err("is bad").field(), "client_dialects");
    }

    #[test]
    fn mount_matches_itself_and_paths_below() {
        const LIST: Option<Option<&str>> = Some(None);
        let paths = paths(&["/v1/models", "/models/"]).expect("are good");
        for (uri, expected) in [
            ("/v1/models", LIST),
            ("/v1/models/", LIST),
            ("/v1/models?limit=5", LIST),
            ("http://host/v1/models", LIST),
            ("/models", LIST),
            ("/v1/models/?limit=5", LIST),
            ("/v1/models?/a", LIST),
            ("/v1/models?", LIST),
            ("/v1/models/a", Some(Some("a"))),
            ("/v1/models/a/b:c@d", Some(Some("a/b:c@d"))),
            ("/v1/models/a%2Fb?x", Some(Some("a%2Fb"))),
            ("/v1/models//", Some(Some("/"))),
            ("/v1/modelsx", None),
            ("/v1/model", None),
            ("/v2/models", None),
            ("//v1/models", None),
            ("/V1/models", None),
            ("/", None),
            ("*", None),
        ] {
            let uri: Uri = uri.parse().expect(uri);
            for method in [Method::GET, Method::HEAD] {
                let found = classify(&paths, &method, &uri, &HeaderMap::new());
                assert_eq!(
                    found.map(|found| found.resource.id(&uri)),
                    expected,
                    "{uri}"
                );
            }
            for other in [Method::POST, Method::OPTIONS, Method::DELETE, Method::PUT] {
                let found = classify(&paths, &other, &uri, &HeaderMap::new());
                assert_eq!(found, None, "{other} {uri}");
            }
        }
    }

    /// Regression: only the first mount that was a prefix of the path was tried.
    #[test]
    fn mounts_that_prefix_each_other_all_match() {
        let mounts = [
            "/v1/models",
            "/v1/models-mine",
            "/v1/models-mine.old",
            "/v1",
        ];
        for (first, last) in [(0, 3), (1, 3)] {
            let mut order = mounts[first..last].to_vec();
            for _ in 0..order.len() {
                order.rotate_left(1);
                let paths = paths(&order).expect("are good");
                for mount in &order {
                    for (below, expected) in [("", None), ("/a/b", Some("a/b"))] {
                        let uri: Uri = format!("{mount}{below}").parse().expect("is good");
                        let found = classify(&paths, &Method::GET, &uri, &HeaderMap::new());
                        let found = found.map(|found| found.resource.id(&uri));
                        assert_eq!(found, Some(expected), "{uri} of {order:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn invalid_and_colliding_paths_are_errors() {
        for bad in [
            &[][..],
            &["v1/models"],
            &[""],
            &["/"],
            &["//"],
            &["/a b"],
            &["/a?b"],
            &["/a%20b"],
            &["/{version}/models"],
            &["/v1/models/*"],
            &["/:version/models"],
            &["/<version>/models"],
            &["/v1/models", "/v1/models"],
            &["/v1/models", "/v1/models/"],
            &["/v1/models", "/v1/models/mine"],
            &["/v1/models/mine", "/v1/models"],
        ] {
            assert_eq!(paths(bad).expect_err("is bad").field(), "paths", "{bad:?}");
        }
        assert!(paths(&["/v1/models", "/v1/models-mine", "/models"]).is_ok());
    }

    #[test]
    fn decode_id_decodes_once() {
        for (raw, expected) in [
            ("a/b", Some("a/b")),
            ("a%2Fb", Some("a/b")),
            ("a%252Fb", Some("a%2Fb")),
            ("a%20b%3A%40", Some("a b:@")),
            ("%C3%BC", Some("ü")),
            ("%C3", None),
            ("%", None),
            ("a%2", None),
            ("a%zz", None),
        ] {
            assert_eq!(decode_id(raw).as_deref(), expected, "{raw}");
        }
        assert_eq!(decode_id(&"a".repeat(10_000)), None);
    }
}
