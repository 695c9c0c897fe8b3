//! `Accept-Encoding` negotiation (RFC 9110 section 12.5.3).
//!
//! One forward scan over the header bytes, without allocation or floats.
//!
//! Rules the RFC leaves open, as decided here:
//!
//! * A coding listed several times counts with its highest weight, and `gzip`
//!   and `x-gzip` are one coding (section 8.4.1.3). The same goes for `*`, so
//!   `identity;q=0, identity` and `*;q=0, *` exclude nothing.
//! * A member with a malformed weight, or with any parameter besides the one
//!   weight, is ignored as if it were not there: `*` still covers its coding.
//! * Identity competes by weight only when it is named. Otherwise it is the
//!   last resort, even under `*` with a high weight, because a client that
//!   accepts a coding at all is better served by fewer bytes.

use http::{HeaderMap, header::ACCEPT_ENCODING};

use crate::header_values::header_values;

/// A content coding that a response can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coding {
    // The numbers are the bits in `Codings`, the better coding has the higher one.
    // Identity has none, which is how it comes to be in every set.
    Identity = 0,
    Gzip = 1,
    Zstd = 2,
    Br = 4,
}

impl Coding {
    /// The registered name, as `Content-Encoding` spells it.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Br => "br",
        }
    }
}

/// How hard the bytes are tried to be made fewer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CompressionLevel {
    /// For a list that everybody gets.
    Best,
    /// For one of many.
    Fast,
}

/// The codings that a response is available in. Identity always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Codings(u8);

impl Codings {
    /// Identity only.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn with(self, coding: Coding) -> Self {
        Self(self.0 | coding as u8)
    }

    pub(crate) const fn has(self, coding: Coding) -> bool {
        self.0 & coding as u8 == coding as u8
    }

    /// The best coding for the server that both sets have.
    const fn best_of(self, named: Self) -> Coding {
        // The better coding has the higher bit.
        match self.0 & named.0 {
            4.. => Coding::Br,
            2.. => Coding::Zstd,
            1 => Coding::Gzip,
            0 => Coding::Identity,
        }
    }
}

/// What the usual clients send, word by word: these are not scanned. They name
/// codings without weights, so that the best of them for the server is taken.
fn usual(line: &[u8]) -> Option<Codings> {
    const GZIP: Codings = Codings::NONE.with(Coding::Gzip);
    const GZIP_BR: Codings = GZIP.with(Coding::Br);
    const ALL: Codings = GZIP_BR.with(Coding::Zstd);
    match line {
        b"gzip" | b"gzip, deflate" => Some(GZIP),
        b"gzip, deflate, br" | b"br, gzip, deflate" | b"gzip, compress, deflate, br" => {
            Some(GZIP_BR)
        }
        b"gzip, deflate, br, zstd" => Some(ALL),
        _ => None,
    }
}

/// The coding to answer with, or `None` if nothing available is acceptable.
pub(crate) fn choose(headers: &HeaderMap, have: Codings) -> Option<Coding> {
    let all = || header_values(headers, ACCEPT_ENCODING);
    let mut first_and_more = all();
    let Some(first) = first_and_more.next() else {
        return Some(Coding::Identity);
    };
    if let Some(named) = usual(first.as_bytes())
        && first_and_more.next().is_none()
    {
        return Some(have.best_of(named));
    }
    // Only a weight of zero can exclude identity, and each spelling of zero
    // that the grammar allows ("0", "0.", "0.000") begins with the digit.
    if have == Codings::NONE && !all().any(|line| line.as_bytes().contains(&b'0')) {
        return Some(Coding::Identity);
    }

    let mut asked = Weights::default();
    for line in all() {
        asked.read_line(line.as_bytes());
    }
    // One thousandth loses to any other weight. It ties with an equal one, and
    // then the other coding is preferred anyway.
    let implied = if asked.star == Some(0) { 0 } else { 1 };
    [
        (Coding::Identity, asked.identity.or(Some(implied))),
        (Coding::Gzip, asked.gzip.or(asked.star)),
        (Coding::Zstd, asked.zstd.or(asked.star)),
        (Coding::Br, asked.br.or(asked.star)),
    ]
    .into_iter()
    // Zero means "not acceptable" (section 12.4.2), and so does `None`, which
    // is less than any weight.
    .filter(|&(coding, weight)| weight > Some(0) && have.has(coding))
    // The last one of equals, hence the order above: best for the server last.
    .max_by_key(|&(_, weight)| weight)
    .map(|(coding, _)| coding)
}

/// What the client said about each coding, in thousandths.
#[derive(Default)]
struct Weights {
    br: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    star: Option<u16>,
}

impl Weights {
    fn read_line(&mut self, line: &[u8]) {
        let mut rest = line;
        loop {
            // `OWS` is SP and HTAB (section 5.6.3); the other characters that
            // this trims cannot stand in a header value.
            rest = rest.trim_ascii_start();
            // Not checked to be a token: what is not one, or is empty (section
            // 5.6.1.2), is skipped like any other unknown name.
            let ends_name = |byte: &u8| matches!(byte, b',' | b';' | b' ' | b'\t');
            let name_len = rest.iter().position(ends_name).unwrap_or(rest.len());
            let name;
            (name, rest) = rest.split_at(name_len);
            if let Some(slot) = self.slot(name)
                && let Some((weight, after)) = read_weight(rest)
            {
                *slot = (*slot).max(Some(weight));
                rest = after;
            }
            match rest.iter().position(|&byte| byte == b',') {
                Some(comma) => rest = &rest[comma + 1..],
                None => return,
            }
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<u16>> {
        let is = |token: &str| name.eq_ignore_ascii_case(token.as_bytes());
        match name.len() {
            1 if is("*") => Some(&mut self.star),
            2 if is("br") => Some(&mut self.br),
            4 if is("gzip") => Some(&mut self.gzip),
            4 if is("zstd") => Some(&mut self.zstd),
            6 if is("x-gzip") => Some(&mut self.gzip),
            8 if is("identity") => Some(&mut self.identity),
            _ => None,
        }
    }
}

/// The weight that follows a coding's name (section 12.4.2), one if there is
/// none, and the text from the next comma on. `None` means malformed.
fn read_weight(text: &[u8]) -> Option<(u16, &[u8])> {
    let mut weight = 1000;
    let mut rest = text.trim_ascii_start();
    if let [b';', tail @ ..] = rest {
        let [b'q' | b'Q', b'=', whole @ b'0'..=b'1', tail @ ..] = tail.trim_ascii_start() else {
            return None;
        };
        weight = u16::from(whole - b'0') * 1000;
        rest = tail;
        if let [b'.', tail @ ..] = rest {
            rest = tail;
            for place in [100, 10, 1] {
                let [digit @ b'0'..=b'9', tail @ ..] = rest else {
                    break;
                };
                weight += u16::from(digit - b'0') * place;
                rest = tail;
            }
        }
        rest = rest.trim_ascii_start();
    }
    // More than one ("1.001") is malformed, and so is a fourth digit, a second
    // parameter or any other leftover before the comma.
    (weight <= 1000 && matches!(rest, [] | [b',', ..])).then_some((weight, rest))
}

#[cfg(test)]
mod tests {
    use super::Coding::{Br, Gzip, Identity, Zstd};
    use super::*;
    use http::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    const EACH: [Coding; 4] = [Identity, Gzip, Zstd, Br];
    const NONE: Codings = Codings::NONE;
    const GZIP: Codings = NONE.with(Gzip);
    const ZSTD_GZIP: Codings = GZIP.with(Zstd);
    const ALL: Codings = ZSTD_GZIP.with(Br);

    #[test]
    fn what_is_usual_is_chosen_as_if_it_was_scanned() {
        for line in [
            "gzip",
            "gzip, deflate",
            "gzip, deflate, br",
            "br, gzip, deflate",
            "gzip, compress, deflate, br",
            "gzip, deflate, br, zstd",
        ] {
            assert!(usual(line.as_bytes()).is_some(), "{line}");
            // A space more makes it unusual, and nothing else.
            let scanned = format!("{line} ,");
            assert!(usual(scanned.as_bytes()).is_none());
            for bits in 0..8 {
                let have = Codings(bits);
                let chosen = choose(&header_map(&[line]), have);
                assert_eq!(
                    chosen,
                    choose(&header_map(&[&scanned]), have),
                    "{line} {bits}"
                );
            }
        }
        // Usual is a line that stands alone.
        let refused = header_map(&["gzip", "gzip;q=0, br"]);
        assert_eq!(choose(&refused, ALL), Some(Br));
    }

    fn header_map<L: AsRef<[u8]>>(header_values: &[L]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in header_values {
            let value = HeaderValue::from_bytes(line.as_ref()).expect("a valid header value");
            headers.append(ACCEPT_ENCODING, value);
        }
        headers
    }

    /// Field lines, what is available, the choice, and why.
    type Row = (
        &'static [&'static [u8]],
        Codings,
        Option<Coding>,
        &'static str,
    );

    #[rustfmt::skip]
    const TABLE: &[Row] = &[
        // Nothing asked for.
        (&[], ALL, Some(Identity), "no header"),
        (&[], NONE, Some(Identity), "no header, nothing available"),
        (&[b""], ALL, Some(Identity), "empty header"),
        (&[b" ,\t, "], ALL, Some(Identity), "only empty members"),
        (&[b"", b""], ALL, Some(Identity), "empty lines"),
        // Names.
        (&[b"gzip"], ALL, Some(Gzip), "gzip"),
        (&[b"zstd"], ALL, Some(Zstd), "zstd"),
        (&[b"br"], ALL, Some(Br), "br"),
        (&[b"identity"], ALL, Some(Identity), "identity"),
        (&[b"x-gzip"], ALL, Some(Gzip), "x-gzip is gzip"),
        (&[b"GZip"], ALL, Some(Gzip), "names are case-insensitive"),
        (&[b"X-GZIP;Q=0.5"], ALL, Some(Gzip), "alias and weight are case-insensitive"),
        (&[b"IDENTITY;q=0, BR"], ALL, Some(Br), "identity in capitals"),
        (&[b"deflate, compress"], ALL, Some(Identity), "unknown codings"),
        (&[b"gzip"], NONE, Some(Identity), "gzip is not available"),
        (&[b"br, zstd"], GZIP, Some(Identity), "a coding that is not listed is not acceptable"),
        (&[b"gzipp, xgzip, bro, z"], ALL, Some(Identity), "names match as a whole"),
        (&[b"x-br, x-zstd"], ALL, Some(Identity), "only gzip has an alias"),
        // Order and weight.
        (&[b"gzip, zstd, br"], ALL, Some(Br), "a tie goes to br"),
        (&[b"gzip, deflate, br, zstd"], ZSTD_GZIP, Some(Zstd), "then to zstd"),
        (&[b"gzip, identity"], ALL, Some(Gzip), "gzip before identity"),
        (&[b"identity;q=0.5, gzip;q=0.5"], ALL, Some(Gzip), "the same with weights"),
        (&[b"br;q=0.5, gzip;q=0.501"], ALL, Some(Gzip), "a thousandth decides"),
        (&[b"br;q=0.9, gzip"], ALL, Some(Gzip), "no weight means one"),
        (&[b"gzip;q=1, br"], ALL, Some(Br), "no weight ties with an explicit one"),
        (&[b"br , gzip;q=0.1"], ALL, Some(Br), "a space between a name and the comma"),
        (&[b"br;q=0.09, gzip;q=0.1"], ALL, Some(Gzip), "decimal places count"),
        (&[b"br;q=0.009, gzip;q=0.01"], ALL, Some(Gzip), "the third place counts"),
        (&[b"br;q=1., gzip;q=1.000"], ALL, Some(Br), "spellings of one are equal"),
        (&[b"br;q=0.5, gzip;q=0.500"], ALL, Some(Br), "trailing zeros do not matter"),
        (&[b"br ; q=0.2\t,\tgzip\t;\tq=0.3 "], ALL, Some(Gzip), "whitespace around ; and ,"),
        (&[b"br;q=0.2,,gzip;q=0.3,"], ALL, Some(Gzip), "empty members in between"),
        (&[b"gzip;q=0"], ALL, Some(Identity), "gzip refused"),
        (&[b"gzip;q=0, br;q=0.001"], ALL, Some(Br), "the least weight is acceptable"),
        (&[b"br;q=0., zstd;q=0.0, gzip;q=0.000"], ALL, Some(Identity), "spellings of zero"),
        // Identity.
        (&[b"gzip;q=0.001"], ALL, Some(Gzip), "implied identity is the last resort"),
        (&[b"gzip;q=0.5, identity;q=0.6"], ALL, Some(Identity), "named identity outweighs"),
        (&[b"gzip;q=0.5, identity;q=0.4"], ALL, Some(Gzip), "named identity is outweighed"),
        (&[b"identity;q=0.001, gzip;q=0.001"], ALL, Some(Gzip), "least tie"),
        (&[b"identity;q=0"], ALL, None, "identity refused, nothing else listed"),
        (&[b"identity;q=0"], NONE, None, "identity refused, nothing else available"),
        (&[b"identity;q=0."], NONE, None, "zero with a bare point"),
        (&[b"identity;q=0.000"], NONE, None, "zero with decimals"),
        (&[b"identity;q=0.001"], NONE, Some(Identity), "almost zero is not zero"),
        (&[b"identity;q=0, br"], GZIP, None, "identity refused and br not available"),
        (&[b"gzip;q=0, identity;q=0"], GZIP, None, "both refused"),
        (&[b"identity;q=0, gzip;q=0.1"], ALL, Some(Gzip), "identity refused, gzip not"),
        // The star.
        (&[b"*"], ALL, Some(Br), "star is the best available"),
        (&[b"*"], GZIP, Some(Gzip), "star with only gzip available"),
        (&[b"*"], NONE, Some(Identity), "star with nothing available"),
        (&[b"*;q=0"], ALL, None, "star refuses everything, identity included"),
        (&[b"*;q=0"], NONE, None, "star refuses identity"),
        (&[b"*;q=0, identity"], ALL, Some(Identity), "named identity escapes the star"),
        (&[b"*;q=0, identity;q=0.1"], NONE, Some(Identity), "the same when nothing is available"),
        (&[b"identity;q=0, *"], NONE, None, "star does not override a named identity"),
        (&[b"identity;q=0, *"], GZIP, Some(Gzip), "star covers the rest"),
        (&[b"*;q=0, gzip"], ALL, Some(Gzip), "named gzip escapes the star"),
        (&[b"*;q=0, gzip"], NONE, None, "gzip escapes the star but is not available"),
        (&[b"br;q=0, *"], ALL, Some(Zstd), "star does not cover a named coding"),
        (&[b"gzip;q=0.5, *"], ALL, Some(Br), "star outweighs gzip"),
        (&[b"gzip, *;q=0.5"], ALL, Some(Gzip), "gzip outweighs star"),
        (&[b"gzip;q=0.5, *"], GZIP, Some(Gzip), "identity under a star stays the last resort"),
        (&[b"identity;q=0.5, *;q=0.4"], ALL, Some(Identity), "named identity outweighs the star"),
        (&[b"gzip;q=0, *;q=0.5"], GZIP, Some(Identity), "identity under a star is acceptable"),
        (&[b"**"], ALL, Some(Identity), "two stars are not a star"),
        // Several mentions.
        (&[b"br;q=0.1, gzip;q=0.2, br;q=0.3"], ALL, Some(Br), "the highest weight counts"),
        (&[b"br;q=0.3, gzip;q=0.2, br;q=0.1"], ALL, Some(Br), "whichever comes first"),
        (&[b"gzip;q=0, x-gzip"], ALL, Some(Gzip), "the alias counts as a mention"),
        (&[b"identity, identity;q=0"], NONE, Some(Identity), "identity mentioned twice"),
        (&[b"*, *;q=0"], GZIP, Some(Gzip), "star mentioned twice"),
        // Several lines.
        (&[b"gzip;q=0.5", b"br;q=0.4"], ALL, Some(Gzip), "lines are one list"),
        (&[b"gzip;q=0.5", b"", b"br"], ALL, Some(Br), "an empty line between"),
        (&[b"gzip", b"identity;q=0"], NONE, None, "a zero on the second line"),
        (&[b"*;q=0", b"identity;q=0.5"], ALL, Some(Identity), "star on another line"),
        // Malformed members are ignored.
        (&[b"br;q=2, gzip"], ALL, Some(Gzip), "weight above one"),
        (&[b"br;q=1.001, gzip;q=0.1"], ALL, Some(Gzip), "weight just above one"),
        (&[b"br;q=1.1, gzip;q=0.1"], ALL, Some(Gzip), "weight above one in the first place"),
        (&[b"br;q=0.1234, gzip;q=0.1"], ALL, Some(Gzip), "four decimals"),
        (&[b"br;q=1.0000, gzip;q=0.1"], ALL, Some(Gzip), "four zeros"),
        (&[b"br;q=.5, gzip;q=0.1"], ALL, Some(Gzip), "no digit before the point"),
        (&[b"br;q=00.5, gzip;q=0.1"], ALL, Some(Gzip), "two digits before the point"),
        (&[b"br;q=-1, gzip;q=0.1"], ALL, Some(Gzip), "a sign"),
        (&[b"br;q=, gzip;q=0.1"], ALL, Some(Gzip), "no value"),
        (&[b"br;q, gzip;q=0.1"], ALL, Some(Gzip), "no equals sign"),
        (&[b"br;, gzip;q=0.1"], ALL, Some(Gzip), "a bare semicolon"),
        (&[b"br;q =0.5, gzip;q=0.1"], ALL, Some(Gzip), "whitespace before ="),
        (&[b"br;q= 0.5, gzip;q=0.1"], ALL, Some(Gzip), "whitespace after ="),
        (&[b"br;q=0 .5, gzip;q=0.1"], ALL, Some(Gzip), "whitespace inside the value"),
        (&[b"br;q=\"1\", gzip;q=0.1"], ALL, Some(Gzip), "a quoted value"),
        (&[b"br;q=1e0, gzip;q=0.1"], ALL, Some(Gzip), "an exponent"),
        (&[b"br;level=1, gzip;q=0.1"], ALL, Some(Gzip), "another parameter"),
        (&[b"br;q=1;level=1, gzip;q=0.1"], ALL, Some(Gzip), "a parameter after the weight"),
        (&[b"br;q=1;q=1, gzip;q=0.1"], ALL, Some(Gzip), "two weights"),
        (&[b"br;;q=1, gzip;q=0.1"], ALL, Some(Gzip), "two semicolons"),
        (&[b";q=1, gzip;q=0.1"], ALL, Some(Gzip), "no name"),
        (&[b"b r, gzip;q=0.1"], ALL, Some(Gzip), "a space inside a name"),
        (&[b"br zstd, gzip;q=0.1"], ALL, Some(Gzip), "two names without a comma"),
        (&[b"br/zstd, \"br\", gzip;q=0.1"], ALL, Some(Gzip), "not tokens"),
        (&[b"identity;q=0x"], ALL, Some(Identity), "a malformed refusal refuses nothing"),
        (&[b"*;q=0.0000"], NONE, Some(Identity), "a malformed star refuses nothing"),
        (&[b"br;q=9, *;q=0.5"], ALL, Some(Br), "star covers a coding named only in error"),
        // Bytes beyond ASCII.
        (&[b"br\xFF, \xA0zstd, gzip\x85"], ALL, Some(Identity), "obs-text beside names"),
        (&[b"\x80\xFE\xFF;q=0, gzip"], ALL, Some(Gzip), "an obs-text member"),
        (&[b"br;q=1\xA0, gzip;q=0.1"], ALL, Some(Gzip), "obs-text after a weight"),
    ];

    #[test]
    fn table() {
        for (header_values, have, expected, why) in TABLE {
            let got = choose(&header_map(header_values), *have);
            assert_eq!(got, *expected, "{why}: {header_values:?}");
        }
    }

    #[test]
    fn sets_hold_identity_and_what_was_added() {
        assert_eq!(Codings::default(), NONE);
        assert_eq!(NONE.with(Identity), NONE);
        assert_eq!(ALL.with(Br), ALL);
        for (set, members) in [
            (NONE, &[Identity][..]),
            (GZIP, &[Identity, Gzip]),
            (ZSTD_GZIP, &[Identity, Gzip, Zstd]),
            (ALL, &[Identity, Gzip, Zstd, Br]),
            (NONE.with(Br), &[Identity, Br]),
        ] {
            for coding in EACH {
                assert_eq!(set.has(coding), members.contains(&coding), "{coding:?}");
            }
        }
    }

    #[test]
    fn tokens_are_what_clients_send() {
        for coding in EACH {
            assert_eq!(choose(&header_map(&[coding.token()]), ALL), Some(coding));
        }
    }

    /// All 1001 weights in the fullest spelling, against their neighbour.
    #[test]
    fn weights_are_exact() {
        for weight in 0..1000 {
            let next = weight + 1;
            let line = format!(
                "br;q=0.{weight:03}, gzip;q={}.{:03}, identity;q=0",
                next / 1000,
                next % 1000
            );
            assert_eq!(choose(&header_map(&[&line]), ALL), Some(Gzip), "{line}");
        }
    }

    /// Quadratic work on lines of this length would take minutes.
    #[test]
    fn hostile_lines_take_linear_time() {
        for unit in [
            ",", " ", ";", "*", "br", "br ", "br;", "br,", "br;q=0,", "br;q=x ", "x,",
        ] {
            let line = unit.repeat((1 << 19) / unit.len());
            let _ = choose(&header_map(&[line]), ALL);
        }
    }

    /// Splits, trims and compares strings, in the order in which the rules read.
    fn reference(header_values: &[Vec<u8>], have: Codings) -> Option<Coding> {
        let mut listed: Vec<(String, u32)> = Vec::new();
        for line in header_values {
            // One character for each byte, so that obs-text stays what it is.
            let line: String = line.iter().map(|&byte| char::from(byte)).collect();
            for member in line.split(',') {
                let parts: Vec<&str> = member.split(';').map(trim).collect();
                let weight = match parts[..] {
                    [_] => Some(1000),
                    [_, weight] => reference_weight(weight),
                    _ => None,
                };
                let name = parts[0].to_ascii_lowercase();
                let name = if name == "x-gzip" { "gzip" } else { &name };
                if let Some(weight) = weight {
                    listed.push((name.to_owned(), weight));
                }
            }
        }
        let highest = |name: &str| {
            let weights = listed.iter().filter(|(listed, _)| listed == name);
            weights.map(|(_, weight)| *weight).max()
        };
        // Doubled, so that implied identity finds a place between zero and one.
        let mut ranked: Vec<(u32, Coding)> = Vec::new();
        for (coding, name) in [(Br, "br"), (Zstd, "zstd"), (Gzip, "gzip")] {
            if have.has(coding) {
                let weight = highest(name).or(highest("*")).unwrap_or(0);
                ranked.push((2 * weight, coding));
            }
        }
        ranked.push(match (highest("identity"), highest("*")) {
            (Some(weight), _) => (2 * weight, Identity),
            (None, Some(0)) => (0, Identity),
            (None, _) => (1, Identity),
        });
        ranked.retain(|(weight, _)| *weight > 0);
        // A stable sort keeps the order of preference among equals.
        ranked.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        ranked.first().map(|(_, coding)| *coding)
    }

    fn reference_weight(text: &str) -> Option<u32> {
        let value = text.to_ascii_lowercase();
        let value = value.strip_prefix("q=")?;
        let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
        if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        match whole {
            "0" => format!("{decimals:0<3}").parse().ok(),
            "1" if decimals.bytes().all(|b| b == b'0') => Some(1000),
            _ => None,
        }
    }

    fn trim(text: &str) -> &str {
        text.trim_matches([' ', '\t'])
    }

    fn value_byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(b'\t'), 0x20..=0x7E_u8, 0x80..=0xFF_u8]
    }

    fn have() -> impl Strategy<Value = Codings> {
        vec(select(&EACH[..]), 0..4)
            .prop_map(|codings| codings.into_iter().fold(NONE, Codings::with))
    }

    fn name() -> impl Strategy<Value = &'static str> {
        select(vec![
            "br", "BR", "zstd", "Zstd", "gzip", "x-gzip", "X-Gzip", "identity", "Identity", "*",
            "deflate",
        ])
    }

    /// Members by the grammar, weighted so that ties and zeros are common.
    fn well_formed_line() -> impl Strategy<Value = Vec<u8>> {
        let space = || select(vec!["", "", " ", "\t", " \t "]);
        let weight = prop_oneof![
            select(vec![
                "q=0", "q=0.", "q=0.0", "Q=0.5", "q=0.50", "q=1", "q=1.", "q=1.000"
            ])
            .prop_map(String::from),
            (0..=999_u16).prop_map(|weight| format!("q=0.{weight:03}")),
            (0..=9_u16).prop_map(|weight| format!("q=0.{weight}")),
        ];
        let suffix = prop_oneof![
            Just(String::new()),
            (space(), space(), weight).prop_map(|(a, b, weight)| format!("{a};{b}{weight}")),
        ];
        let member = prop_oneof![
            8 => (space(), name(), suffix, space())
                .prop_map(|(a, name, suffix, b)| format!("{a}{name}{suffix}{b}")),
            1 => space().prop_map(String::from),
        ];
        vec(member, 0..6).prop_map(|members| members.join(",").into_bytes())
    }

    /// Lines made of the pieces that steer the parser, in any order.
    fn tricky_line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            3 => name().prop_map(str::as_bytes),
            2 => select(vec![";q=0", ";q=1", ";q=0.5", " ; Q=0.25", ";q=1.001", ";q=0.1234"])
                .prop_map(str::as_bytes),
            3 => Just(&b","[..]),
            2 => select(vec![
                &b";"[..], b"q", b"=", b"0", b"1", b".", b"5", b" ", b"\t", b"\"", b"\x80",
                b"\xA0", b"-",
            ]),
        ];
        vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    fn check(header_values: &[Vec<u8>], have: Codings) -> Result<(), TestCaseError> {
        let got = choose(&header_map(header_values), have);
        prop_assert!(got.is_none_or(|coding| have.has(coding)));
        if header_values.is_empty() {
            prop_assert_eq!(got, Some(Identity));
        }
        prop_assert_eq!(got, reference(header_values, have));
        Ok(())
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            header_values in vec(vec(value_byte(), 0..60), 0..4),
            have in have(),
        ) {
            check(&header_values, have)?;
        }

        #[test]
        fn agrees_on_well_formed_lines(
            header_values in vec(well_formed_line(), 0..4),
            have in have(),
        ) {
            check(&header_values, have)?;
        }

        #[test]
        fn agrees_on_malformed_lines(header_values in vec(tricky_line(), 0..4), have in have()) {
            check(&header_values, have)?;
        }
    }
}
