//! Finds the line of a field. Built only when somebody asks, from one document's text.

use saphyr_parser::{Event, Parser, StrInput};

const DEPTH: usize = 128;

/// The lines of all fields of one document.
pub(crate) struct Lines {
    root: Node,
}

#[derive(Default)]
struct Node {
    line: usize,
    scalar: String,
    /// Fields with the line of their key; a list's items are named by their numbers.
    children: Vec<(String, usize, Node)>,
}

#[cfg(test)]
std::thread_local! {
    static PARSED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
impl Lines {
    /// Documents that this thread has read.
    pub(crate) fn parsed() -> usize {
        PARSED.with(std::cell::Cell::get)
    }
}

impl Lines {
    /// Reads a document as far as it can be read.
    pub(crate) fn of(text: &str) -> Lines {
        #[cfg(test)]
        PARSED.with(|parsed| parsed.set(parsed.get() + 1));
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            if is_node(&event) {
                let line = span.start.line().saturating_sub(1);
                return Lines { root: node(&mut parser, event, line, 0).0 };
            }
        }
        Lines { root: Node::default() }
    }

    /// Line, from 0, of a path like `spec.rules[0].name` below the `item`th object, or of its closest
    /// ancestor that is there.
    pub(crate) fn line(&self, item: Option<usize>, path: &str) -> usize {
        let (mut node, mut line) = self.object(item);
        let mut rest = path;
        while let Some((next, next_line, length)) = step(node, rest) {
            (node, line) = (next, next_line);
            rest = rest[length..].trim_start_matches(['.', ']']);
        }
        line
    }

    /// The text of `metadata.name` of the `item`th object.
    pub(crate) fn name(&self, item: Option<usize>) -> Option<&str> {
        let (object, _) = self.object(item);
        let (metadata, _) = object.child("metadata")?;
        Some(metadata.child("name")?.0.scalar.as_str())
    }

    fn object(&self, item: Option<usize>) -> (&Node, usize) {
        let whole = (&self.root, self.root.line);
        let Some(item) = item else { return whole };
        let found = self.root.child("items").and_then(|(items, _)| items.child(&item.to_string()));
        found.unwrap_or(whole)
    }
}

impl Node {
    fn child(&self, name: &str) -> Option<(&Node, usize)> {
        self.children.iter().find(|(key, ..)| key == name).map(|(_, line, node)| (node, *line))
    }
}

/// The child that the path's next part names: the longest key, because keys may have dots in them.
fn step<'n>(node: &'n Node, path: &str) -> Option<(&'n Node, usize, usize)> {
    let skipped = path.len() - path.trim_start_matches(['[', '"']).len();
    let part = &path[skipped..];
    node.children
        .iter()
        .filter(|(key, ..)| {
            !part.is_empty()
                && part
                    .strip_prefix(key.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ']', '"']))
        })
        .max_by_key(|(key, ..)| key.len())
        .map(|(key, line, child)| {
            let quote = usize::from(part[key.len()..].starts_with('"'));
            (child, *line, skipped + key.len() + quote)
        })
}

fn is_node(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_))
}

/// A node, and whether the document can be read on after it.
fn node<'a>(
    parser: &mut Parser<'a, StrInput<'a>>,
    event: Event<'a>,
    line: usize,
    depth: usize,
) -> (Node, bool) {
    let mut this = Node { line, ..Node::default() };
    let mapping = matches!(event, Event::MappingStart(..));
    if let Event::Scalar(text, ..) = event {
        this.scalar = text.into_owned();
        return (this, true);
    }
    if matches!(event, Event::Alias(_)) {
        return (this, true);
    }
    if depth > DEPTH {
        return (this, false);
    }
    loop {
        let Some(Ok((first, span))) = parser.next_event() else { return (this, false) };
        if !is_node(&first) {
            return (this, true);
        }
        let line = span.start.line().saturating_sub(1);
        let (first, mut going) = node(parser, first, line, depth + 1);
        if !mapping {
            this.children.push((this.children.len().to_string(), line, first));
        } else if going {
            let mut value = Node { line, ..Node::default() };
            match parser.next_event() {
                Some(Ok((event, span))) if is_node(&event) => {
                    (value, going) = node(parser, event, span.start.line().saturating_sub(1), depth + 1);
                }
                _ => going = false,
            }
            this.children.push((first.scalar, line, value));
        }
        if !going {
            return (this, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn a_path_finds_its_line_or_its_closest_ancestors() {
        let text = "kind: X\nmetadata:\n  name: web\nspec:\n  rules:\n  - name: a\n    matches:\n    - path: {value: /}\n  - name: b\ndata:\n  tls: x\n  tls.crt: x\n";
        let lines = Lines::of(text);
        for (path, line) in [
            ("", 0),
            ("kind", 0),
            ("metadata.name", 2),
            ("spec.rules", 4),
            ("spec.rules[0].matches[0].path.value", 7),
            ("spec.rules[1].name", 8),
            ("spec.rules[1].filters[0]", 8),
            ("spec.rules[7]", 4),
            ("data.tls.crt", 11),
            ("data[\"tls.crt\"]", 11),
            ("spec.nothing", 3),
            ("nothing", 0),
        ] {
            assert_eq!(lines.line(None, path), line, "{path}");
        }
        assert_eq!(lines.name(None), Some("web"));
        assert_eq!(Lines::of("items:\n- a: 1\n- a: 1\n  b: 2\n").line(Some(1), "b"), 3);
        assert_eq!(Lines::of("a: 1\nb: [1,\n").line(None, "b"), 1);
    }
}
