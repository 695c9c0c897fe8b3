//! `Secret`: a string that is never displayed.

use std::{env, ffi::OsString, fmt};

use http::HeaderValue;
use serde::{Deserialize, Deserializer, de};

use crate::error::BuildError;

/// A key, or another string that must not be displayed.
///
/// It implements neither `Display` nor `Serialize`, and `Debug` prints the same for all
/// secrets.
///
/// ```
/// use tower_models_cache::Secret;
///
/// let secret = Secret::new("sk-7d1f");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "sk-7d1f");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a string. It is not validated here.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// Reads a secret from an environment variable.
    ///
    /// # Errors
    ///
    /// Returns an error if the variable is not set, is empty, or is not a valid header value in
    /// ASCII, for example because of a line break. The error names the variable, unless the
    /// name looks like a key, and never shows the value.
    pub fn from_env(variable: impl AsRef<str>) -> Result<Self, BuildError> {
        let variable = variable.as_ref();
        Self::read(env::var_os(variable)).map_err(|flaw| {
            let expected = "an environment variable that holds a key";
            BuildError::hidden(printable_name(variable).to_owned(), flaw, expected)
        })
    }

    /// The same, for a variable that is named by the setting `field`.
    #[cfg(feature = "config")]
    pub(crate) fn from_env_set_in(field: &'static str, variable: &str) -> Result<Self, BuildError> {
        Self::read(env::var_os(variable)).map_err(|flaw| {
            let value = format!("{}, which is {flaw}", printable_name(variable));
            let expected = "the name of an environment variable that holds a key";
            BuildError::hidden(field, &value, expected)
        })
    }

    fn read(value: Option<OsString>) -> Result<Self, &'static str> {
        let value = value.ok_or("not set")?;
        if value.is_empty() {
            return Err("empty");
        }
        let secret = value.into_string().map(Self::new).ok();
        secret
            .filter(|secret| secret.header_value("").is_some())
            .ok_or("not a header value")
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret after `scheme`, as a header value that is marked as sensitive. `None` if it is
    /// not a valid header value.
    pub(crate) fn header_value(&self, scheme: &str) -> Option<HeaderValue> {
        // Other than ASCII would be allowed, but is never a key: for example a dash or a quote
        // that a text editor made typographic.
        if self.0.is_empty() || !self.0.is_ascii() {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("{scheme}{}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The name of a variable as an error may show it. It is not shown if it may be a key that was
/// written instead of a name.
fn printable_name(variable: &str) -> &str {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let lower = variable.contains(|c: char| c.is_ascii_lowercase());
    let digit = variable.contains(|c: char| c.is_ascii_digit());
    if variable.is_empty() || !variable.chars().all(word) || (lower && digit) {
        return "a variable whose name is not shown";
    }
    variable
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// An optional key, for [`Provider::preset_with`](crate::Provider::preset_with) and similar
/// methods.
///
/// This trait is sealed. It is implemented for [`Secret`], `&str`, `String`, `&String` and
/// `Option<Secret>`, so `None` means no key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key",
    label = "expected a key: a `Secret`, a string, or `None`",
    note = "for an `Option<String>`, use `.map(Secret::new)`; for an environment variable, use \
            `Secret::from_env(\"OPENAI_API_KEY\")?`"
)]
pub trait IntoSecret: sealed::Sealed {
    /// Returns the key, if there is one.
    fn into_secret(self) -> Option<Secret>;
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::Secret {}
    impl Sealed for &str {}
    impl Sealed for String {}
    impl Sealed for &String {}
    // Only for one `Option`, so that the type of `None` can be inferred.
    impl Sealed for Option<super::Secret> {}
}

impl IntoSecret for Secret {
    fn into_secret(self) -> Option<Secret> {
        Some(self)
    }
}

impl IntoSecret for &str {
    fn into_secret(self) -> Option<Secret> {
        Some(Secret::new(self))
    }
}

impl IntoSecret for String {
    fn into_secret(self) -> Option<Secret> {
        Some(Secret::new(self))
    }
}

impl IntoSecret for &String {
    fn into_secret(self) -> Option<Secret> {
        Some(Secret::new(self))
    }
}

impl IntoSecret for Option<Secret> {
    fn into_secret(self) -> Option<Secret> {
        self
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The error does not show the value: it may be a key of digits.
        String::deserialize(deserializer)
            .map(Self::new)
            .map_err(|_| de::Error::custom("expected a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_rejects_invalid_header_values() {
        for (value, expected) in [
            (None, "not set"),
            (Some(""), "empty"),
            (Some("hunter2\n"), "not a header value"),
            (Some("hunter2\0"), "not a header value"),
            (Some("hünter2"), "not a header value"),
        ] {
            assert_eq!(Secret::read(value.map(Into::into)), Err(expected));
        }
        let good = Secret::read(Some("hunter2".into())).expect("is good");
        assert_eq!(good, Secret::new("hunter2"));
    }

    #[test]
    fn from_env_names_the_variable_unless_it_may_be_a_key() {
        for name in ["TOWER_MODELS_CACHE_NO_SUCH_KEY", "no_such_key_is_set"] {
            let error = Secret::from_env(name).expect_err("is not set");
            assert_eq!(error.field(), name);
            let expected =
                format!("{name} is not set, expected an environment variable that holds a key");
            assert_eq!(error.to_string(), expected);
        }
        for name in ["sk-hunter", "gsk_hunter2x", "a b", "hunter\n", "hünter"] {
            let error = Secret::from_env(name).expect_err("is not set");
            assert!(!format!("{error} {error:?}").contains(name), "{error}");
        }
    }

    #[test]
    fn debug_and_errors_hide_secrets() {
        let secret = Secret::new("hunter2");
        let header = secret.header_value("Bearer ").expect("is good");
        assert_eq!(header, "Bearer hunter2");
        let shown = format!("{secret:?} {header:?} {:#?}", Some(&secret));
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = serde_json::from_str::<Secret>("1234567").expect_err("is no text");
        assert!(!error.to_string().contains("1234567"), "{error}");
    }
}
