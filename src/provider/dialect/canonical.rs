//! The canonical form of a JSON value, so that equal values are equal text.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    fields::Fields,
    json::{elements, has_escapes, read_text},
};

/// Sorts names, and removes whitespace and the fields that `drop` selects. PageFields stay as
/// written. Returns `None` for a value that not every JSON parser accepts: one with a number out
/// of range, or with a string that is not valid Unicode.
///
/// This recurses: the caller must have checked the nesting depth.
pub(super) fn canonical<'a>(json: &'a str, drop: &dyn Fn(&str) -> bool) -> Option<Cow<'a, str>> {
    Some(match json.as_bytes().first()? {
        b'{' => {
            let fields = Fields::parse(json)?;
            let mut sorted = BTreeMap::new();
            for (name, value) in fields.iter().filter(|(name, _)| !drop(name)) {
                let name = serde_json::to_string(name).expect("text always serialises");
                sorted.insert(name, canonical(value, drop)?);
            }
            let members = sorted.into_iter().map(|(name, value)| name + ":" + &value);
            format!("{{{}}}", Vec::from_iter(members).join(",")).into()
        }
        b'[' => {
            if let Some(texts) = without_spaces(json) {
                return Some(texts);
            }
            let list = elements(json)?.into_iter();
            let list = list.map(|value| canonical(value, drop));
            format!("[{}]", list.collect::<Option<Vec<_>>>()?.join(",")).into()
        }
        // Escapes can be written in several ways.
        b'"' if has_escapes(json) => serde_json::to_string(&read_text(json)?)
            .expect("text always serialises")
            .into(),
        b'-' | b'0'..=b'9' if !json.parse().is_ok_and(f64::is_finite) => return None,
        _ => json.into(),
    })
}

/// Removes whitespace from a list of strings and lists. `None` if it has escapes or other values.
fn without_spaces(json: &str) -> Option<Cow<'_, str>> {
    if has_escapes(json) {
        return None;
    }
    let mut short = String::with_capacity(json.len());
    let mut marks = memchr::memchr_iter(b'"', json.as_bytes());
    let mut rest = 0;
    loop {
        let open = marks.next();
        for c in json[rest..open.unwrap_or(json.len())].chars() {
            match c {
                '[' | ',' | ']' => short.push(c),
                _ if c.is_ascii_whitespace() => {}
                _ => return None,
            }
        }
        let Some(open) = open else { break };
        let close = marks.next()?;
        short.push_str(&json[open..=close]);
        rest = close + 1;
    }
    Some(if short.len() == json.len() {
        json.into()
    } else {
        short.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_canonical_form() {
        let drop = |name: &str| name == "no";
        let one = canonical(
            r#" {"b" : [1.50, "\u0061"], "a":{"no":1,"y":null,"x":true}}"#.trim(),
            &drop,
        );
        let two = canonical(r#"{"a":{"x":true,"no":2},"b":[1.50,"a"]}"#, &drop);
        assert_eq!(one.as_deref(), Some(r#"{"a":{"x":true},"b":[1.50,"a"]}"#));
        assert_eq!(one, two);
        let lists = [
            "[ \"a b\" ,\n\"c,[\" , [] ]",
            r#"["\u0061 b","c,[",[]]"#,
            r#"["a b","c,[",[]]"#,
        ];
        for list in lists {
            let list = canonical(list, &drop);
            assert_eq!(list.as_deref(), Some(r#"["a b","c,[",[]]"#));
        }
    }

    #[test]
    fn unportable_values_have_no_canonical_form() {
        for (json, readable) in [
            ("1e308", true),
            ("-0.5", true),
            ("184467440737095516160", true),
            ("1e309", false),
            (r#"[["a"],-1e400]"#, false),
            (r#"{"a":{"b":1e400}}"#, false),
            (r#""\ud83d\ude00""#, true),
            (r#"["\ud83d"]"#, false),
        ] {
            let form = canonical(json, &|_| false);
            assert_eq!(form.is_some(), readable, "{json}");
            if let Some(form) = form {
                serde_json::from_str::<serde_json::Value>(&form).expect("is JSON");
            }
        }
    }
}
