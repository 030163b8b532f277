//! One step from a table to the next: what a stub says, and what it means for a request.

use std::fmt;

use crate::{Leaf, Leaves, Paths, hash, host_of, labels, segments, suffix};

/// What a table that holds no routes says about the next one. Its text form, the configuration of the
/// module's filter on the stub's route, is
///
/// ```text
/// hosts PREFIX DEPTHS
/// suffixes PREFIX LABELS=DEPTHS,LABELS=DEPTHS REST
/// paths PREFIX PATHS
/// table NAME
/// ```
///
/// with DEPTHS the text form of [`Leaves`], PATHS that of [`Paths`], and the numbers of labels from high to low.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// By the hash of the host.
    Hosts {
        /// Name of the next table without the bits of its leaf.
        prefix: String,
        /// The tables.
        leaves: Leaves,
    },
    /// By the hash of the longest suffix of the host that may be a wildcard's.
    Suffixes {
        /// Name of the next table without the number of labels, `/` and the bits of its leaf.
        prefix: String,
        /// Numbers of labels that suffixes of wildcards have, from high to low, and the tables of each.
        levels: Vec<(usize, Leaves)>,
        /// Name of the table for when no suffix is left.
        rest: String,
    },
    /// By the hashes of the first path segments.
    Paths {
        /// What the names of the tables begin with.
        prefix: String,
        /// The tables.
        paths: Paths,
    },
    /// To one table.
    Table(String),
}

/// What a step looks at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `:authority`, as it came.
    pub authority: &'a [u8],
    /// `:path`, normalised by Envoy.
    pub path: &'a [u8],
}

/// What earlier steps of the same request leave to later ones.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Suffixes of this many labels and more have been tried.
    tried: usize,
}

impl Default for Walk {
    fn default() -> Self {
        Walk { tried: usize::MAX }
    }
}

/// Why a text is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a step to another route table: {0}")]
pub struct ParseError(&'static str);

impl Step {
    /// Writes the name of the next table into `table`.
    pub fn take(&self, request: &Request<'_>, walk: &mut Walk, table: &mut String) {
        table.clear();
        match self {
            Step::Table(name) => table.push_str(name),
            Step::Hosts { prefix, leaves } => {
                push_name(prefix, leaves.find(hash(&host_of(request.authority))), table);
            }
            Step::Paths { prefix, paths } => {
                table.push_str(prefix);
                paths.push_name(&mut segments(request.path), table);
            }
            Step::Suffixes { prefix, levels, rest } => {
                let host = host_of(request.authority);
                let most = labels(&host).min(walk.tried);
                let found = levels.iter().find(|(count, _)| *count < most);
                match found.and_then(|(count, leaves)| Some((count, leaves, suffix(&host, *count)?))) {
                    Some((count, leaves, suffix)) => {
                        walk.tried = *count;
                        push_name(&level(prefix, *count), leaves.find(hash(suffix)), table);
                    }
                    None => table.push_str(rest),
                }
            }
        }
    }

    /// Names of all tables that it may lead to.
    pub fn targets(&self) -> Vec<String> {
        match self {
            Step::Table(name) => vec![name.clone()],
            Step::Hosts { prefix, leaves } => names(prefix, leaves).collect(),
            Step::Paths { prefix, paths } => {
                let mut names = Vec::new();
                paths.for_each_name(prefix, &mut |name| names.push(name));
                names
            }
            Step::Suffixes { prefix, levels, rest } => levels
                .iter()
                .flat_map(|(count, leaves)| names(&level(prefix, *count), leaves).collect::<Vec<_>>())
                .chain([rest.clone()])
                .collect(),
        }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &[u8]) -> Result<Step, ParseError> {
        let text = std::str::from_utf8(text).map_err(|_| ParseError("it is not UTF-8"))?;
        let words: Vec<&str> = text.split(' ').collect();
        if words.contains(&"") {
            return Err(ParseError("a word is empty"));
        }
        Ok(match *words.as_slice() {
            ["hosts", prefix, depths] => {
                Step::Hosts { prefix: prefix.to_owned(), leaves: parse_leaves(depths)? }
            }
            ["paths", prefix, paths] => Step::Paths {
                prefix: prefix.to_owned(),
                paths: Paths::parse(paths).ok_or(ParseError("its paths are no directory"))?,
            },
            ["table", name] => Step::Table(name.to_owned()),
            ["suffixes", prefix, levels, rest] => Step::Suffixes {
                prefix: prefix.to_owned(),
                levels: parse_levels(levels)?,
                rest: rest.to_owned(),
            },
            _ => return Err(ParseError("it has another form")),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Hosts { prefix, leaves } => write!(f, "hosts {prefix} {leaves}"),
            Step::Paths { prefix, paths } => write!(f, "paths {prefix} {paths}"),
            Step::Table(name) => write!(f, "table {name}"),
            Step::Suffixes { prefix, levels, rest } => {
                let levels: Vec<String> =
                    levels.iter().map(|(count, leaves)| format!("{count}={leaves}")).collect();
                write!(f, "suffixes {prefix} {} {rest}", levels.join(","))
            }
        }
    }
}

fn push_name(prefix: &str, leaf: Leaf, table: &mut String) {
    table.push_str(prefix);
    table.extend(leaf.bits());
}

fn level(prefix: &str, labels: usize) -> String {
    format!("{prefix}{labels}/")
}

fn names(prefix: &str, leaves: &Leaves) -> impl Iterator<Item = String> {
    leaves.iter().map(move |leaf| {
        let mut name = String::new();
        push_name(prefix, leaf, &mut name);
        name
    })
}

fn parse_leaves(depths: &str) -> Result<Leaves, ParseError> {
    Leaves::parse(depths).ok_or(ParseError("its leaves do not cover the hash space"))
}

fn parse_levels(levels: &str) -> Result<Vec<(usize, Leaves)>, ParseError> {
    let parse = |level: &str| {
        let (count, depths) = level.split_once('=').ok_or(ParseError("a level is not LABELS=DEPTHS"))?;
        // One text for one step: no signs, no leading zeros.
        let number = count.parse().ok().filter(|number: &usize| number.to_string() == count);
        Ok((number.ok_or(ParseError("its numbers of labels are no numbers"))?, parse_leaves(depths)?))
    };
    let levels = levels.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    if levels.iter().any(|(count, _)| *count == 0) || !levels.is_sorted_by(|a, b| a.0 > b.0) {
        return Err(ParseError("its numbers of labels do not go down to one or more"));
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::{Request, Step, Walk};
    use crate::{Leaves, Paths};

    fn take(step: &Step, authority: &str, path: &str, walk: &mut Walk) -> String {
        let mut table = "before".to_owned();
        step.take(&Request { authority: authority.as_bytes(), path: path.as_bytes() }, walk, &mut table);
        table
    }

    fn suffixes() -> Step {
        let leaves = |depths: &[u8]| Leaves::new(depths.iter().copied()).unwrap();
        let levels = vec![(3, leaves(&[1, 2, 2])), (1, leaves(&[0]))];
        Step::Suffixes { prefix: "t/".into(), levels, rest: "any".into() }
    }

    #[test]
    fn the_text_form_is_read_back() {
        let leaves = || Leaves::new([2, 2, 1]).unwrap();
        for (step, text) in [
            (Step::Hosts { prefix: "t/".into(), leaves: leaves() }, "hosts t/ ccb"),
            (
                Step::Paths { prefix: "p/".into(), paths: Paths::parse("ccb,00000001(bb)").unwrap() },
                "paths p/ ccb,00000001(bb)",
            ),
            (Step::Table("w".into()), "table w"),
            (suffixes(), "suffixes t/ 3=bcc,1=a any"),
        ] {
            assert_eq!(step.to_string(), text);
            assert_eq!(Step::parse(text.as_bytes()), Ok(step));
        }
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for text in
            ["", "hosts", "hosts t/", "hosts t/ b", "hosts t/ {", "hosts  a", "table", "table a b", "t a"]
        {
            assert!(Step::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for levels in
            ["0=a", "1=a,2=a", "2=a,2=a", "x=a", "-1=a", "+1=a", "01=a", "1", "1=", "=a", "1=a,", "1=b"]
        {
            assert!(Step::parse(format!("suffixes t/ {levels} any").as_bytes()).is_err(), "{levels:?}");
        }
        assert!(Step::parse(b"table \xff").is_err());
    }

    #[test]
    fn a_request_goes_to_the_leaf_of_its_hash() {
        let hosts = Step::Hosts { prefix: "t/".into(), leaves: Leaves::new([0]).unwrap() };
        assert_eq!(take(&hosts, "a", "/", &mut Walk::default()), "t/");
        let leaves = || Leaves::new([1, 1]).unwrap();
        let (hosts, paths) = (
            Step::Hosts { prefix: "h".into(), leaves: leaves() },
            Step::Paths { prefix: "p".into(), paths: Paths { leaves: leaves(), deeper: [].into() } },
        );
        let bit = |text: &str| if crate::hash(text.as_bytes()) >> 31 == 0 { '0' } else { '1' };
        for name in ["a.example.com", "b.example.com", "c.example.com", "d.example.com"] {
            let upper = format!("{}:80", name.to_uppercase());
            assert_eq!(take(&hosts, &upper, "/", &mut Walk::default()), format!("h{}", bit(name)));
            assert_eq!(
                take(&paths, "", &format!("/{name}/x"), &mut Walk::default()),
                format!("p{}", bit(name))
            );
        }
    }

    #[test]
    fn suffixes_are_tried_from_long_to_short() {
        let mut walk = Walk::default();
        let step = suffixes();
        let tables: Vec<String> = (0..4).map(|_| take(&step, "a.b.c.example.com", "/", &mut walk)).collect();
        assert!(tables[0].starts_with("t/3/") && tables[1] == "t/1/", "{tables:?}");
        assert_eq!(tables[2..], ["any", "any"]);
        assert_eq!(walk.tried, 1);
        // As many labels as the suffix: a wildcard needs one more.
        assert_eq!(take(&step, "com", "/", &mut Walk::default()), "any");
        assert_eq!(take(&step, "", "/", &mut Walk::default()), "any");
    }
}
