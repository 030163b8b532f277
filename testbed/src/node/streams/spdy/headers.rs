//! Headers of streams: compressed, all those of a connection in one go, with a dictionary that both ends know.

use std::iter::once;

use bytes::Buf as _;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Names of the dictionary, each with its length in front.
const NAMES: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host \
    if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status";
const MORE: [&str; 8] =
    ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"];
/// Its end, as it is.
const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
    404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug \
    Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
    charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
/// How far back compressed text may point.
const WINDOW: usize = 32 << 10;
/// What zlib puts in front: two bytes, and the checksum of the dictionary.
const PREFIX: usize = 6;

fn dictionary() -> Vec<u8> {
    let words = NAMES.split(' ').chain(MORE);
    let length = |word: &str| u32::try_from(word.len()).unwrap_or_default().to_be_bytes();
    let named = words.flat_map(|word| length(word).into_iter().chain(word.bytes()));
    named.chain(REST.bytes()).collect()
}

/// What a stream is for.
pub(super) struct Headers {
    pub(super) stream: u32,
    pub(super) is_data: bool,
    pub(super) port: u16,
    /// What the two streams of a connection have in common.
    pub(super) request: String,
}

/// Reads headers of streams in the order in which they came.
pub(super) struct Inflate {
    state: Box<DecompressorOxide>,
    /// A ring: what compressed text points back to, at first the dictionary.
    window: Vec<u8>,
    at: usize,
    begun: bool,
}

impl Inflate {
    pub(super) fn new() -> Inflate {
        let mut window = dictionary();
        let at = window.len();
        window.resize(WINDOW, 0);
        Inflate { state: Box::default(), window, at, begun: false }
    }

    /// The headers of a stream; none if they make no sense.
    pub(super) fn headers(&mut self, stream: u32, mut compressed: &[u8]) -> Option<Headers> {
        if !self.begun {
            compressed = compressed.get(PREFIX..)?;
            self.begun = true;
        }
        let text = self.inflate(compressed)?;
        let mut rest = &text[..];
        let mut headers = Headers { stream, is_data: false, port: 0, request: String::new() };
        for _ in 0..number(&mut rest)? {
            let (name, value) = (word(&mut rest)?, word(&mut rest)?);
            match name.as_str() {
                "streamtype" => headers.is_data = value == "data",
                "port" => headers.port = value.parse().ok()?,
                "requestid" => headers.request = value,
                _ => {}
            }
        }
        Some(headers)
    }

    fn inflate(&mut self, mut compressed: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let (status, read, made) =
                decompress(&mut self.state, compressed, &mut self.window, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            text.extend_from_slice(self.window.get(self.at..self.at + made)?);
            self.at = (self.at + made) % WINDOW;
            compressed = compressed.get(read..)?;
            if (status as i32) < 0 || text.len() > WINDOW {
                return None;
            }
            if compressed.is_empty() && made == 0 {
                return Some(text);
            }
        }
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    rest.try_get_u32().ok()
}

fn word(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (word, after) = rest.split_at_checked(length)?;
    *rest = after;
    String::from_utf8(word.to_vec()).ok()
}

/// No headers at all, in blocks that are not compressed. The first begins the compressed stream.
pub(super) fn none(begins: bool) -> Vec<u8> {
    let stored = |length: u16| once(0).chain(length.to_le_bytes()).chain((!length).to_le_bytes());
    let start: &[u8] = if begins { &[0x78, 0x01] } else { &[] };
    start.iter().copied().chain(stored(4)).chain(0_u32.to_be_bytes()).chain(stored(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_protocol() {
        let made = dictionary();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in &made {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((made.len(), b << 16 | a), (1423, 0xe3c6_a7c2), "its Adler-32 is in each connection");
    }

    #[test]
    fn headers_are_read_in_a_row() {
        // Of zlib, level 9, with the dictionary, flushed after each: the second points back to the first.
        let error = [
            0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x02, 0x25, 0x3a, 0x70, 0x3a, 0x2b, 0x29, 0x4a, 0x4d, 0xcc,
            0x85, 0x16, 0x25, 0xac, 0xa9, 0xa0, 0x80, 0x86, 0x14, 0xcb, 0x45, 0xa0, 0x24, 0xcc, 0x6a, 0x68,
            0x69, 0x60, 0x60, 0x00, 0x64, 0x70, 0x16, 0x41, 0xe2, 0x31, 0x13, 0x94, 0xbe, 0x19, 0x0d, 0x00,
            0x00, 0x00, 0x00, 0xff, 0xff,
        ];
        let data = [0xc2, 0xaa, 0x1b, 0x54, 0x10, 0x25, 0x12, 0xa1, 0x19, 0x00, 0x00, 0x00, 0xff, 0xff];
        let mut inflate = Inflate::new();
        for (stream, compressed) in [(1, &error[..]), (3, &data)] {
            let read = inflate.headers(stream, compressed).unwrap();
            assert_eq!((read.stream, read.is_data, read.port), (stream, stream == 3, 19000));
            assert_eq!(read.request, "0");
        }
        assert!(inflate.headers(5, &[0xff; 9]).is_none());
    }
}
