//! The directory of a host with many routes: by the first segment of the path, and where many routes share
//! that, by the next.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Leaf, Leaves, hash};

/// More segments are not looked at.
pub const MAX_SEGMENTS: usize = 8;

/// Ends the name of a leaf's table if one of its segments has a directory: a table without the routes that a
/// table of the leaf's own name has. A name whose routes moved elsewhere would lose requests that are led to it
/// by a directory of before.
pub const REST: char = '-';

/// Which table a path has. Its text form is the depths of the leaves, a letter for each (`a` = 0), and for each
/// segment with a directory of the next one `,HASH(...)`, by hash in eight hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Tables by the hash of this segment.
    pub leaves: Leaves,
    /// Directories by the next segment, for segments of these hashes.
    pub deeper: BTreeMap<u32, Paths>,
}

impl Paths {
    /// Appends the name of the path's table: hashes of segments, each with a slash, the bits of the leaf, and
    /// [`REST`] if a segment of the leaf has a directory. A path that ends early is as good in one leaf as in
    /// any other.
    pub fn push_name<'a>(&self, segments: &mut impl Iterator<Item = &'a [u8]>, name: &mut String) {
        let hash = hash(segments.next().unwrap_or_default());
        match self.deeper.get(&hash) {
            Some(deeper) => {
                push_hash(hash, name);
                deeper.push_name(segments, name);
            }
            None => self.push_leaf(self.leaves.find(hash), name),
        }
    }

    fn push_leaf(&self, leaf: Leaf, name: &mut String) {
        name.extend(leaf.bits());
        if self.deeper.range(leaf.start..=leaf.end()).next().is_some() {
            name.push(REST);
        }
    }

    /// Calls `f` with the names of all tables.
    pub(crate) fn for_each_name(&self, prefix: &str, f: &mut impl FnMut(String)) {
        for leaf in self.leaves.iter() {
            let mut name = prefix.to_owned();
            self.push_leaf(leaf, &mut name);
            f(name);
        }
        for (hash, deeper) in &self.deeper {
            let mut prefix = prefix.to_owned();
            push_hash(*hash, &mut prefix);
            deeper.for_each_name(&prefix, f);
        }
    }

    /// Reads the text form; none if it is anything else.
    pub(crate) fn parse(text: &str) -> Option<Paths> {
        let (paths, rest) = parse(text, MAX_SEGMENTS)?;
        rest.is_empty().then_some(paths)
    }
}

/// What stands for a segment in the names of the tables below it.
pub fn push_hash(hash: u32, name: &mut String) {
    use fmt::Write;
    // Writing to a string does not fail.
    let _ = write!(name, "{hash:08x}/");
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.leaves)?;
        self.deeper.iter().try_for_each(|(hash, deeper)| write!(f, ",{hash:08x}({deeper})"))
    }
}

fn parse(text: &str, levels: usize) -> Option<(Paths, &str)> {
    let levels = levels.checked_sub(1)?;
    let end = text.find([',', ')']).unwrap_or(text.len());
    let (leaves, mut text) = text.split_at(end);
    let mut paths = Paths { leaves: Leaves::parse(leaves)?, deeper: BTreeMap::new() };
    while let Some(rest) = text.strip_prefix(',') {
        let (digits, rest) = rest.split_once('(')?;
        let hash = u32::from_str_radix(digits, 16).ok().filter(|hash| format!("{hash:08x}") == digits)?;
        // One text for one directory: in order, each once.
        if paths.deeper.last_key_value().is_some_and(|(last, _)| *last >= hash) {
            return None;
        }
        let (deeper, rest) = parse(rest, levels)?;
        paths.deeper.insert(hash, deeper);
        text = rest.strip_prefix(')')?;
    }
    Some((paths, text))
}

#[cfg(test)]
mod tests {
    use super::Paths;

    #[test]
    fn the_text_form_is_read_back() {
        for text in ["a", "ccb", "a,00000001(bb)", "bb,00000001(a),fffffff0(bb,00000002(ccb),00000003(a))"] {
            assert_eq!(Paths::parse(text).unwrap().to_string(), text);
        }
        let deep = |levels| format!("a{}{}", ",00000001(a".repeat(levels), ")".repeat(levels));
        assert!(Paths::parse(&deep(7)).is_some() && Paths::parse(&deep(8)).is_none());
        for text in [
            "",
            "b",
            "a,",
            "a,1(a)",
            "a,00000001",
            "a,00000001(a",
            "a,00000001(a))",
            "a)",
            "a,00000001()",
            "a,00000002(a),00000001(a)",
            "a,00000001(a),00000001(a)",
            "a,+0000001(a)",
            "a,0000000A(a)",
            "a b",
        ] {
            assert_eq!(Paths::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_path_goes_as_deep_as_the_directory() {
        let of = |text: &[u8]| super::hash(text);
        let text = format!("bb,{:08x}(bb,{:08x}(a))", of(b"api"), of(b"v1"));
        let rest = |segment: &[u8], deep: &[u8]| if of(segment) >> 31 == of(deep) >> 31 { "-" } else { "" };
        let paths = Paths::parse(&text).unwrap();
        let name = |path: &str| {
            let mut name = "t/".to_owned();
            paths.push_name(&mut crate::segments(path.as_bytes()), &mut name);
            name
        };
        let bit = |segment: &[u8]| u8::from(of(segment) >> 31 != 0);
        assert_eq!(name("/web/x"), format!("t/{}{}", bit(b"web"), rest(b"web", b"api")));
        for other in ["v2", "v3", "v4", ""] {
            let (bit, rest) = (bit(other.as_bytes()), rest(other.as_bytes(), b"v1"));
            assert_eq!(name(&format!("/api/{other}?x")), format!("t/{:08x}/{bit}{rest}", of(b"api")));
        }
        assert_eq!(name("/api?x"), name("/api/?x"));
        assert_eq!(name("/api/v1/x"), format!("t/{:08x}/{:08x}/", of(b"api"), of(b"v1")));
        let mut names = Vec::new();
        paths.for_each_name("t/", &mut |name| names.push(name));
        assert_eq!(names.len(), 5);
        assert!(["/web/x", "/api/v2/x", "/api", "/api/v1/x"].iter().all(|path| names.contains(&name(path))));
    }
}
