//! What a plain scalar means.
//!
//! kubectl reads YAML with sigs.k8s.io/yaml, a YAML 1.1 resolver: `yes`, `no`, `on`, `off`, `y` and `n`
//! are booleans in their usual spellings, `0777` is octal, `1_000` is a number, and timestamps stay
//! strings. We do the same, so that a file means here what it means there. (KYAML, which kubectl also
//! prints, quotes all strings and so never differs.)

use serde_json::{Number, Value};

/// The value of an unquoted scalar.
///
/// # Errors
/// For numbers that JSON, and so Kubernetes, has no form of.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    let Some(first) = text.bytes().next() else { return Ok(Value::Null) };
    let value = match first {
        b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => word(text),
        b'0'..=b'9' | b'+' | b'-' | b'.' => match number(text) {
            Some(Ok(number)) => Some(Value::Number(number)),
            Some(Err(())) => return Err(format!("{text} is not a number that JSON can hold")),
            None => None,
        },
        _ => None,
    };
    Ok(value.unwrap_or_else(|| Value::String(text.to_owned())))
}

fn word(text: &str) -> Option<Value> {
    match text {
        "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<Result<Number, ()>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(()));
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(integer) = integer(&plain) {
        return Some(Ok(integer));
    }
    if !is_float(&plain) {
        return None;
    }
    Some(plain.parse::<f64>().ok().and_then(Number::from_f64).ok_or(()))
}

fn integer(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(magnitude.into()) }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        None => !mantissa.is_empty() && digits(mantissa),
        Some((whole, fraction)) => whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction),
    };
    let exponent_ok = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['+', '-']).unwrap_or(text);
        !text.is_empty() && digits(text)
    });
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use serde_json::{Value, json};

    #[test]
    fn scalars_mean_what_kubectl_takes_them_for() {
        let table: &[(&str, Value)] = &[
            ("", json!(null)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("true", json!(true)),
            ("yes", json!(true)),
            ("on", json!(true)),
            ("Off", json!(false)),
            ("n", json!(false)),
            ("oN", json!("oN")),
            ("80", json!(80)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0777", json!(511)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("08", json!(8.0)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.2.3.4", json!("1.2.3.4")),
            ("5s", json!("5s")),
            ("-", json!("-")),
            (".", json!(".")),
            ("e3", json!("e3")),
            ("0x", json!("0x")),
            ("+-1", json!("+-1")),
            ("2001-01-01", json!("2001-01-01")),
            ("1:30", json!("1:30")),
        ];
        for (text, value) in table {
            assert_eq!(resolve(text).as_ref(), Ok(value), "{text:?}");
        }
        assert_eq!(resolve(".inf"), Err(".inf is not a number that JSON can hold".to_owned()));
        assert!(resolve("1e999").is_err());
    }
}
