//! Values of query parameters. Envoy compares them as they are written in the URL, where most characters may be
//! percent-encoded, and some must be.

use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use super::route;
use crate::model::NameMatch;

/// A value that must be equal is matched in all its spellings; an expression as it is.
pub(crate) fn string_matcher(condition: &NameMatch) -> StringMatcher {
    let is_expression = condition.kind.as_deref() == Some("RegularExpression");
    if is_expression || condition.value.bytes().all(is_unreserved) {
        return route::string_matcher(condition);
    }
    let regex = RegexMatcher { regex: spellings(&condition.value), ..RegexMatcher::default() };
    StringMatcher { match_pattern: Some(MatchPattern::SafeRegex(regex)), ..StringMatcher::default() }
}

/// A value as it is, as browsers encode it in URLs (RFC 3986), and as in forms, where a space is a `+`.
fn spellings(value: &str) -> String {
    let mut expression = String::new();
    for letter in value.chars() {
        let mut buffer = [0; 4];
        let encoded: String = letter.encode_utf8(&mut buffer).bytes().map(encoded).collect();
        match letter {
            _ if letter.is_ascii_alphanumeric() || "-_~".contains(letter) => expression.push(letter),
            '.' => expression.push_str("\\."),
            ' ' => expression.push_str(&format!("({encoded}|\\+)")),
            _ if letter.is_ascii_graphic() => {
                let itself = regex_syntax::escape(&letter.to_string());
                expression.push_str(&format!("({encoded}|{itself})"));
            }
            _ => expression.push_str(&encoded),
        }
    }
    expression
}

fn encoded(byte: u8) -> String {
    let digit = |value: u8| match value {
        0..10 => format!("{value}"),
        _ => format!("[{0:X}{0:x}]", value),
    };
    format!("%{}{}", digit(byte >> 4), digit(byte & 15))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::spellings;

    #[test]
    fn a_value_has_several_spellings_in_a_url() {
        for (value, good, bad) in [
            ("x y", &["x%20y", "x+y"][..], &["xy", "x%2By", "x%20%20y"][..]),
            ("a@b.c", &["a@b.c", "a%40b.c"], &["a%40bxc", "a@b"]),
            ("\u{e9}", &["%C3%A9", "%c3%a9", "%C3%a9"], &["\u{e9}x", "%C3"]),
            ("a+b", &["a+b", "a%2Bb", "a%2bb"], &["ab", "aab", "a b"]),
            ("100%", &["100%25", "100%"], &["100"]),
            ("x%20y", &["x%20y", "x%2520y"], &["x y"]),
            ("a|b", &["a|b", "a%7Cb", "a%7cb"], &["a", "b"]),
            ("/&=", &["%2F%26%3D", "/%26="], &["/"]),
        ] {
            let expression = regex::Regex::new(&format!("^(?:{})$", spellings(value))).expect("it is one");
            for text in good {
                assert!(expression.is_match(text), "{value:?} {text:?}");
            }
            for text in bad {
                assert!(!expression.is_match(text), "{value:?} {text:?}");
            }
        }
    }
}
