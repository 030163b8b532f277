//! Composes parser events into a JSON value: anchors, merge keys and limits.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::SyntaxError;
use super::scalar::resolve;
use crate::Limits;

type Tagged<'a> = Option<Cow<'a, Tag>>;

/// Reads one document; an empty one is null.
///
/// # Errors
/// If it is not YAML, repeats a key, has a value that JSON has not, or is beyond the limits.
pub fn compose(text: &str, limits: &Limits) -> Result<Value, SyntaxError> {
    let mut composer = Composer {
        parser: Parser::new_from_str(text),
        text,
        limits,
        anchors: FxHashMap::default(),
        alias_values: 0,
    };
    let value = composer.document();
    value.map_err(|failure| *failure)
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    limits: &'a Limits,
    /// Anchored values with their sizes.
    anchors: FxHashMap<usize, (Value, usize)>,
    alias_values: usize,
}

/// Boxed, so that the good path moves little.
type Composed<T> = Result<T, Box<SyntaxError>>;

impl<'a> Composer<'a> {
    fn document(&mut self) -> Composed<Value> {
        let mut value = Value::Null;
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (Event::StreamEnd, _) => return Ok(value),
                (event, span) => value = self.value(event, span, 0)?,
            }
        }
    }

    fn next(&mut self) -> Composed<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Composed<Value> {
        if depth > self.limits.depth {
            let problem = format!("values are nested deeper than {} levels", self.limits.depth);
            return Err(fail(span, problem, "flatten the document"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(text, style, tag, span)?, anchor),
            Event::SequenceStart(anchor, _) => (self.sequence(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(fail(span, "a value is missing".into(), "write one")),
        };
        if anchor > 0 {
            let size = size(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Composed<Value> {
        let Some((value, size)) = self.anchors.get(&anchor) else {
            return Err(fail(span, "an alias stands inside its own anchor".into(), "write the value out"));
        };
        self.alias_values += size;
        if self.alias_values > self.limits.alias_values {
            let problem = format!("aliases expand to more than {} values", self.limits.alias_values);
            return Err(fail(span, problem, "write the values out, or use fewer aliases"));
        }
        Ok(value.clone())
    }

    fn sequence(&mut self, depth: usize) -> Composed<Value> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.value(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Composed<Value> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let key = key(self.value(event, span, depth + 1)?, span)?;
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span, depth + 1)?;
            if merge {
                merged.push((value, value_span));
            } else if let Some(key) = insert_new(&mut map, key, value) {
                let problem = format!("the key \"{key}\" is there twice in one map");
                return Err(fail(span, problem, "remove one of the two"));
            }
        }
        for (value, span) in merged {
            merge(&mut map, value, span)?;
        }
        Ok(Value::Object(map))
    }

    fn scan_error(&self, error: &ScanError) -> Box<SyntaxError> {
        let line = error.marker().line().saturating_sub(1);
        let tab = [line, line.saturating_sub(1)].into_iter().find(|n| {
            self.text.lines().nth(*n).is_some_and(|row| {
                row.len() > row.trim_start().len() && row[..row.len() - row.trim_start().len()].contains('\t')
            })
        });
        if let Some(line) = tab {
            let problem = "the line is indented with a tab, which YAML forbids".to_owned();
            return Box::new(SyntaxError { line, problem, remedy: "indent with spaces".into() });
        }
        let problem = format!("not YAML: {}", error.info());
        Box::new(SyntaxError { line, problem, remedy: "mend the syntax at or just before this line".into() })
    }
}

fn fail(span: Span, problem: String, remedy: &str) -> Box<SyntaxError> {
    Box::new(SyntaxError { line: span.start.line().saturating_sub(1), problem, remedy: remedy.to_owned() })
}

fn insert_new(map: &mut Map<String, Value>, key: String, value: Value) -> Option<String> {
    match map.entry(key) {
        serde_json::map::Entry::Vacant(entry) => {
            entry.insert(value);
            None
        }
        serde_json::map::Entry::Occupied(entry) => Some(entry.key().clone()),
    }
}

/// `<<`: keys of the map itself win, then those of earlier maps.
fn merge(map: &mut Map<String, Value>, value: Value, span: Span) -> Composed<()> {
    match value {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(maps) if maps.iter().all(Value::is_object) => {
            maps.into_iter().try_for_each(|other| merge(map, other, span))
        }
        _ => Err(fail(span, "a merge key needs a map or a list of maps".into(), "merge an anchored map")),
    }
}

/// Keys are strings in JSON; Kubernetes writes numbers and booleans out.
fn key(value: Value, span: Span) -> Composed<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(fail(span, "a key of a map is not a string".into(), "write a string, in quotes if need be")),
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Tagged<'_>, span: Span) -> Composed<Value> {
    let plain = match tag.as_deref() {
        None => style == ScalarStyle::Plain,
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => false,
            "int" | "float" | "bool" | "null" => true,
            other => return Err(fail(span, format!("the tag !!{other} is not read"), "remove the tag")),
        },
        // The tag `!` alone: a string.
        Some(tag) if tag.handle.len() + tag.suffix.len() == 1 => false,
        Some(tag) => return Err(fail(span, format!("the tag {tag} is not read"), "remove the tag")),
    };
    if plain {
        resolve(&text).map_err(|problem| fail(span, problem, "write a finite number, or quote it"))
    } else {
        Ok(Value::String(text.into_owned()))
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::compose;
    use crate::Limits;
    use serde_json::json;

    fn read(text: &str) -> Result<serde_json::Value, String> {
        compose(text, &Limits { depth: 8, alias_values: 20, ..Limits::default() }).map_err(|e| e.to_string())
    }

    #[test]
    fn documents_compose() {
        for (text, value) in [
            ("", json!(null)),
            ("---\na: 1\n...\n", json!({"a": 1})),
            ("a: yes\nb: 'yes'\nc: \"1\"\n", json!({"a": true, "b": "yes", "c": "1"})),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"})),
            ("- a\n- {b: [1, 2]}\n", json!(["a", {"b": [1, 2]}])),
            ("80: x\ntrue: z\n", json!({"80": "x", "true": "z"})),
            ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
            (
                "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\n",
                json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
            ),
            ("d:\n  <<: [{a: 1}, {a: 2, b: 2}]\n", json!({"d": {"a": 1, "b": 2}})),
            ("a: !!str 12\nb: ! 12\nc: !!int \"12\"\n", json!({"a": "12", "b": "12", "c": 12})),
            ("a:\nb: ~\n", json!({"a": null, "b": null})),
            ("{\"a\": \"\\u00e9\"}", json!({"a": "é"})),
        ] {
            assert_eq!(read(text), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn what_is_refused_is_said_with_its_line() {
        for (text, message) in [
            ("a: 1\nb: 2\na: 3\n", "line 3: the key \"a\" is there twice in one map; remove one of the two"),
            (
                "a:\n\tb: 1\n",
                "line 2: the line is indented with a tab, which YAML forbids; indent with spaces",
            ),
            (
                "a: .nan\n",
                "line 1: .nan is not a number that JSON can hold; write a finite number, or quote it",
            ),
            ("a: !!binary aGk=\n", "line 1: the tag !!binary is not read; remove the tag"),
            ("a: !x 1\n", "line 1: the tag !x is not read; remove the tag"),
            ("<<: 1\n", "line 1: a merge key needs a map or a list of maps; merge an anchored map"),
            ("[1]: 1\n", "line 1: a key of a map is not a string; write a string, in quotes if need be"),
            (
                "a: 1\nb: [[[[[[[[[1]]]]]]]]]\n",
                "line 2: values are nested deeper than 8 levels; flatten the document",
            ),
            (
                "a: &a [1, 2, 3, 4]\nb: &b [*a, *a]\nc: [*b, *b]\n",
                "line 3: aliases expand to more than 20 values; write the values out, or use fewer aliases",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), message, "{text:?}");
        }
        let broken = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(broken.starts_with("line 3: not YAML: "), "{broken}");
        assert!(broken.ends_with("; mend the syntax at or just before this line"), "{broken}");
    }
}
