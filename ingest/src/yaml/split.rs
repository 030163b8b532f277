//! A file is cut at its document markers before anything is parsed, so that a broken document hurts
//! only itself and an unchanged one is recognised by its text. YAML forbids `---` and `...` at the start
//! of a line inside any value, so the cut is exact.

/// One document's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// From its marker up to the next document.
    pub text: &'a str,
    /// Line of its first character in the file, from 1.
    pub first_line: usize,
    /// Line of its first content, from 1.
    pub content_line: usize,
}

/// Cuts a file into documents; those without any content are left out.
pub fn split(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut marked, mut content) = (0, 1, false, None);
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let end = memchr::memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |n| at + n + 1);
        let row = &text[at..end];
        if is_marker(row, "---") {
            if marked || content.is_some() {
                push(&mut chunks, &text[start..at], start_line, content);
                (start, start_line) = (at, line);
            }
            marked = true;
            content = has_content(&row[3..], true).then_some(line);
        } else if is_marker(row, "...") {
            push(&mut chunks, &text[start..end], start_line, content);
            (start, start_line, marked, content) = (end, line + 1, false, None);
        } else if content.is_none() {
            content = has_content(row, marked).then_some(line);
        }
        at = end;
        line += 1;
    }
    push(&mut chunks, &text[start..], start_line, content);
    chunks
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, text: &'a str, first_line: usize, content: Option<usize>) {
    if let Some(content_line) = content {
        chunks.push(Chunk { text, first_line, content_line });
    }
}

fn is_marker(row: &str, marker: &str) -> bool {
    row.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

/// False for blank lines, comments, and directives in front of a marker.
fn has_content(row: &str, marked: bool) -> bool {
    let trimmed = row.trim();
    !(trimmed.is_empty() || trimmed.starts_with('#') || (!marked && row.starts_with('%')))
}

#[cfg(test)]
mod tests {
    use super::split;

    fn cut(text: &str) -> Vec<(usize, &str)> {
        split(text).into_iter().map(|chunk| (chunk.first_line, chunk.text)).collect()
    }

    #[test]
    fn documents_are_cut_at_markers() {
        assert_eq!(cut("a: 1\n---\nb: 2\n"), [(1, "a: 1\n"), (2, "---\nb: 2\n")]);
        assert_eq!(cut("# c\n---\na: 1\n...\n---\n---\n# x\n"), [(1, "# c\n---\na: 1\n...\n")]);
        assert_eq!(cut("%YAML 1.2\n---\na: 1"), [(1, "%YAML 1.2\n---\na: 1")]);
        assert_eq!(cut("--- {a: 1}\r\n--- {b: 2}"), [(1, "--- {a: 1}\r\n"), (2, "--- {b: 2}")]);
        assert_eq!(cut("a: |\n  ---\n  x\n---x: 1\n"), [(1, "a: |\n  ---\n  x\n---x: 1\n")]);
        assert_eq!(cut("\u{feff}a: 1"), [(1, "a: 1")]);
        assert_eq!(cut(""), []);
        assert_eq!(cut("\n---\n\n"), []);
    }
}
