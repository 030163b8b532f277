//! JSON values as YAML.

use std::fmt::Write;

use serde_json::Value;

/// Block style; strings that YAML could read as something else are quoted as in JSON.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut text, map, 0, true),
        Value::Array(list) if !list.is_empty() => write_list(&mut text, list, 0),
        scalar => {
            write_scalar(&mut text, scalar);
            text.push('\n');
        }
    }
    text
}

fn write_map(text: &mut String, map: &serde_json::Map<String, Value>, indent: usize, mut at_start: bool) {
    for (key, value) in map {
        // The first key of a map in a list stands behind the dash.
        if !std::mem::replace(&mut at_start, false) {
            pad(text, indent);
        }
        write_string(text, key);
        text.push(':');
        write_nested(text, value, indent);
    }
}

fn write_nested(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            write_map(text, map, indent + 2, false);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            write_list(text, list, indent);
        }
        scalar => {
            text.push(' ');
            write_scalar(text, scalar);
            text.push('\n');
        }
    }
}

fn write_list(text: &mut String, list: &[Value], indent: usize) {
    for value in list {
        pad(text, indent);
        text.push('-');
        match value {
            Value::Object(map) if !map.is_empty() => {
                text.push(' ');
                write_map(text, map, indent + 2, true);
            }
            other => write_nested(text, other, indent + 2),
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn write_scalar(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => write_string(text, string),
        // Numbers, booleans, null, and the empty collections, are written as in JSON.
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn write_string(text: &mut String, string: &str) {
    if is_plain(string) {
        text.push_str(string);
    } else {
        let _ = write!(text, "{}", Value::from(string));
    }
}

/// True if every YAML reader takes the bare text for this string.
fn is_plain(string: &str) -> bool {
    let starts_well = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/');
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    starts_well && string.chars().all(harmless) && !reserved.contains(&string.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn values_are_written_in_blocks() {
        let value = json!({
            "a": [{"b": 1, "c": [2, []]}, "x: y", [3]],
            "empty": {},
            "no": "no",
            "number": "12",
        });
        let expected = "a:\n- b: 1\n  c:\n  - 2\n  - []\n- \"x: y\"\n-\n  - 3\nempty: {}\n\"no\": \"no\"\nnumber: \"12\"\n";
        assert_eq!(super::to_yaml(&value), expected);
    }
}
