//! Which models are meant: globs over ids.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::BuildError;

/// Globs of ids, ready to match.
#[derive(Debug)]
pub(crate) struct Globs {
    include: Vec<GlobMatcher>,
    exclude: Vec<GlobMatcher>,
}

impl Globs {
    /// Globs of which an id matches one at least; they stand in a field of this name.
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

    /// Whether the id is included, as all are when nothing is said, and not excluded.
    pub(crate) fn keep(&self, id: &str) -> bool {
        let any = |globs: &[GlobMatcher]| globs.iter().any(|glob| glob.is_match(id));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

/// Some globs: what [`View::globs`](crate::View::globs) takes, `[]` included.
///
/// It is implemented for arrays and slices of `&str`, for slices of `String`, and for vectors of
/// both, and sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of globs",
    label = "expected `[\"a/*\"]`, `[]`, a slice or a `Vec`",
    note = "of texts that are made at run time, write a `vec![..]`"
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
    // Of one kind of array alone, so that the type of `[]` is known.
    [&str; N], [const N: usize] |globs| owned(&globs);
    &[&str; N], [const N: usize] |globs| owned(globs);
    &[&str], |globs| owned(globs);
    Vec<&str>, |globs| owned(&globs);
    &[String], |globs| globs.to_vec();
    &Vec<String>, |globs| globs.clone();
    Vec<String>, |globs| globs;
}

// One matcher a glob, not a set: a set splits what it matches into the parts of a
// file's path, which an id is not.
fn compile(field: &'static str, globs: &[String]) -> Result<Vec<GlobMatcher>, BuildError> {
    let compile = |glob: &String| {
        let compiled = GlobBuilder::new(glob)
            // A slash in an id separates nothing: `*` takes it like any other.
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
    fn a_model_is_kept_that_is_included_and_not_excluded() {
        for (include, exclude, id, kept) in [
            (&[][..], &[][..], "anything", true),
            (&["gpt-*"], &[], "gpt-5.2", true),
            (&["gpt-*"], &[], "o3", false),
            (&["gpt-*"], &[], "x/gpt-5.2", false),
            (&["gpt-*", "o3"], &[], "o3", true),
            (&[], &["*-preview"], "gpt-5-preview", false),
            (&[], &["*-preview"], "gpt-5", true),
            (&["gpt-*"], &["*-preview"], "gpt-5-preview", false),
            // Ids have slashes, and a star goes across them.
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
            // The case counts, and nothing is a path.
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
    fn a_bad_glob_is_named() {
        for bad in ["[a", "{a", "a}", "", r"a\", "[z-a]"] {
            let error = globs(&["ok"], &[bad]).expect_err(bad);
            assert_eq!(error.field(), "exclude");
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
