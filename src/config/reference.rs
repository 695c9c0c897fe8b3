//! Detects references to variables, such as `${OPENAI_API_KEY}`.
//!
//! Configuration files of other tools use them, but nothing here expands them. Without this
//! check a reference would silently be used as a key or an address.

use crate::error::BuildError;

/// The strings of one field.
pub(super) trait Texts {
    fn texts(&self) -> impl Iterator<Item = &str>;
}

impl Texts for String {
    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&**self)
    }
}

impl Texts for Option<String> {
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.as_deref().into_iter()
    }
}

impl Texts for Vec<String> {
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|text| &**text)
    }
}

/// Checks that no string of a field refers to a variable.
pub(super) fn check_text(field: &'static str, texts: &impl Texts) -> Result<(), BuildError> {
    if !texts.texts().any(is_reference) {
        return Ok(());
    }
    let value = "a reference to a variable, which is not expanded";
    let expected = "the value itself; only api_key_env takes the name of a variable";
    Err(BuildError::hidden(field, value, expected))
}

/// Whether a string refers to a variable: `${NAME}`, `{{ name }}`, `os.environ/NAME`, or `$NAME`
/// as a separate word in capitals, which does not occur in keys and URLs.
pub(super) fn is_reference(text: &str) -> bool {
    let between = |open: &str, close: &str| {
        let rest = text.split_once(open).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.contains(close))
    };
    between("${", "}")
        || between("{{", "}}")
        || text.contains("os.environ/")
        || has_variable_word(text)
}

fn has_variable_word(text: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || "/:=?&".contains(c);
    text.split(ends).any(|word| {
        let name = word.strip_prefix('$').unwrap_or_default();
        let capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        name.len() > 2
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(capital)
    })
}

/// The name in a reference, for an error message. An example if it may be a key.
pub(super) fn bare_name(reference: &str) -> String {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let name = reference.trim_matches(|c: char| "${} ".contains(c));
    let valid = !name.is_empty() && name.chars().all(is_name);
    if valid { name } else { "OPENAI_API_KEY" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_reference_detects_only_references() {
        for text in [
            "${KEY}",
            "Bearer ${OPENAI_API_KEY}",
            "https://${HOST}/v1",
            "${HOST:-localhost}",
            "{{ env.KEY }}",
            "os.environ/KEY",
            "$OPENAI_API_KEY",
            "Bearer $KEY_2",
            "https://$HOST/v1",
        ] {
            assert!(is_reference(text), "{text}");
        }
        for text in [
            "",
            "sk-$Ab/x$Y",
            "pa$SWORD",
            "$5",
            "$AB",
            "/models?$top=100",
            "/models?$filter=a",
            "${",
            "{a,b}/*",
            "costs $",
        ] {
            assert!(!is_reference(text), "{text}");
        }
    }

    #[test]
    fn bare_name_shows_only_names() {
        assert_eq!(bare_name("${LAB_KEY}"), "LAB_KEY");
        assert_eq!(bare_name("$LAB_KEY"), "LAB_KEY");
        assert_eq!(bare_name("${sk-hunter2}"), "OPENAI_API_KEY");
    }
}
