//! Which requests are ours: method and path in, what is asked for out. Pure.

use std::borrow::Cow;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::error::BuildError;

/// The paths under which the list lies.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    mounts: Box<[Box<str>]>,
    /// The length of the shortest, which most other paths do not even have.
    shortest: usize,
}

/// What a request asks for. It borrows nothing of the request: a service that moves
/// one on after it has been looked at would copy it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The list.
    List,
    /// One model, by the id that begins here in the path.
    Model { at: u16 },
}

/// The longest id that is looked for, in bytes before decoding: three for each of
/// the longest listed id, with room for its provider's name and a slash at the end.
const LONGEST: usize = 3 * (128 + 1 + 512 + 1);

impl Paths {
    pub(crate) fn new(paths: Vec<String>) -> Result<Self, BuildError> {
        let expected = "at least one path, such as /v1/models";
        if paths.is_empty() {
            return Err(BuildError::new("paths", paths, expected));
        }
        let mut mounts: Vec<Box<str>> = Vec::with_capacity(paths.len());
        for path in &paths {
            let mount = path.trim_end_matches('/');
            let clean = |byte: u8| byte.is_ascii_graphic() && !b"?#%".contains(&byte);
            if !path.starts_with('/') || mount.is_empty() || !mount.bytes().all(clean) {
                let expected = "a path that begins with a slash and names a resource, \
                                without query, escapes or spaces";
                return Err(BuildError::new("paths", path, expected));
            }
            if let Some(other) = mounts.iter().find(|other| {
                let inside = |a: &str, b: &str| {
                    a.strip_prefix(b)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                inside(mount, other) || inside(other, mount)
            }) {
                let expected = format!("a path that does not collide with {other}");
                return Err(BuildError::new("paths", path, expected));
            }
            mounts.push(mount.into());
        }
        Ok(Self {
            shortest: mounts.iter().map(|mount| mount.len()).min().unwrap_or(0),
            mounts: mounts.into(),
        })
    }

    /// What is asked for, when the request is ours.
    #[inline]
    pub(crate) fn classify(&self, method: &Method, uri: &Uri) -> Option<Target> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        // With the query, which costs less than to find out where the path ends.
        let path = uri.path_and_query()?.as_str();
        if path.len() < self.shortest {
            return None;
        }
        let mount = self
            .mounts
            .iter()
            .find(|mount| path.starts_with(&***mount))?;
        Target::below(&path.as_bytes()[mount.len()..], mount.len())
    }
}

impl Target {
    /// What `rest` names, which stands below a mount of so many bytes.
    fn below(rest: &[u8], mount: usize) -> Option<Self> {
        match rest {
            [] | [b'?', ..] | [b'/'] | [b'/', b'?', ..] => Some(Self::List),
            [b'/', ..] => Some(Self::Model {
                // Where an offset does not fit, no URI of `http` is that long either.
                at: u16::try_from(mount + 1).ok()?,
            }),
            _ => None,
        }
    }

    /// The id in the path of the request that this was found for, as it stands there.
    pub(crate) fn id(self, uri: &Uri) -> Option<&str> {
        match self {
            Self::List => None,
            Self::Model { at } => uri.path().get(usize::from(at)..),
        }
    }
}

/// The id that stands in a path, decoded once. `None`: no id can stand there so.
pub(crate) fn decode_id(raw: &str) -> Option<Cow<'_, str>> {
    if raw.len() > LONGEST {
        return None;
    }
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut escapes = raw.split('%').skip(1).map(str::as_bytes);
    let whole = |escape: &[u8]| matches!(escape, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !escapes.all(whole) {
        return None;
    }
    percent_decode_str(raw).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Result<Paths, BuildError> {
        Paths::new(paths.iter().map(|&path| path.to_owned()).collect())
    }

    #[test]
    fn ours_are_the_list_and_what_lies_below_it() {
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
                let found = paths.classify(&method, &uri);
                assert_eq!(found.map(|found| found.id(&uri)), expected, "{uri}");
            }
            for other in [Method::POST, Method::OPTIONS, Method::DELETE, Method::PUT] {
                assert_eq!(paths.classify(&other, &uri), None, "{other} {uri}");
            }
        }
    }

    #[test]
    fn bad_and_colliding_paths_are_refused() {
        for bad in [
            &[][..],
            &["v1/models"],
            &[""],
            &["/"],
            &["//"],
            &["/a b"],
            &["/a?b"],
            &["/a%20b"],
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
    fn ids_are_decoded_once() {
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
