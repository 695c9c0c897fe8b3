//! `If-None-Match` for `GET` and `HEAD` (RFC 9110 section 13.1.2).
//!
//! One forward scan over the header bytes, without allocation. Anything
//! malformed is skipped rather than rejected: the worst outcome of not
//! recognising a tag is a full response, which is always correct.
//!
//! Rules the RFC leaves open, as decided here:
//!
//! * A quoted tag never spans two field lines. Section 5.3 joins lines with a
//!   comma, but a sender that opened a quote on one line did not mean the next.
//! * `*` matches only as the whole of a single field line. `*,` and a `*` line
//!   beside any other line (even an empty one) are lists, where `*` means
//!   nothing.
//! * After a malformed member, parsing resumes at the next comma: the first one
//!   after the closing quote if the quoted tag was complete, and otherwise the
//!   first one after the member's start, since then no quote protects it.

use http::{HeaderMap, header::IF_NONE_MATCH};

use crate::header_values::header_values;

/// Whether `If-None-Match` names `etag`, so that the answer is 304.
///
/// `etag` is the current strong validator with its quotes, and has to be
/// well-formed. The comparison is weak, as section 13.1.2 demands: a `W/` in the
/// header is ignored.
pub(crate) fn none_match_hits(headers: &HeaderMap, etag: &[u8]) -> bool {
    let all = || header_values(headers, IF_NONE_MATCH);
    let Some(first) = all().next() else {
        return false;
    };
    let first = first.as_bytes();
    // What a well-behaved client sends: our own tag back. A line that is
    // exactly our tag is a well-formed member whatever other lines hold.
    if first == etag {
        return true;
    }
    if first.trim_ascii() == b"*" && all().nth(1).is_none() {
        return true;
    }
    all().any(|line| line_hits(line.as_bytes(), etag))
}

/// Whether one field line lists `etag`.
///
/// Linear: a byte is read again only after a quote that did not close properly,
/// and no other quote stands between it and the point where that was noticed,
/// so the bytes in between are never scanned as a quoted tag a second time.
fn line_hits(line: &[u8], etag: &[u8]) -> bool {
    let mut rest = line;
    loop {
        // `OWS` is SP and HTAB (section 5.6.3); the other characters that this
        // trims cannot stand in a header value.
        rest = rest.trim_ascii_start();
        // Case-sensitive by section 8.8.3, with nothing between it and the quote.
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        // Looking for the closing quote is slower than comparing, and not needed
        // for our own tag, which ends with one.
        let len = if tag.starts_with(etag) {
            Some(etag.len())
        } else {
            opaque_tag_len(tag)
        };
        if let Some(len) = len {
            let (opaque, after) = tag.split_at(len);
            rest = after.trim_ascii_start();
            if opaque == etag && matches!(rest, [] | [b',', ..]) {
                return true;
            }
        }
        // What is left of the member, if anything, is malformed. An empty member
        // comes here directly, to be ignored (section 5.6.1.2).
        match rest.iter().position(|&byte| byte == b',') {
            Some(comma) => rest = &rest[comma + 1..],
            None => return false,
        }
    }
}

/// The length of the `opaque-tag` that `text` starts with, quotes included.
fn opaque_tag_len(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"\"")?;
    let end = inner.iter().position(|&byte| !is_etagc(byte))?;
    (inner[end] == b'"').then_some(end + 2)
}

/// Whether a text is one `entity-tag` of section 8.8.3, weak or strong.
pub(crate) fn is_entity_tag(text: &[u8]) -> bool {
    let opaque = text.strip_prefix(b"W/").unwrap_or(text);
    opaque_tag_len(opaque) == Some(opaque.len())
}

/// `etagc` of section 8.8.3: commas are in it, spaces and quotes are not.
const fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    const ETAG: &[u8] = b"\"0123abcd\"";

    fn header_map<L: AsRef<[u8]>>(header_values: &[L]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in header_values {
            let value = HeaderValue::from_bytes(line.as_ref()).expect("a valid header value");
            headers.append(IF_NONE_MATCH, value);
        }
        headers
    }

    /// Field lines, whether they hit `ETAG`, and why.
    type Row = (&'static [&'static [u8]], bool, &'static str);

    #[rustfmt::skip]
    const TABLE: &[Row] = &[
        // One member.
        (&[], false, "no header"),
        (&[b""], false, "empty header"),
        (&[b" \t "], false, "only whitespace"),
        (&[br#""0123abcd""#], true, "exactly our tag"),
        (&[br#"W/"0123abcd""#], true, "weak comparison ignores W/"),
        (&[b" \t\"0123abcd\"\t "], true, "whitespace around the tag"),
        (&[br#""0123abce""#], false, "another tag"),
        (&[br#""0123abc""#], false, "a prefix of our tag"),
        (&[br#""0123abcde""#], false, "our tag is a prefix of it"),
        (&[br#""0123ABCD""#], false, "tags are case-sensitive"),
        (&[br#""""#], false, "the empty tag is well-formed, but not ours"),
        (&[br#""W/0123abcd""#], false, "W/ inside the quotes is part of the tag"),
        // The weak prefix.
        (&[br#"w/"0123abcd""#], false, "W/ is case-sensitive"),
        (&[br#"W/ "0123abcd""#], false, "no whitespace after W/"),
        (&[br#"W "0123abcd""#], false, "W without a slash"),
        (&[br#"W"0123abcd""#], false, "W without a slash, joined"),
        (&[br#"W/W/"0123abcd""#], false, "only one W/"),
        (&[b"W/"], false, "W/ without a tag"),
        (&[br#"W/,"0123abcd""#], true, "a lone W/ does not spoil the next member"),
        // The star.
        (&[b"*"], true, "star alone"),
        (&[b" \t*\t "], true, "star alone in whitespace"),
        (&[b"**"], false, "two stars are not a star"),
        (&[b"* *"], false, "two stars with a space are not a star"),
        (&[b"*,"], false, "star in a list, though the other member is empty"),
        (&[b"*, \"x\""], false, "star in a list is not a match by itself"),
        (&[b"\"x\", *"], false, "star at the end of a list"),
        (&[b"*, \"0123abcd\""], true, "our tag counts beside a star"),
        (&[b"*", b"*"], false, "two star lines are a list"),
        (&[b"*", b""], false, "a star line and an empty line are a list"),
        (&[b"*", b"\"x\""], false, "a star line and another line are a list"),
        (&[b"\"x\"", b"*"], false, "a star on a later line"),
        (&[b"*", b"\"0123abcd\""], true, "our tag on the line after a star"),
        (&[b"\"*\""], false, "a quoted star is an ordinary tag"),
        (&[b"W/*"], false, "a weak star does not exist"),
        // Lists.
        (&[br#""x", "0123abcd""#], true, "last in a list"),
        (&[br#""0123abcd", "x""#], true, "first in a list"),
        (&[br#""x","0123abcd","y""#], true, "no whitespace in the list"),
        (&[b"\"x\"\t , \tW/\"0123abcd\" ,\"y\""], true, "whitespace on both sides of commas"),
        (&[br#", ,, "0123abcd",,"#], true, "empty members are ignored"),
        (&[b",,, ,"], false, "only empty members"),
        (&[br#""x", "y", W/"z""#], false, "a list without our tag"),
        // Several lines.
        (&[b"\"x\"", b"\"0123abcd\""], true, "second line"),
        (&[b"\"0123abcd\"", b"\"x\""], true, "first line of two"),
        (&[b"\"x\"", b"\"y\"", b"\"z\", W/\"0123abcd\""], true, "third line"),
        (&[b"\"x\"", b"\"y\"", b"\"z\""], false, "three lines without our tag"),
        (&[b"\"0123", b"abcd\""], false, "a tag does not span lines"),
        (&[b"\"x", b"\"0123abcd\""], true, "an open quote ends with its line"),
        (&[b"", b"\"0123abcd\""], true, "an empty line before ours"),
        // Commas within quotes.
        (&[br#""a,b", "0123abcd""#], true, "a comma inside a tag does not end it"),
        (&[br#""x,"0123abcd","y""#], false, "our text outside the quotes: the tag is \"x,\""),
        (&[br#"","0123abcd",""#], false, "a tag that is just a comma, then garbage"),
        (&[br#"W/"a,b,c",W/"0123abcd""#], true, "commas inside a weak tag"),
        // Malformed members.
        (&[b"0123abcd"], false, "unquoted"),
        (&[br#""0123abcd"#], false, "no closing quote"),
        (&[br#"0123abcd""#], false, "no opening quote"),
        (&[br#"'0123abcd'"#], false, "the wrong quotes"),
        (&[b"\""], false, "a lone quote"),
        (&[br#""0123abcd"x"#], false, "garbage after the quote"),
        (&[br#""0123abcd" x"#], false, "garbage after the quote and a space"),
        (&[br#""0123abcd""x""#], false, "two tags without a comma"),
        (&[br#""0123abcd" "0123abcd""#], false, "two tags with only a space between"),
        (&[br#"x"0123abcd""#], false, "garbage before the quote"),
        (&[br#"x "0123abcd""#], false, "garbage and a space before the quote"),
        (&[br#""0123abcd";q=1"#], false, "tags take no parameters"),
        (&[br#"" 0123abcd""#], false, "a space is no etagc"),
        (&[b"\"0123\tabcd\""], false, "a tab is no etagc"),
        (&[br#"junk, "0123abcd""#], true, "after an unquoted member"),
        (&[br#""0123abcd", junk"#], true, "before an unquoted member"),
        (&[br#""x"y, "0123abcd""#], true, "after garbage after a quote"),
        (&[br#""a,b"y, "0123abcd""#], true, "garbage after a tag with a comma"),
        (&[br#""a b", "0123abcd""#], true, "after a tag with a space"),
        (&[br#""x, "0123abcd""#], true, "after an unterminated tag"),
        (&[br#""0123abcd", "x"#], true, "before an unterminated tag"),
        (&[br#""x,y"z,"0123abcd",w""#], true, "resumes after the garbage, not within the tag"),
        (&[br#""x"y"z,"0123abcd""#], true, "a quote inside garbage protects no comma"),
        (&[br#"x"y,"0123abcd""#], true, "a quote inside an unquoted member protects no comma"),
        // Bytes beyond ASCII.
        (&[b"\"\x80\xFF\", \"0123abcd\""], true, "obs-text inside a tag"),
        (&[b"\xA0\"0123abcd\""], false, "a no-break space is not whitespace here"),
        (&[b"\"0123abcd\"\x85"], false, "obs-text after the quote is garbage"),
        (&[b"\xFF\xFE, \"0123abcd\""], true, "after an unquoted obs-text member"),
    ];

    #[test]
    fn table() {
        for (header_values, expected, why) in TABLE {
            let got = none_match_hits(&header_map(header_values), ETAG);
            assert_eq!(got, *expected, "{why}: {header_values:?}");
        }
    }

    /// A byte that is allowed in a tag leaves the quote open across the comma.
    #[test]
    fn every_etagc_and_nothing_else_may_stand_in_a_tag() {
        for byte in (0x20..=0xFF).chain([b'\t']).filter(|&byte| byte != 0x7F) {
            let allowed = !matches!(byte, b' ' | b'\t' | b'"');
            let line = [b"\"", &[byte][..], b",", ETAG].concat();
            let got = none_match_hits(&header_map(&[line]), ETAG);
            assert_eq!(got, !allowed, "byte {byte:#x}");
            if allowed {
                let tag = [b'"', byte, b'"'];
                let line = [b"W/", &tag[..]].concat();
                let got = none_match_hits(&header_map(&[line]), &tag);
                assert!(got, "byte {byte:#x}");
            }
        }
    }

    /// Quadratic work on lines of this length would take minutes.
    #[test]
    fn hostile_lines_take_linear_time() {
        for unit in [
            "\"", "\",", "\"a,", "\"a b,", ",", " ", "W/", "W/\"", "a,", "*,", "\"a\"", "\"\",",
        ] {
            for lead in ["", "\"", "x"] {
                let line = format!("{lead}{}", unit.repeat((1 << 19) / unit.len()));
                assert!(!none_match_hits(&header_map(&[line]), ETAG));
            }
        }
    }

    /// Cuts the line into members first and judges each as a whole afterwards.
    fn reference(header_values: &[Vec<u8>], etag: &[u8]) -> bool {
        if let [only] = header_values
            && trim(only) == b"*"
        {
            return true;
        }
        header_values
            .iter()
            .flat_map(|line| cut(line))
            .any(|member| tag_of(&member).is_some_and(|tag| tag == etag))
    }

    fn cut(line: &[u8]) -> Vec<Vec<u8>> {
        let mut members = Vec::new();
        let mut line = line.to_vec();
        loop {
            let start = trim(&line).to_vec();
            let weak = if start.starts_with(b"W/") { 2 } else { 0 };
            // The bytes up to and including a closing quote, if there is one.
            let mut protected = 0;
            if start.get(weak) == Some(&b'"') {
                let quote = (weak + 1..start.len()).find(|&at| start[at] == b'"');
                if let Some(quote) = quote
                    && !start[..quote].iter().any(|b| b" \t".contains(b))
                {
                    protected = quote + 1;
                }
            }
            match (protected..start.len()).find(|&at| start[at] == b',') {
                Some(comma) => {
                    members.push(trim(&start[..comma]).to_vec());
                    line = start[comma + 1..].to_vec();
                }
                None => {
                    members.push(start);
                    return members;
                }
            }
        }
    }

    fn tag_of(member: &[u8]) -> Option<&[u8]> {
        let tag = member.strip_prefix(b"W/").unwrap_or(member);
        let inner = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let bad = |b: &u8| matches!(b, b'"' | 0..=0x20 | 0x7F);
        (!inner.iter().any(bad)).then_some(tag)
    }

    fn trim(mut text: &[u8]) -> &[u8] {
        while let [b' ' | b'\t', tail @ ..] | [tail @ .., b' ' | b'\t'] = text {
            text = tail;
        }
        text
    }

    fn value_byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(b'\t'), 0x20..=0x7E_u8, 0x80..=0xFF_u8]
    }

    /// Lines made of the bytes that steer the parser, with the tag `"a"`.
    fn tricky_line() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"\"", b"\"", b",", b",", b" ", b"\t", b"W/", b"w/", b"*", b"a", b"\x80", b"\"a\"",
            b"\"b\"", b", ", b"W/\"a\"",
        ];
        vec(select(pieces), 0..14).prop_map(|pieces| pieces.concat())
    }

    /// A member that keeps to itself, and the tag that it names, if any.
    fn member() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
        let etagc = prop_oneof![
            Just(b','),
            Just(b'a'),
            value_byte().prop_filter("etagc", |b| is_etagc(*b)),
        ];
        let tag = prop_oneof![
            3 => vec(etagc, 0..6).prop_map(|inner| [b"\"", &inner[..], b"\""].concat()),
            1 => Just(b"\"a\"".to_vec()),
        ];
        let shape: Vec<(&[u8], &[u8], bool)> = vec![
            (b"", b"", true),
            (b"", b"", true),
            (b"W/", b"", true),
            (b" \t", b"\t ", true),
            (b"", b"x", false),
            (b"W/", b" *", false),
        ];
        let unquoted: Vec<&[u8]> = vec![b"", b" ", b"*", b"a", b"W/", b"x\"a\"", b"\"a b\""];
        prop_oneof![
            4 => (tag, select(shape)).prop_map(|(tag, (before, after, counts))| {
                ([before, &tag[..], after].concat(), counts.then_some(tag))
            }),
            1 => select(unquoted).prop_map(|text| (text.to_vec(), None)),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            header_values in vec(vec(value_byte(), 0..60), 0..4),
            etag in vec(any::<u8>(), 0..12),
        ) {
            let _ = none_match_hits(&header_map(&header_values), &etag);
            prop_assert_eq!(none_match_hits(&header_map(&header_values), ETAG), reference(&header_values, ETAG));
        }

        #[test]
        fn agrees_with_the_reference(header_values in vec(tricky_line(), 0..4)) {
            let headers = header_map(&header_values);
            for etag in [&b"\"a\""[..], b"\"\"", b"\",\"", b"\"aa\"", b"\"\x80\""] {
                prop_assert_eq!(none_match_hits(&headers, etag), reference(&header_values, etag));
            }
        }

        #[test]
        fn finds_exactly_the_well_formed_members(header_values in vec(vec(member(), 2..6), 1..3)) {
            let wanted = header_values.iter().flatten().any(|(_, tag)| tag.as_deref() == Some(b"\"a\""));
            let header_values: Vec<Vec<u8>> = header_values
                .iter()
                .map(|members| {
                    let texts: Vec<&[u8]> = members.iter().map(|(text, _)| &text[..]).collect();
                    texts.join(&b","[..])
                })
                .collect();
            prop_assert_eq!(none_match_hits(&header_map(&header_values), b"\"a\""), wanted);
            prop_assert_eq!(reference(&header_values, b"\"a\""), wanted);
        }
    }
}
