//! PEM as people keep it (RFC 7468): text around and between the blocks, blanks, a byte order mark, Windows line ends.
//! What was read is written anew in the one form that every proxy reads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
    /// With a password (RFC 1421 headers); then `der` is of no use.
    pub(super) encrypted: bool,
}

/// What is wrong with a block; never quotes its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// It begins and does not end.
    NotEnded,
    /// It is not base64 inside.
    NotBase64,
}

impl Flaw {
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Flaw::NotEnded => "has no END line",
            Flaw::NotBase64 => "is not base64 inside",
        }
    }
}

/// The blocks of a text, in order, each with its label where it can be told.
pub(super) fn blocks(text: &[u8]) -> Vec<Result<Block, (String, Flaw)>> {
    let mut blocks = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(trimmed);
    while let Some(line) = lines.next() {
        if let Some(label) = label_of(line, b"-----BEGIN ") {
            blocks.push(block(label, &mut lines));
        }
    }
    blocks
}

fn block<'t>(label: String, lines: &mut impl Iterator<Item = &'t [u8]>) -> Result<Block, (String, Flaw)> {
    let mut content = Zeroizing::new(Vec::new());
    let mut encrypted = false;
    for line in lines {
        if label_of(line, b"-----END ").is_some_and(|end| end == label) {
            if encrypted {
                return Ok(Block { label, der: Zeroizing::default(), encrypted });
            }
            return match STANDARD.decode(&*content) {
                Ok(der) if !der.is_empty() => Ok(Block { label, der: Zeroizing::new(der), encrypted }),
                _ => Err((label, Flaw::NotBase64)),
            };
        }
        if line.starts_with(b"-----") {
            break;
        }
        if line.contains(&b':') {
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else {
            content.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    Err((label, Flaw::NotEnded))
}

/// The label of a line that begins or ends a block.
fn label_of(line: &[u8], boundary: &[u8]) -> Option<String> {
    let label = line.strip_prefix(boundary)?.strip_suffix(b"-----")?;
    Some(String::from_utf8_lossy(label).into_owned())
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii()
}

/// Writes a block.
pub(super) fn write(label: &str, der: &[u8], out: &mut Zeroizing<Vec<u8>>) {
    let mut line = Zeroizing::new([0; 64]);
    out.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for piece in der.chunks(48) {
        let length = STANDARD.encode_slice(piece, &mut *line).expect("invariant: 48 bytes become 64");
        out.extend_from_slice(&line[..length]);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Flaw, blocks, write};
    use zeroize::Zeroizing;

    fn labels(text: &str) -> Vec<Result<(String, usize), (String, Flaw)>> {
        blocks(text.as_bytes()).into_iter().map(|block| block.map(|b| (b.label, b.der.len()))).collect()
    }

    #[test]
    fn blocks_are_found_in_any_text() {
        let text = "\u{feff}  -----BEGIN A-----\r\n  aGVs\r\n bG8=  \r\n-----END A-----  \r\nwords\n\n-----BEGIN B C-----\nMQ==\n-----END B C-----";
        assert_eq!(labels(text), [Ok(("A".to_owned(), 5)), Ok(("B C".to_owned(), 1))]);
        assert_eq!(labels("words\n"), []);
    }

    #[test]
    fn broken_blocks_are_told() {
        let of = |flaw| vec![Err(("A".to_owned(), flaw))];
        assert_eq!(labels("-----BEGIN A-----\n!!!!\n-----END A-----\n"), of(Flaw::NotBase64));
        assert_eq!(labels("-----BEGIN A-----\n-----END A-----\n"), of(Flaw::NotBase64));
        assert_eq!(labels("-----BEGIN A-----\naGVsbG8=\n"), of(Flaw::NotEnded));
        assert_eq!(labels("-----BEGIN A-----\naGVsbG8=\n-----END B-----\n"), of(Flaw::NotEnded));
    }

    #[test]
    fn what_is_written_is_read() {
        for length in [1, 47, 48, 49, 1000] {
            let der: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut text = Zeroizing::default();
            write("X", &der, &mut text);
            let read = blocks(&text).pop().unwrap().ok().unwrap();
            assert_eq!((read.label.as_str(), &**read.der), ("X", &der[..]));
            assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= 64));
        }
    }

    #[test]
    fn an_encrypted_block_says_so() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naGVsbG8=\n-----END RSA PRIVATE KEY-----\n";
        assert!(blocks(text.as_bytes())[0].as_ref().ok().unwrap().encrypted);
    }
}
