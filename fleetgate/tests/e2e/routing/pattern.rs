//! Regular expressions of a few pieces, which are matched here without a library of them.

use super::random::Random;

/// A part of a regular expression.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// `[0-9]+`
    Digits,
    /// `[^/]+`
    Segment,
    /// `.*`
    Any,
    /// `(a|b)`
    Either(String, String),
}

/// A regular expression that must match the whole text.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// A pattern for paths that may begin with these segments.
    pub(super) fn path(random: &mut Random, segments: &[&str]) -> Pattern {
        let mut pieces = Vec::new();
        if random.percent(8) {
            pieces.push(Piece::Any);
        }
        for _ in 0..random.between(1, 3) {
            pieces.push(Piece::Text("/".to_owned()));
            pieces.push(match random.below(6) {
                0 => Piece::Digits,
                1 => Piece::Segment,
                2 => Piece::Either((*random.of(segments)).to_owned(), (*random.of(segments)).to_owned()),
                _ => Piece::Text((*random.of(segments)).to_owned()),
            });
        }
        if random.percent(40) {
            pieces.push(Piece::Any);
        }
        Pattern(pieces)
    }

    /// A pattern for values.
    pub(super) fn value(random: &mut Random, values: &[&str]) -> Pattern {
        let text = |random: &mut Random| (*random.of(values)).to_owned();
        Pattern(match random.below(3) {
            0 => vec![Piece::Text(text(random)), Piece::Digits],
            1 => vec![Piece::Either(text(random), text(random))],
            _ => vec![Piece::Text(text(random)), Piece::Any],
        })
    }

    /// In RE2's syntax.
    pub(super) fn text(&self) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => quoted(text),
                Piece::Digits => "[0-9]+".to_owned(),
                Piece::Segment => "[^/]+".to_owned(),
                Piece::Any => ".*".to_owned(),
                Piece::Either(a, b) => format!("({}|{})", quoted(a), quoted(b)),
            })
            .collect()
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        rest_matches(&self.0, text)
    }

    /// A text that it matches.
    pub(super) fn sample(&self, random: &mut Random) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Digits => random.below(1000).to_string(),
                Piece::Segment => format!("s{}", random.below(10)),
                Piece::Any => (*random.of(&["", "x", "/any", "42"])).to_owned(),
                Piece::Either(a, b) => if random.percent(50) { a } else { b }.clone(),
            })
            .collect()
    }
}

fn quoted(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '/' { c.to_string() } else { format!("\\{c}") })
        .collect()
}

fn rest_matches(pieces: &[Piece], text: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return text.is_empty() };
    let literally = |literal: &str| text.strip_prefix(literal).is_some_and(|text| rest_matches(rest, text));
    // Any number of characters from `least` on, as far as they are of a kind.
    let run = |least: usize, of_kind: fn(u8) -> bool| {
        let longest = text.bytes().take_while(|byte| of_kind(*byte)).count();
        (least..=longest).any(|length| text.get(length..).is_some_and(|text| rest_matches(rest, text)))
    };
    match first {
        Piece::Text(literal) => literally(literal),
        Piece::Either(a, b) => literally(a) || literally(b),
        Piece::Digits => run(1, |byte| byte.is_ascii_digit()),
        Piece::Segment => run(1, |byte| byte != b'/'),
        Piece::Any => run(0, |_| true),
    }
}

#[test]
fn a_pattern_matches_the_whole_text() {
    let text = |text: &str| Piece::Text(text.to_owned());
    let pattern = Pattern(vec![
        text("/v"),
        Piece::Digits,
        text("/"),
        Piece::Either("a.b".into(), "c".into()),
        Piece::Any,
    ]);
    assert_eq!(pattern.text(), r"/v[0-9]+/(a\.b|c).*");
    for good in ["/v1/a.b", "/v23/c", "/v23/cd/e"] {
        assert!(pattern.matches(good), "{good}");
    }
    for bad in ["/v/c", "/v1/ab", "x/v1/c", "/v1x/c"] {
        assert!(!pattern.matches(bad), "{bad}");
    }
}
