//! Whether, and since when, a provider advises against a model.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Serialize, Serializer};

/// That a provider advises against a model, or ends it on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deprecation(Option<Date>);

/// From this year on, a day stands for "never".
const NEVER: i16 = 2098;

impl Deprecation {
    /// Deprecated, without a day.
    pub const UNDATED: Self = Self(None);

    /// Ends on this day of the Gregorian calendar; `None`: there is no such day, or it
    /// lies in 2098 or later, which providers write for "never".
    ///
    /// ```
    /// use tower_models_cache::Deprecation;
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

    /// The day of this moment, in seconds since the Unix epoch, in UTC.
    pub(crate) fn at(seconds: i64) -> Option<Self> {
        // 0 stands for "never", too.
        let moment = Timestamp::from_second(seconds)
            .ok()
            .filter(|_| seconds > 0)?;
        Self::on_date(TimeZone::UTC.to_datetime(moment).date())
    }

    /// The day of a text: `YYYY-MM-DD`, or a moment as of RFC 3339, taken in UTC.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match Timestamp::from_str(text) {
            Ok(moment) => Self::at(moment.as_second()),
            Err(_) => Self::on_date(Date::from_str(text).ok()?),
        }
    }

    /// The day as year, month and day, if it is known.
    pub fn date(self) -> Option<(i16, i8, i8)> {
        let date = self.0?;
        Some((date.year(), date.month(), date.day()))
    }

    /// Whether the day is known.
    pub fn is_dated(self) -> bool {
        self.0.is_some()
    }
}

/// The day as `YYYY-MM-DD`, or `deprecated`.
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
    fn days_are_read_in_every_form_and_never_is_no_day() {
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
