//! The deprecation of a model.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Serialize, Serializer};

/// The deprecation of a model, with the day of its shutdown if known.
///
/// Serialised and displayed as `YYYY-MM-DD`, or as `deprecated` without a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deprecation(Option<Date>);

/// A day in this year or later means "never".
const NEVER: i16 = 2098;

impl Deprecation {
    /// A deprecation without a known day.
    pub const UNDATED: Self = Self(None);

    /// Creates a deprecation with a shutdown on a day of the Gregorian calendar.
    ///
    /// Returns `None` if the day does not exist, or is in 2098 or later, which providers use for
    /// "never".
    ///
    /// ```
    /// use tower_models_cache::model::Deprecation;
    ///
    /// let end = Deprecation::on(2026, 10, 23).unwrap();
    /// assert_eq!(end.to_string(), "2026-10-23");
    /// ```
    pub fn on(year: i16, month: i8, day: i8) -> Option<Self> {
        Self::on_date(Date::new(year, month, day).ok()?)
    }

    fn on_date(date: Date) -> Option<Self> {
        (date.year() < NEVER).then_some(Self(Some(date)))
    }

    /// The UTC day of a time in seconds since the Unix epoch.
    pub(crate) fn at(seconds: i64) -> Option<Self> {
        // 0 means "never" as well.
        let timestamp = Timestamp::from_second(seconds)
            .ok()
            .filter(|_| seconds > 0)?;
        Self::on_date(TimeZone::UTC.to_datetime(timestamp).date())
    }

    /// Parses `YYYY-MM-DD`, or an RFC 3339 timestamp, of which the UTC day is used.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match Timestamp::from_str(text) {
            Ok(timestamp) => Self::at(timestamp.as_second()),
            Err(_) => Self::on_date(Date::from_str(text).ok()?),
        }
    }

    /// Returns year, month and day, if known.
    pub fn date(self) -> Option<(i16, i8, i8)> {
        let date = self.0?;
        Some((date.year(), date.month(), date.day()))
    }

    /// Returns whether the day is known.
    pub fn is_dated(self) -> bool {
        self.0.is_some()
    }
}

/// Writes the day as `YYYY-MM-DD`, or `deprecated`.
impl fmt::Display for Deprecation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(date) => date.fmt(f),
            None => f.write_str("deprecated"),
        }
    }
}

impl Serialize for Deprecation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_parsed_unless_they_mean_never() {
        let text = |text| Deprecation::from_text(text).map(|day| day.to_string());
        assert_eq!(text("2026-10-23").as_deref(), Some("2026-10-23"));
        assert_eq!(
            text("2026-10-23T23:30:00-01:00").as_deref(),
            Some("2026-10-24")
        );
        assert_eq!(text("2098-12-31"), None);
        assert_eq!(text("2099-12-31T00:00:00Z"), None);
        assert_eq!(text("soon"), None);
        let at = |seconds| Deprecation::at(seconds).map(|day| day.to_string());
        assert_eq!(at(1_771_372_800).as_deref(), Some("2026-02-18"));
        assert_eq!(at(4_102_358_400), None);
        assert_eq!(at(i64::MAX), None);
        assert_eq!(at(0), None);
    }
}
