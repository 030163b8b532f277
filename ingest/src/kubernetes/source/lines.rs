//! A stream of bytes, cut into lines of bounded length.

use bytes::{Buf, Bytes, BytesMut};

/// What is left over of earlier chunks.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// Bytes of `buffer` that hold no newline.
    searched: usize,
    limit: usize,
    /// True while the rest of a line that is too long passes by.
    skipping: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its newline.
    Whole(Bytes),
    /// Longer than the limit; it is dropped.
    TooLong,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Lines {
        Lines { buffer: BytesMut::new(), searched: 0, limit, skipping: false }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                if self.searched > self.limit {
                    self.buffer.clear();
                    self.searched = 0;
                    if !std::mem::replace(&mut self.skipping, true) {
                        return Some(Line::TooLong);
                    }
                }
                return None;
            };
            let line = self.buffer.split_to(self.searched + at).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) || line.is_empty() {
                continue;
            }
            return Some(if line.len() > self.limit { Line::TooLong } else { Line::Whole(line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines};

    fn cut(chunks: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(4);
        let mut cut = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_bytes());
            while let Some(line) = lines.next() {
                cut.push(match line {
                    Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                    Line::TooLong => "!".to_owned(),
                });
            }
        }
        cut
    }

    #[test]
    fn lines_may_come_in_any_chunks_and_long_ones_are_dropped() {
        assert_eq!(cut(&["a", "b\n\nc", "\nd"]), ["ab", "c"]);
        assert_eq!(cut(&["12345\nab\n"]), ["!", "ab"]);
        assert_eq!(cut(&["12345", "67890", "1\nab\n"]), ["!", "ab"]);
    }
}
