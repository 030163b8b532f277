//! CA certificates that an object refers to.

use base64::Engine as _;
use proto::{ArcStr, Fault, Kind, ResourceKey};

use super::{fault, grant};
use crate::engine::Cx;
use crate::model::{ConfigMap, Secret};

/// What to do about a reference that leads to no CA certificates.
pub(super) const REMEDY: &str = "refer to a ConfigMap with a PEM bundle under ca.crt";

/// All CA certificates of a list of references.
pub(super) struct Bundle {
    /// PEM; none if no reference gives any.
    pub(super) pem: Option<ArcStr>,
    /// What is wrong with the other references, in their order.
    pub(super) flaws: Vec<Flaw>,
}

/// What is wrong with a reference.
pub(super) struct Flaw {
    pub(super) kind: FlawKind,
    pub(super) fault: Fault,
}

/// How a reference is wrong: each API has its own word for it.
pub(super) enum FlawKind {
    /// Of a kind that holds no CA certificates.
    Kind,
    /// Into another namespace that does not allow it.
    Grant,
    /// Nothing there, or no CA certificates in it.
    Content,
}

/// Follows the references of `owner` to `targets`, which stand in `field`.
pub(super) fn bundle(
    cx: &mut Cx<'_>,
    owner: &ResourceKey,
    field: &str,
    targets: impl Iterator<Item = ResourceKey>,
) -> Bundle {
    let (mut pem, mut flaws) = (String::new(), Vec::new());
    for (index, target) in targets.enumerate() {
        match certificates(cx, owner, &target, format!("{field}[{index}]")) {
            Ok(text) => {
                pem.push_str(&text);
                pem.push('\n');
            }
            Err(flaw) => flaws.push(flaw),
        }
    }
    Bundle { pem: (!pem.is_empty()).then(|| pem.into()), flaws }
}

/// The certificates of one object; the grant comes before existence, so that nothing is told about objects of
/// other namespaces.
fn certificates(
    cx: &mut Cx<'_>,
    owner: &ResourceKey,
    target: &ResourceKey,
    field: String,
) -> Result<String, Flaw> {
    if ![Kind::CONFIG_MAP, Kind::SECRET].contains(&target.kind) {
        let problem = format!("{} cannot hold CA certificates", target.kind);
        let fault = fault(owner, format!("{field}.kind"), problem, "refer to a ConfigMap");
        return Err(Flaw { kind: FlawKind::Kind, fault });
    }
    let kind = target.kind.kind();
    if !grant::permits(cx, owner, target) {
        let problem = format!("no ReferenceGrant in namespace {} allows it", target.namespace);
        let from = owner.kind.kind();
        let remedy = format!("add a ReferenceGrant from kind {from} of this namespace to kind {kind} there");
        return Err(Flaw { kind: FlawKind::Grant, fault: fault(owner, field, problem, remedy) });
    }
    let text = if target.kind == Kind::CONFIG_MAP {
        cx.sibling::<ConfigMap>(owner, &target.namespace, &target.name)
            .map(|map| map.data.get("ca.crt").map(ToString::to_string))
    } else {
        cx.sibling::<Secret>(owner, &target.namespace, &target.name)
            .map(|secret| decode(secret.data.get("ca.crt")))
    };
    let problem = match text {
        Some(Some(text)) if text.contains("-----BEGIN CERTIFICATE-----") => return Ok(text),
        Some(_) => "has no PEM certificate under ca.crt",
        None => "does not exist",
    };
    let problem = format!("{kind} {} {problem}", target.namespaced_name());
    Err(Flaw { kind: FlawKind::Content, fault: fault(owner, field, problem, REMEDY) })
}

/// A value of a Secret's data.
fn decode(value: Option<&ArcStr>) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value?.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}
