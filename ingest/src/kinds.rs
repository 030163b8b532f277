//! The kinds that a source reads. A new kind is one line here.

use proto::{Kind, literal};

/// A kind and the versions of it that are understood.
pub(crate) struct Known {
    pub(crate) kind: Kind,
    /// Its name in paths of the API.
    pub(crate) plural: &'static str,
    /// Newest first.
    pub(crate) versions: &'static [&'static str],
    /// True if we write its status.
    pub(crate) has_status: bool,
    /// True if most clusters do well without its CRD.
    pub(crate) optional: bool,
    /// True if it is told whether the API server serves it, as an object of kind `APIResource`.
    pub(crate) announced: bool,
    /// Field selector of the objects that are read.
    pub(crate) fields: Option<&'static str>,
}

const fn known(kind: Kind, plural: &'static str, versions: &'static [&'static str]) -> Known {
    Known { kind, plural, versions, has_status: false, optional: false, announced: false, fields: None }
}

impl Known {
    const fn with_status(mut self) -> Known {
        self.has_status = true;
        self
    }

    const fn optional(mut self) -> Known {
        self.optional = true;
        self
    }

    const fn announced(mut self) -> Known {
        self.announced = true;
        self
    }

    const fn only(mut self, fields: &'static str) -> Known {
        self.fields = Some(fields);
        self
    }

    /// `plural.group`, the name of its CRD.
    pub(crate) fn resource(&self) -> String {
        let dot = if self.kind.group().is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.plural, self.kind.group())
    }
}

/// Secrets that others keep their own things in, often large.
const TLS_OR_OPAQUE: &str = "type!=helm.sh/release.v1,type!=fleetgate.dev/xds-identity,type!=kubernetes.io/service-account-token,\
    type!=kubernetes.io/dockerconfigjson,type!=kubernetes.io/dockercfg,type!=bootstrap.kubernetes.io/token,\
    type!=kubernetes.io/basic-auth,type!=kubernetes.io/ssh-auth";

/// Its annotations say which channel of the Gateway API is installed.
const OF_GATEWAYS: &str = "metadata.name=gateways.gateway.networking.k8s.io";

/// In the order in which events of one batch go out: what is referred to before what refers to it.
pub(crate) static KINDS: [Known; 17] = [
    known(Kind::NAMESPACE, "namespaces", &["v1"]),
    known(Kind::CUSTOM_RESOURCE_DEFINITION, "customresourcedefinitions", &["v1"]).only(OF_GATEWAYS),
    known(Kind::GATEWAY_CLASS, "gatewayclasses", &["v1", "v1beta1"]).with_status(),
    known(Kind::GATEWAY_PARAMETERS, "gatewayparameters", &["v1alpha1"]).optional(),
    known(Kind::REFERENCE_GRANT, "referencegrants", &["v1", "v1beta1"]),
    known(Kind::SECRET, "secrets", &["v1"]).only(TLS_OR_OPAQUE),
    known(Kind::CONFIG_MAP, "configmaps", &["v1"]),
    known(Kind::CLUSTER_TRUST_BUNDLE, "clustertrustbundles", &["v1", "v1beta1", "v1alpha1"])
        .optional()
        .announced(),
    known(Kind::SERVICE, "services", &["v1"]),
    known(Kind::ENDPOINT_SLICE, "endpointslices", &["v1"]),
    known(Kind::BACKEND_TLS_POLICY, "backendtlspolicies", &["v1", "v1alpha3"]).with_status(),
    known(Kind::GATEWAY, "gateways", &["v1", "v1beta1"]).with_status(),
    known(Kind::LISTENER_SET, "listenersets", &["v1"]).with_status().optional(),
    known(Kind::HTTP_ROUTE, "httproutes", &["v1", "v1beta1"]).with_status(),
    known(Kind::GRPC_ROUTE, "grpcroutes", &["v1"]).with_status().optional(),
    known(Kind::TLS_ROUTE, "tlsroutes", &["v1"]).with_status().optional(),
    known(Kind::TCP_ROUTE, "tcproutes", &["v1"]).with_status().optional(),
];

/// True if we write the status of objects of this kind.
pub(crate) fn has_status(kind: &Kind) -> bool {
    KINDS.iter().any(|known| known.kind == *kind && known.has_status)
}

/// Place of a kind in [`KINDS`]; last if it is not one of them.
pub(crate) fn rank(kind: &Kind) -> usize {
    KINDS.iter().position(|known| known.kind == *kind).unwrap_or(KINDS.len())
}

/// Why an object's `apiVersion` and `kind` are not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownKind {
    pub(crate) field: &'static str,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

/// The kind of `apiVersion` and `kind`.
pub(crate) fn find(api_version: &str, kind: &str) -> Result<Kind, UnknownKind> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let same_kind = KINDS.iter().find(|known| known.kind.kind() == kind);
    match same_kind {
        Some(known) if known.kind.group() == group && known.versions.contains(&version) => {
            Ok(known.kind.clone())
        }
        Some(known) => Err(UnknownKind {
            field: "apiVersion",
            problem: format!("{kind} of apiVersion \"{api_version}\" is not known"),
            remedy: format!("write apiVersion: {}", known.api_versions()),
        }),
        None => Err(UnknownKind {
            field: "kind",
            problem: format!("kind \"{kind}\" is not known"),
            remedy: nearest(kind),
        }),
    }
}

impl Known {
    fn api_versions(&self) -> String {
        let group = self.kind.group();
        let full = |version: &&str| {
            if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") }
        };
        self.versions.iter().map(full).collect::<Vec<_>>().join(" or ")
    }
}

fn nearest(kind: &str) -> String {
    let lower = kind.to_lowercase();
    let near = KINDS
        .iter()
        .map(|known| (distance(&lower, &known.kind.kind().to_lowercase()), known))
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, known)) if distance <= 3 => {
            format!("the nearest known kind is {} ({})", known.kind.kind(), known.api_versions())
        }
        _ => {
            let names: Vec<&str> = KINDS.iter().map(|known| known.kind.kind()).collect();
            format!("it is skipped; known are {}", names.join(", "))
        }
    }
}

/// Levenshtein distance; names longer than any kind's are just far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Names repeat in every key: those of the default namespace are shared.
pub(crate) fn namespace(name: &str) -> proto::Name {
    if name == "default" { literal!("default") } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::{distance, find};

    #[test]
    fn every_row_of_the_table_is_found_by_its_own_versions() {
        for (api_version, kind) in [
            ("v1", "Service"),
            ("discovery.k8s.io/v1", "EndpointSlice"),
            ("gateway.networking.k8s.io/v1beta1", "HTTPRoute"),
            ("gateway.networking.k8s.io/v1alpha3", "BackendTLSPolicy"),
        ] {
            assert_eq!(find(api_version, kind).unwrap().kind(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_suggests_the_nearest() {
        let unknown = find("gateway.networking.k8s.io/v1", "HttpRoutes").unwrap_err();
        assert_eq!(unknown.problem, "kind \"HttpRoutes\" is not known");
        assert_eq!(
            unknown.remedy,
            "the nearest known kind is HTTPRoute (gateway.networking.k8s.io/v1 or gateway.networking.k8s.io/v1beta1)"
        );
        let version = find("gateway.networking.k8s.io/v2", "Gateway").unwrap_err();
        assert_eq!(version.field, "apiVersion");
        assert!(
            find("apps/v1", "Deployment")
                .unwrap_err()
                .remedy
                .starts_with("it is skipped; known are Namespace")
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
