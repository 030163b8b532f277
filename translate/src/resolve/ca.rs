//! CA certificates that an object refers to.

use base64::Engine as _;
use proto::{ArcStr, Fault, Kind, ResourceKey};

use super::{fault, grant, installed};
use crate::cx::Cx;
use crate::model::{AuthoritiesState, AuthoritiesVerdict, ClusterTrustBundle, ConfigMap, Reference, Secret};

/// What to do about a reference that leads to no CA certificates.
pub(crate) const REMEDY: &str = "refer to a ConfigMap with a PEM bundle under ca.crt";

/// Where a list of references leads.
pub(crate) struct Authorities {
    /// Objects with CA certificates, in the order of their references.
    pub(crate) valid: Vec<ResourceKey>,
    /// What is wrong with the other references, in their order.
    pub(crate) flaws: Vec<Flaw>,
}

/// What is wrong with a reference.
pub(crate) struct Flaw {
    pub(crate) kind: FlawKind,
    pub(crate) fault: Fault,
}

/// How a reference is wrong: each API has its own word for it.
pub(crate) enum FlawKind {
    /// Of a kind that holds no CA certificates.
    Kind,
    /// Into another namespace that does not allow it.
    Grant,
    /// Nothing there, or no CA certificates in it.
    Content,
}

/// Follows the references of `owner`, which stand in `field`.
pub(crate) fn resolve(
    cx: &mut Cx<'_>,
    owner: &ResourceKey,
    field: &str,
    references: &[Reference],
) -> Authorities {
    let (mut valid, mut flaws) = (Vec::new(), Vec::new());
    for (index, reference) in references.iter().enumerate() {
        let target = target(owner, reference);
        match check(cx, owner, &target, format!("{field}[{index}]")) {
            Ok(()) => valid.push(target),
            Err(flaw) => flaws.push(flaw),
        }
    }
    Authorities { valid, flaws }
}

/// The certificates of valid authorities as one PEM bundle.
pub(crate) fn bundle(cx: &mut Cx<'_>, authorities: &[ResourceKey]) -> String {
    let mut bundle = String::new();
    for authority in authorities {
        bundle.push_str(&text(cx, authority).flatten().unwrap_or_default());
        bundle.push('\n');
    }
    bundle
}

/// What a reference names. One to an object without a namespace that names one all the same keeps it, to be refused.
fn target(owner: &ResourceKey, reference: &Reference) -> ResourceKey {
    let kind = reference.kind_or("", "ConfigMap");
    let here = if kind.is_cluster_scoped() { ArcStr::new() } else { owner.namespace.clone() };
    owner.sibling(kind, reference.namespace.clone().unwrap_or(here), reference.name.clone())
}

/// Checks one object; the grant comes before existence, so that nothing is told about objects of other
/// namespaces.
fn check(cx: &mut Cx<'_>, owner: &ResourceKey, target: &ResourceKey, field: String) -> Result<(), Flaw> {
    if target.kind == Kind::CLUSTER_TRUST_BUNDLE {
        return check_bundle(cx, owner, target, field);
    }
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
    let Some(problem) = problem(cx, target, "ca.crt") else { return Ok(()) };
    let problem = format!("{kind} {} {problem}", target.namespaced_name());
    Err(Flaw { kind: FlawKind::Content, fault: fault(owner, field, problem, REMEDY) })
}

/// Checks a ClusterTrustBundle, which needs no grant (GEP-5075).
fn check_bundle(
    cx: &mut Cx<'_>,
    owner: &ResourceKey,
    target: &ResourceKey,
    field: String,
) -> Result<(), Flaw> {
    let flaw = |kind, field: String, problem: String, remedy: &str| {
        Err(Flaw { kind, fault: fault(owner, field, problem, remedy) })
    };
    if !installed::trust_bundles(cx, owner) {
        let problem = "the API server does not serve ClusterTrustBundles".to_owned();
        let remedy = "refer to a ConfigMap, or let it serve certificates.k8s.io/v1 (Kubernetes 1.37)";
        return flaw(FlawKind::Kind, format!("{field}.kind"), problem, remedy);
    }
    if !target.namespace.is_empty() {
        let problem = "a ClusterTrustBundle has no namespace".to_owned();
        return flaw(FlawKind::Content, format!("{field}.namespace"), problem, "remove the namespace");
    }
    let Some(problem) = problem(cx, target, "spec.trustBundle") else { return Ok(()) };
    let problem = format!("ClusterTrustBundle {} {problem}", target.name);
    flaw(FlawKind::Content, field, problem, "refer to a ClusterTrustBundle with PEM certificates")
}

/// Why an object gives no CA certificates; none if it does. A bundle counts as a whole: with one bad certificate in it,
/// nobody can say what was meant to be trusted.
fn problem(cx: &mut Cx<'_>, of: &ResourceKey, part: &str) -> Option<String> {
    let verdict = match verdict(cx, of) {
        Some(verdict) => verdict,
        None => return Some("does not exist".to_owned()),
    };
    match verdict.state {
        AuthoritiesState::Valid => None,
        AuthoritiesState::Missing => Some(format!("has no {part}")),
        AuthoritiesState::Malformed => Some(format!("has no valid CA certificates: {}", verdict.message)),
    }
}

/// What the source says of an object's certificates, if it is there.
fn verdict(cx: &mut Cx<'_>, of: &ResourceKey) -> Option<AuthoritiesVerdict> {
    if of.kind == Kind::CLUSTER_TRUST_BUNDLE {
        return Some(cx.object::<ClusterTrustBundle>(of)?.authorities.clone());
    }
    if of.kind == Kind::CONFIG_MAP {
        return Some(cx.sibling::<ConfigMap>(of, &of.namespace, &of.name)?.authorities.clone());
    }
    Some(cx.sibling::<Secret>(of, &of.namespace, &of.name)?.authorities.clone())
}

/// The PEM text that an object holds, if it is there: under `ca.crt`, or a bundle as a whole.
fn text(cx: &mut Cx<'_>, of: &ResourceKey) -> Option<Option<String>> {
    if of.kind == Kind::CLUSTER_TRUST_BUNDLE {
        return Some(Some(cx.object::<ClusterTrustBundle>(of)?.spec.trust_bundle.to_string()));
    }
    if of.kind == Kind::CONFIG_MAP {
        let map = cx.sibling::<ConfigMap>(of, &of.namespace, &of.name)?;
        return Some(map.data.get("ca.crt").map(ToString::to_string));
    }
    let secret = cx.sibling::<Secret>(of, &of.namespace, &of.name)?;
    Some(secret.data.get("ca.crt").and_then(decode))
}

/// A value of a Secret's data.
fn decode(value: &ArcStr) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}
