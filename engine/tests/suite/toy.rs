//! A graph of numbers: leaves are objects, sums are over the leaves of a group.

use std::sync::Arc;

use engine::{Cx, Graph, IndexEntry, Model, Output};
use proto::{Change, Epoch, Event, Fault, Kind, ObjectStatus, Put, Report, ResourceKey, XdsKey, XdsKind};

/// An object: `group value [object that is added]`; a group `decode` or `roots` panics there.
#[derive(Debug, PartialEq)]
pub(crate) struct Number {
    group: String,
    value: i64,
    added: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Toy;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    Leaf(ResourceKey),
    Sum(String),
}

impl Model<Toy> for Number {
    const KIND: Kind = Kind::CONFIG_MAP;
    fn of(object: &Arc<Number>) -> Option<Arc<Self>> {
        Some(Arc::clone(object))
    }
    fn parse(key: &ResourceKey, text: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(text).unwrap();
        let mut words = text.split(' ');
        let group = words.next().unwrap().to_owned();
        assert_ne!(group, "decode", "a trap in decode");
        let Some(value) = words.next().and_then(|word| word.parse().ok()) else {
            return Err(Fault {
                object: key.clone(),
                field: "value".into(),
                problem: "no number".into(),
                remedy: "write one".into(),
            });
        };
        Ok(Number { group, value, added: words.next().map(str::to_owned) })
    }
}

impl Graph for Toy {
    type Env = ();
    type Object = Arc<Number>;
    type Node = Node;
    type Value = Option<i64>;
    type Index = String;

    const LEVELS: usize = 2;

    fn level(node: &Node) -> usize {
        match node {
            Node::Leaf(_) => 0,
            Node::Sum(_) => 1,
        }
    }

    fn stage(node: &Node) -> &'static str {
        match node {
            Node::Leaf(_) => "leaf",
            Node::Sum(_) => "sum",
        }
    }

    fn decode(key: &ResourceKey, json: &[u8]) -> Result<Arc<Number>, Fault> {
        Number::parse(key, json).map(Arc::new)
    }

    fn roots(key: &ResourceKey, number: &Arc<Number>) -> (Vec<IndexEntry<Self>>, Vec<Node>) {
        assert_ne!(number.group, "roots", "a trap in roots");
        (vec![(number.group.clone(), key.clone())], vec![Node::Leaf(key.clone())])
    }

    /// A leaf panics at 13, a sum at 100.
    fn compute(node: &Node, cx: &mut Cx<'_, Self>) -> Output<Self> {
        match node {
            Node::Leaf(key) => {
                let Some(number) = cx.object::<Number>(key) else { return Output::unseen() };
                let added = number.added.as_deref().and_then(|name| cx.object::<Number>(&self::key(name)));
                let value = number.value + added.map_or(0, |number| number.value);
                assert_ne!(value, 13, "a trap in a leaf");
                let mut output = Output::of(Some(value));
                output.demands.push(Node::Sum(number.group.clone()));
                let status = ObjectStatus { observed_generation: value, ..ObjectStatus::default() };
                output.report = Some(Box::new(Report { key: key.clone(), status: Some(status) }));
                output
            }
            Node::Sum(group) => {
                let members: Vec<_> = cx.members(group.clone()).cloned().collect();
                let values = members.into_iter().filter_map(|key| *cx.node(Node::Leaf(key))?);
                let sum: i64 = values.sum();
                assert_ne!(sum, 100, "a trap in a sum");
                let mut output = Output::unseen();
                output.puts.push(Put::new(piece(group), sum.to_string()));
                output
            }
        }
    }

    fn subject(node: &Node) -> ResourceKey {
        match node {
            Node::Leaf(key) => key.clone(),
            Node::Sum(group) => key(group),
        }
    }

    fn reporter(object: &ResourceKey) -> Option<Node> {
        Some(Node::Leaf(object.clone()))
    }

    fn node_of(piece: &XdsKey) -> Option<Node> {
        Some(Node::Sum(piece.name.to_string()))
    }
}

pub(crate) fn key(name: &str) -> ResourceKey {
    ResourceKey::local(Kind::CONFIG_MAP, "default", name)
}

/// The piece of a group's sum.
pub(crate) fn piece(group: &str) -> XdsKey {
    XdsKey::new(key("scope"), XdsKind::Cluster, group)
}

pub(crate) fn event(name: &str, change: Change) -> Event {
    Event {
        key: key(name),
        uid: "".into(),
        resource_version: "".into(),
        generation: 1,
        epoch: Epoch(1),
        observed_unix_nanos: 0,
        trace_parent: "".into(),
        change,
    }
}

/// An object as it is now; its version is its text.
pub(crate) fn upsert(name: &str, text: &str) -> Event {
    Event { resource_version: text.into(), ..event(name, Change::Upsert(text.to_owned().into())) }
}

pub(crate) fn delete(name: &str) -> Event {
    event(name, Change::Delete)
}
