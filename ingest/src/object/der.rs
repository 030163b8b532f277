//! Whether bytes are DER as strictly as Envoy's TLS library reads certificates: the parser here takes more.

/// Deepest nesting of a certificate's elements, by far.
const DEPTH: usize = 16;

/// Tags (X.690): universal, and what is constructed.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const STRING: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const UTF8: u8 = 0x0c;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BMP: u8 = 0x1e;
const UNIVERSAL: u8 = 0x1c;
/// `[3] EXPLICIT` of a certificate.
const EXTENSIONS: u8 = 0xa3;

/// Tags that the value of a part of a name may have.
pub(super) const OF_NAMES: [u32; 9] = [0x03, 0x0c, 0x10, 0x12, 0x13, 0x14, 0x16, 0x1c, 0x1e];

/// True for a sequence of three parts, as certificates and CRLs are, all of which is well-formed.
pub(super) fn is_signed(der: &[u8]) -> bool {
    let parts = || {
        let (tag, mut rest, after) = element(der)?;
        let mut parts = 0;
        while !rest.is_empty() {
            (_, _, rest) = element(rest)?;
            parts += 1;
        }
        (tag == SEQUENCE && after.is_empty()).then_some(parts)
    };
    parts() == Some(3) && is_strict(der)
}

/// True if there are elements one after the other and nothing else, all of them well-formed.
fn is_strict(der: &[u8]) -> bool {
    elements(der, DEPTH).is_some()
}

fn elements(mut rest: &[u8], depth: usize) -> Option<()> {
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        match tag {
            SEQUENCE | SET | 0xa0..=EXTENSIONS => {
                elements(content, depth.checked_sub(1)?)?;
                if tag == EXTENSIONS {
                    extensions(content)?;
                }
            }
            // Unique identifiers of issuer and subject.
            0x81 | 0x82 => {}
            // Other tags of contexts, constructed strings, tags of more than a byte: in none of these.
            _ if tag > 0x1e => return None,
            _ => primitive(tag, content).then_some(())?,
        }
        rest = after;
    }
    Some(())
}

/// Each has an identifier, may say whether it is critical, and has its value in a string.
fn extensions(explicit: &[u8]) -> Option<()> {
    let (_, mut rest, _) = element(explicit)?;
    while !rest.is_empty() {
        let (_, mut parts, after) = element(rest)?;
        let mut tags = Vec::new();
        while !parts.is_empty() {
            let (tag, _, more) = element(parts)?;
            tags.push(tag);
            parts = more;
        }
        if !matches!(tags[..], [IDENTIFIER, STRING] | [IDENTIFIER, BOOLEAN, STRING]) {
            return None;
        }
        rest = after;
    }
    Some(())
}

/// Tag and content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], after) = der.split_first_chunk()?;
    let (content, after) = content(length, after)?;
    Some((tag, content, after))
}

/// Splits off as many bytes as a length says; it must be written in as few as possible.
fn content(length: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (bytes, rest) = rest.split_at_checked((length & 0x7f).into())?;
    if bytes.is_empty() || bytes.len() > 3 || bytes[0] == 0 {
        return None;
    }
    let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length < 0x80 { None } else { rest.split_at_checked(length) }
}

fn primitive(tag: u8, content: &[u8]) -> bool {
    match tag {
        BOOLEAN => matches!(content, [0 | 0xff]),
        INTEGER => match content {
            [] => false,
            [0, second, ..] => *second >= 0x80,
            [0xff, second, ..] => *second < 0x80,
            _ => true,
        },
        BIT_STRING => match content {
            [unused @ 1..=7, .., last] => last & ((1 << unused) - 1) == 0,
            [unused, ..] => *unused == 0,
            [] => false,
        },
        IDENTIFIER => {
            let ends = content.last().is_some_and(|last| *last < 0x80);
            // A number of it does not begin with zeros.
            let mut begins = true;
            ends && content.iter().all(|byte| {
                let padded = begins && *byte == 0x80;
                begins = *byte < 0x80;
                !padded
            })
        }
        UTF8 => std::str::from_utf8(content).is_ok(),
        BMP => content.len().is_multiple_of(2),
        UNIVERSAL => content.len().is_multiple_of(4),
        // Sequence and set are constructed.
        0x00 | 0x10 | 0x11 => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{is_signed, is_strict};

    #[test]
    fn what_is_der_and_what_is_not() {
        for good in [
            &[][..],
            &[0x30, 0x03, 0x02, 0x01, 0x05],
            &[0x31, 0x04, 0x0c, 0x02, b'h', b'i'],
            &[0xa0, 0x03, 0x01, 0x01, 0xff],
            &[0xa3, 0x09, 0x30, 0x07, 0x30, 0x05, 0x06, 0x01, 0x2a, 0x04, 0x00],
            &[0x06, 0x03, 0x2a, 0x86, 0x48],
            &[0x03, 0x02, 0x07, 0x80],
            &[0x81, 0x01, 0x05],
        ] {
            assert!(is_strict(good), "{good:x?}");
        }
        for bad in [
            &[0x30][..],
            &[0x30, 0x04, 0x02, 0x01, 0x05],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x03, 0x02, 0x01, 0x05],
            &[0x02, 0x02, 0x00, 0x05],
            &[0x02, 0x00],
            &[0x01, 0x01, 0x01],
            &[0x0c, 0x01, 0xff],
            &[0x46, 0x01, 0x2a],
            &[0x39, 0x00],
            &[0x06, 0x02, 0x80, 0x01],
            &[0x06, 0x02, 0x2a, 0x86],
            &[0x03, 0x02, 0x07, 0x81],
            &[0x83, 0x01, 0x05],
            &[0x10, 0x00],
            &[0xb0, 0x00],
            &[0xa3, 0x09, 0x30, 0x07, 0x30, 0x05, 0x02, 0x01, 0x2a, 0x04, 0x00],
            &[0x24, 0x03, 0x04, 0x01, 0x05],
        ] {
            assert!(!is_strict(bad), "{bad:x?}");
        }
        assert!(is_signed(&[0x30, 0x06, 0x05, 0x00, 0x05, 0x00, 0x05, 0x00]));
        assert!(!is_signed(&[0x30, 0x04, 0x05, 0x00, 0x05, 0x00]));
        assert!(!is_signed(&[0x30, 0x06, 0x05, 0x00, 0x05, 0x00, 0x05, 0x00, 0x05, 0x00]));
        let deep = (0..100).fold(Vec::new(), |inner: Vec<u8>, _| {
            let length = u8::try_from(inner.len()).unwrap_or(0);
            [&[0x30, length][..], &inner].concat()
        });
        assert!(!is_strict(&deep[..64]));
    }
}
