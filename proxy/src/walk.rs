//! The walk of a request from the first table to the one with its route.

use lookup::{Request, Step, Walk};

/// Most steps of one request: far more than any layout has. A request that needs more is left where it is,
/// and answered by that table itself.
const MOST_STEPS: usize = 256;

/// A request in the proxy.
pub(crate) trait Stream {
    /// `:authority`, empty if there is none.
    fn authority(&self) -> &[u8];
    /// `:path`, empty if there is none.
    fn path(&self) -> &[u8];
    /// What the route that it now has says about the next table; none if it is no step.
    fn step(&self) -> Option<&Step>;
    /// Looks its route up in another table; false if the proxy will not.
    fn enter(&mut self, table: &str) -> bool;
}

/// Takes steps as long as there are any.
pub(crate) fn walk(stream: &mut impl Stream) {
    let mut walk = Walk::default();
    let mut table = String::with_capacity(64);
    for _ in 0..MOST_STEPS {
        let Some(step) = stream.step() else { return };
        let request = Request { authority: stream.authority(), path: stream.path() };
        step.take(&request, &mut walk, &mut table);
        if !stream.enter(&table) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lookup::{Leaves, Paths, Step};
    use proptest::prelude::*;

    use super::{MOST_STEPS, Stream, walk};

    #[derive(Default)]
    struct Fake {
        tables: BTreeMap<String, Step>,
        table: String,
        entered: usize,
        authority: Vec<u8>,
        path: Vec<u8>,
    }

    impl Stream for Fake {
        fn authority(&self) -> &[u8] {
            &self.authority
        }
        fn path(&self) -> &[u8] {
            &self.path
        }
        fn step(&self) -> Option<&Step> {
            self.tables.get(&self.table)
        }
        fn enter(&mut self, table: &str) -> bool {
            table.clone_into(&mut self.table);
            self.entered += 1;
            true
        }
    }

    fn fake(steps: &[(&str, Step)]) -> Fake {
        let tables = steps.iter().map(|(name, step)| ((*name).to_owned(), step.clone())).collect();
        Fake { tables, table: "root".to_owned(), ..Fake::default() }
    }

    #[test]
    fn it_ends_at_the_first_route_that_is_no_step() {
        let leaves = || Leaves::new([0]).unwrap();
        let hosts = Step::Hosts { prefix: "hosts/".into(), leaves: leaves() };
        let paths =
            Step::Paths { prefix: "paths/".into(), paths: Paths { leaves: leaves(), deeper: [].into() } };
        let mut stream = fake(&[("root", hosts), ("hosts/", paths)]);
        walk(&mut stream);
        assert_eq!((stream.table.as_str(), stream.entered), ("paths/", 2));
        let mut stream = fake(&[]);
        walk(&mut stream);
        assert_eq!((stream.table.as_str(), stream.entered), ("root", 0));
    }

    #[test]
    fn it_ends_even_where_tables_lead_in_a_circle() {
        let mut stream = fake(&[("root", Step::Table("a".into())), ("a", Step::Table("root".into()))]);
        walk(&mut stream);
        assert_eq!(stream.entered, MOST_STEPS);
    }

    #[test]
    fn it_tries_shorter_and_shorter_suffixes() {
        let suffixes = Step::Suffixes {
            prefix: "w/".into(),
            levels: [2, 1].map(|labels| (labels, Leaves::new([0]).unwrap())).into(),
            rest: "any".into(),
        };
        let mut stream = fake(&[
            ("root", suffixes),
            ("w/2/", Step::Table("root".into())),
            ("w/1/", Step::Table("root".into())),
        ]);
        stream.authority = b"a.b.c".to_vec();
        walk(&mut stream);
        // w/2/ for b.c and w/1/ for c, each with its way back, then any.
        assert_eq!((stream.table.as_str(), stream.entered), ("any", 5));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_request_and_no_configuration_makes_it_panic(
            authority in proptest::collection::vec(any::<u8>(), 0..64),
            path in proptest::collection::vec(any::<u8>(), 0..64),
            text in "(hosts|paths|suffixes|table|x) [a-z/#]{0,4} ([0-9]=)?[a-e]{0,6}(,([0-9]=a|[0-9a-f]{8}[(]a[)]))?( [a-z]{0,3})?",
            noise in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            prop_assert!(Step::parse(&noise).is_err() || noise.starts_with(b"table "));
            if let Ok(step) = Step::parse(text.as_bytes()) {
                prop_assert_eq!(step.to_string(), text);
                let mut stream = Fake { authority, path, ..fake(&[("root", step)]) };
                walk(&mut stream);
                prop_assert!(stream.entered > 0);
            }
        }
    }
}
