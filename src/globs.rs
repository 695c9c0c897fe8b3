//! Globs over ids of models.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::BuildError;

/// Compiled globs over ids.
#[derive(Debug)]
pub(crate) struct Globs {
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
}

impl Globs {
    /// Globs without exclusions. `field` is the name of their setting.
    pub(crate) fn of(field: &'static str, globs: &[String]) -> Result<Self, BuildError> {
        Ok(Self {
            include: compile(field, globs)?,
            exclude: Vec::new(),
        })
    }

    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, BuildError> {
        Ok(Self {
            include: compile("include", include)?,
            exclude: compile("exclude", exclude)?,
        })
    }

    /// Whether the id is included and not excluded. Without `include`, every id is included.
    pub(crate) fn keep(&self, id: &str) -> bool {
        (self.include.is_empty() || any(&self.include, id)) && !self.excludes(id)
    }

    pub(crate) fn excludes(&self, id: &str) -> bool {
        any(&self.exclude, id)
    }
}

fn any(globs: &[GlobMatcher], id: &str) -> bool {
    globs.iter().any(|glob| glob.is_match(id))
}

/// A list of globs for [`View::globs`](crate::View::globs), such as `["openai/*"]` or `[]`.
///
/// This trait is sealed. It is implemented for arrays and slices of `&str`, for slices of
/// `String`, and for `Vec`s of both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of globs",
    label = "expected `[\"a/*\"]`, `[]`, a slice or a `Vec`",
    note = "for strings that are built at run time, use `vec![..]`"
)]
pub trait GlobList: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        fn into_globs(self) -> Vec<String>;
    }
}

macro_rules! glob_list {
    ($($type:ty, $([$($generics:tt)*])? |$globs:ident| $into:expr;)*) => {$(
        impl $(<$($generics)*>)? sealed::Sealed for $type {
            fn into_globs(self) -> Vec<String> {
                let $globs = self;
                $into
            }
        }

        impl $(<$($generics)*>)? GlobList for $type {}
    )*};
}

fn owned(globs: &[&str]) -> Vec<String> {
    globs.iter().map(|&glob| glob.to_owned()).collect()
}

glob_list! {
    // Only for one element type, so that the type of `[]` can be inferred.
    [&str; N], [const N: usize] |globs| owned(&globs);
    &[&str; N], [const N: usize] |globs| owned(globs);
    &[&str], |globs| owned(globs);
    Vec<&str>, |globs| owned(&globs);
    &[String], |globs| globs.to_vec();
    &Vec<String>, |globs| globs.clone();
    Vec<String>, |globs| globs;
}

// One matcher per glob instead of a `GlobSet`, which treats its input as a file path.
fn compile(field: &'static str, globs: &[String]) -> Result<Vec<GlobMatcher>, BuildError> {
    let compile = |glob: &String| {
        let compiled = GlobBuilder::new(glob)
            // A slash in an id is not a separator, so `*` matches it.
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .ok()
            .filter(|_| !glob.is_empty());
        let expected = r"a glob such as gpt-*, with every [ and { closed";
        compiled
            .map(|glob| glob.compile_matcher())
            .ok_or_else(|| BuildError::new(field, glob, expected))
    };
    globs.iter().map(compile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Result<Globs, BuildError> {
        let owned = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        let (include, exclude): (Vec<_>, Vec<_>) = (owned(include), owned(exclude));
        Globs::new(&include, &exclude)
    }

    #[test]
    fn keep_needs_inclusion_and_no_exclusion() {
        for (include, exclude, id, kept) in [
            (&[][..], &[][..], "anything", true),
            (&["gpt-*"], &[], "gpt-5.2", true),
            (&["gpt-*"], &[], "o3", false),
            (&["gpt-*"], &[], "x/gpt-5.2", false),
            (&["gpt-*", "o3"], &[], "o3", true),
            (&[], &["*-preview"], "gpt-5-preview", false),
            (&[], &["*-preview"], "gpt-5", true),
            (&["gpt-*"], &["*-preview"], "gpt-5-preview", false),
            // Ids have slashes, and a star matches them.
            (&["*llama*"], &[], "meta/llama-3/8b", true),
            (&["meta/*"], &[], "meta/llama-3/8b", true),
            (&["*:free"], &[], "meta/llama-3:free", true),
            (&["**/8b"], &[], "meta/llama-3/8b", true),
            (&["meta?llama"], &[], "meta/llama", true),
            (&["{a,b}/*"], &[], "b/x", true),
            (&["[ab]-?"], &[], "b-1", true),
            (&["[!ab]-?"], &[], "b-1", false),
            (&[r"a\*"], &[], "a*", true),
            (&[r"a\*"], &[], "ab", false),
            // Case-sensitive, and not a path.
            (&["gpt-*"], &[], "GPT-5", false),
            (&["*.5"], &[], "gpt-3.5", true),
            (&["*."], &[], "odd.", true),
            (&["*/"], &[], "odd/", true),
            (&["*"], &[], "..", true),
        ] {
            let globs = globs(include, exclude).expect("are good");
            assert_eq!(globs.keep(id), kept, "{include:?} {exclude:?} {id}");
        }
    }

    #[test]
    fn error_names_an_invalid_glob() {
        for bad in ["[a", "{a", "a}", "", r"a\", "[z-a]"] {
            let error = globs(&["ok"], &[bad]).expect_err(bad);
            assert_eq!(error.field(), "exclude");
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
