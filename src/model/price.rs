//! The prices of a model, as exact decimal numbers.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// An amount of US dollars per unit, exactly as stated by a provider.
///
/// Parsed from decimal text with or without an exponent. Displayed and serialised as text
/// without an exponent or trailing zeros: `"3.50e-7"` is `0.00000035`.
///
/// ```
/// use tower_models_cache::model::Price;
///
/// let price: Price = "3.50e-7".parse().unwrap();
/// assert_eq!(price.to_string(), "0.00000035");
/// assert!("-1".parse::<Price>().is_err()); // means "not fixed"
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Price(Decimal);

/// The error returned when parsing a [`Price`] from text that is not a decimal number, is
/// negative, or has more than 28 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePriceError;

impl Price {
    /// The amount per unit, if `text` is the amount per 10^`power` units.
    pub(crate) fn per(text: &str, power: u32) -> Option<Self> {
        let text = text.trim();
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().ok()?;
        if digits.contains('_') {
            return None; // accepted by the library, but not decimal text
        }
        let mut amount = Decimal::from_str_exact(digits).ok()?;
        if amount.is_sign_negative() && !amount.is_zero() {
            return None;
        }
        amount.set_sign_positive(true);
        amount.normalize_assign();
        if amount.is_zero() {
            return Some(Self(Decimal::ZERO));
        }
        let scale = i64::from(amount.scale()) + i64::from(power) - i64::from(exponent);
        // The number has trailing zeros before the decimal point.
        let zeros = u32::try_from(-scale).unwrap_or(0);
        amount.set_scale(u32::try_from(scale.max(0)).ok()?).ok()?;
        if zeros > 0 {
            amount = amount.checked_mul(10_u128.checked_pow(zeros)?.into())?;
        }
        Some(Self(amount.normalize()))
    }
}

impl FromStr for Price {
    type Err = ParsePriceError;

    fn from_str(text: &str) -> Result<Self, ParsePriceError> {
        Self::per(text, 0).ok_or(ParsePriceError)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ParsePriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid price, expected a non-negative decimal number of at most 28 digits")
    }
}

impl std::error::Error for ParsePriceError {}

/// The prices of a model, in US dollars. An unknown price is absent; zero is a price.
///
/// Serialised with the names of OpenRouter, and with amounts as text. Fields may be added in
/// future versions: use `..Prices::default()` to construct this.
///
/// ```
/// use tower_models_cache::model::Prices;
///
/// let prices = Prices {
///     prompt: "0.0000025".parse().ok(),
///     completion: "0.00001".parse().ok(),
///     ..Prices::default()
/// };
/// assert!(!prices.is_empty());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Prices {
    /// Per input token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Price>,
    /// Per output token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<Price>,
    /// Per token read from the provider's prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_cache_read: Option<Price>,
    /// Per token written to the provider's prompt cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_cache_write: Option<Price>,
    /// Per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Price>,
    /// Per input image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Price>,
}

impl Prices {
    /// Returns whether no price is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_normalised() {
        for (text, power, expected) in [
            ("0.0000025", 0, Some("0.0000025")),
            ("3.5e-7", 0, Some("0.00000035")),
            ("1E-06", 0, Some("0.000001")),
            ("1e2", 0, Some("100")),
            ("0.18", 6, Some("0.00000018")),
            ("2.5999999999999996", 6, Some("0.0000025999999999999996")),
            ("40000", 10, Some("0.000004")),
            ("1.40", 6, Some("0.0000014")),
            ("0", 10, Some("0")),
            ("0.000", 0, Some("0")),
            ("-0", 0, Some("0")),
            ("-1", 0, None),
            ("", 0, None),
            ("N/A", 0, None),
            ("1e999", 0, None),
            ("1e-999", 0, None),
            ("0.00000000000000000000000001", 10, None),
            ("1,5", 0, None),
            ("1_000", 0, None),
            ("1e", 0, None),
            ("1.5e3", 6, Some("0.0015")),
            ("12345678901234567890123456789.5e-2", 0, None),
            (
                "123456789012345678901234567.89e-1",
                0,
                Some("12345678901234567890123456.789"),
            ),
        ] {
            let price = Price::per(text, power).map(|price| price.to_string());
            assert_eq!(price.as_deref(), expected, "{text} {power}");
        }
    }
}
