use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::{KINDS, number, wire};
use crate::report::{ListenerStatus, ParentStatus};
use crate::{
    ArcStr, Base, ClusterId, Condition, ContentHash, Delta, DeltaError, Fault, FencingEpoch, JsonText, Kind,
    LogId, ObjectStatus, Partition, PrivateKeyRef, Put, Report, ResourceKey, Revision, RouteEntry, RouteSet,
    Routing, XdsKey,
};

fn text() -> impl Strategy<Value = ArcStr> {
    prop::sample::select(vec!["", "a", "ä", "*.example.com", "with \"quotes\"\n"]).prop_map(ArcStr::from)
}

fn object() -> impl Strategy<Value = ResourceKey> {
    let kind = prop::sample::select(vec![Kind::GATEWAY, Kind::SECRET, Kind::HTTP_ROUTE]);
    (text(), kind, text(), text()).prop_map(|(cluster, kind, namespace, name)| ResourceKey {
        cluster: ClusterId(cluster),
        kind,
        namespace,
        name,
    })
}

fn xds_key() -> impl Strategy<Value = XdsKey> {
    let kind = prop::sample::select(KINDS.to_vec());
    (object(), kind, text(), text(), text()).prop_map(|(scope, kind, name, domain, route)| XdsKey {
        scope,
        kind,
        name,
        domain,
        route,
    })
}

fn body() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from)
}

fn routing() -> impl Strategy<Value = Routing> {
    let entry = (any::<u64>(), prop::option::of(text()), body()).prop_map(|(order, path, body)| RouteEntry {
        order,
        path,
        body,
    });
    let set = (any::<u16>(), text(), prop::collection::vec(entry, 0..3));
    let set = set.prop_map(|(specificity, created, entries)| RouteSet {
        specificity,
        created,
        entries: entries.into(),
    });
    prop_oneof![text().prop_map(Routing::UpTo), set.prop_map(|set| Routing::Routes(set.into()))]
}

fn put() -> impl Strategy<Value = Put> {
    let private_key = (object(), any::<u128>())
        .prop_map(|(secret, hash)| PrivateKeyRef { secret, certificate: ContentHash(hash) });
    (xds_key(), any::<u128>(), body(), prop::option::of(private_key), prop::option::of(routing())).prop_map(
        |(key, version, body, private_key, routing)| Put {
            key,
            version: ContentHash(version),
            body,
            private_key,
            routing,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    (text(), any::<bool>(), text(), text())
        .prop_map(|(kind, holds, reason, message)| Condition::new(kind, holds, reason, message))
}

fn parent() -> impl Strategy<Value = ParentStatus> {
    let parent_ref = prop::sample::select(vec![
        serde_json::json!({"name": "web", "group": "g", "sectionName": "ä"}),
        serde_json::Value::Null,
    ]);
    let conditions = prop::collection::vec(condition(), 0..3);
    (parent_ref, prop::option::of(object()), conditions).prop_map(|(parent_ref, gateway, conditions)| {
        ParentStatus { parent_ref: JsonText::of(&parent_ref), gateway, conditions }
    })
}

fn status() -> impl Strategy<Value = ObjectStatus> {
    let conditions = || prop::collection::vec(condition(), 0..3);
    let parents = || prop::collection::vec(parent(), 0..3);
    let listener = (text(), text(), any::<i32>(), conditions()).prop_map(
        |(name, resource, attached_routes, conditions)| ListenerStatus {
            name,
            resource,
            attached_routes,
            supported_kinds: vec![serde_json::json!({"kind": "HTTPRoute"})],
            conditions,
        },
    );
    let fault = (object(), text(), text(), text()).prop_map(|(object, field, problem, remedy)| Fault {
        object,
        field: field.to_string(),
        problem: problem.to_string(),
        remedy: remedy.to_string(),
    });
    let lists = (
        conditions(),
        prop::collection::vec(listener, 0..3),
        parents(),
        parents(),
        prop::collection::vec(fault, 0..3),
    );
    (any::<i64>(), prop::option::of(object()), lists).prop_map(
        |(observed_generation, gateway, (conditions, listeners, parents, ancestors, faults))| ObjectStatus {
            observed_generation,
            gateway,
            conditions,
            listeners,
            parents,
            ancestors,
            faults,
            ..ObjectStatus::default()
        },
    )
}

fn delta() -> impl Strategy<Value = Delta> {
    let report = (object(), prop::option::of(status())).prop_map(|(key, status)| Report { key, status });
    let base = prop::option::of(any::<u64>());
    let position = (any::<u16>(), any::<u64>(), any::<u128>(), any::<u64>(), base, any::<i64>());
    let lists = (
        prop::collection::vec(put(), 0..4),
        prop::collection::vec(xds_key(), 0..4),
        prop::collection::vec(report, 0..4),
    );
    (position, lists).prop_map(
        |((partition, epoch, log, revision, base, observed_unix_nanos), (puts, removes, reports))| Delta {
            partition: Partition(partition),
            epoch: FencingEpoch(epoch),
            log: LogId(log),
            revision: Revision(revision),
            base: base.map_or(Base::Nothing, |base| Base::At(Revision(base))),
            observed_unix_nanos,
            puts,
            removes,
            reports,
        },
    )
}

proptest! {
    #[test]
    fn nothing_of_a_delta_is_lost_on_its_way(delta in delta()) {
        prop_assert_eq!(Delta::decode(delta.encode().into()).unwrap(), delta);
    }

    #[test]
    fn no_bytes_end_a_reader(mut bytes in delta().prop_map(|delta| delta.encode()), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = Delta::decode(bytes.clone().into());
        bytes.truncate(at);
        let _ = Delta::decode(bytes.into());
    }
}

#[test]
fn kinds_have_the_numbers_of_the_schema() {
    for (place, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(number(kind) as usize, place);
        assert!(include_str!("../../../proto/delta.proto").contains(&format!("{place} {kind:?}")));
    }
}

#[test]
fn bodies_are_shared_and_not_copied() {
    let scope = ResourceKey::local(Kind::GATEWAY, "default", "web");
    let put = Put::new(XdsKey::new(scope, KINDS[0], "c"), vec![7_u8; 1000]);
    let bytes = Bytes::from(Delta { puts: vec![put], ..Delta::default() }.encode());
    let read = Delta::decode(bytes.clone()).unwrap();
    assert!(bytes.as_ptr_range().contains(&read.puts[0].body.as_ptr()));
}

#[test]
fn a_newer_delta_is_not_guessed_at() {
    let newer = wire::Delta { schema: 99, ..wire::Delta::default() };
    let error = Delta::decode(newer.encode_to_vec().into()).unwrap_err();
    assert!(matches!(error, DeltaError::Newer(99)), "{error}");
}

#[test]
fn the_wire_is_as_the_schema_says() {
    // `type name = number;` of each message, and `tag = "number"` over `name:` of each struct.
    let schema = include_str!("../../../proto/delta.proto").lines().filter_map(|line| {
        let line = line.trim();
        let message = line.strip_prefix("message ").map(|name| name.trim_end_matches(" {").to_owned());
        let field = || {
            let (field, number) = line.strip_suffix(';')?.rsplit_once(" = ")?;
            Some(format!("{} {number}", field.rsplit_once(' ')?.1))
        };
        message.or_else(field).filter(|line| !line.starts_with("syntax"))
    });
    let mut tag = "";
    let wire = include_str!("../wire.rs").lines().filter_map(|line| {
        let line = line.trim();
        if let Some((_, rest)) = line.split_once("tag = \"") {
            tag = rest.split('"').next().unwrap();
            return None;
        }
        let line = line.strip_prefix("pub(super) ")?;
        match line.strip_prefix("struct ") {
            Some(name) => Some(name.trim_end_matches(" {").to_owned()),
            None => Some(format!("{} {tag}", line.split_once(':')?.0)),
        }
    });
    let (schema, wire): (Vec<_>, Vec<_>) = (schema.collect(), wire.collect());
    assert!(schema.len() > 40, "{schema:?}");
    assert_eq!(schema, wire);
}
