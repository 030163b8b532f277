//! What an API server's schema would refuse, for sources that have no API server.

use proto::{Fault, Kind, ResourceKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    BackendTlsPolicy, ClusterTrustBundle, ConfigMap, EndpointSlice, Gateway, GatewayClass, GrpcRoute,
    HttpRoute, ListenerSet, Namespace, ReferenceGrant, Secret, Service, TcpRoute, TlsRoute,
};

/// Faults of an object's form: fields of the wrong type, missing fields, unknown fields under `spec`.
/// An object with such faults should not be published: the last good version stays in effect.
pub fn validate(key: &ResourceKey, object: &Value) -> Vec<Fault> {
    match &key.kind {
        kind if *kind == Kind::HTTP_ROUTE => check::<HttpRoute>(key, object, true),
        kind if *kind == Kind::GRPC_ROUTE => check::<GrpcRoute>(key, object, true),
        kind if *kind == Kind::TLS_ROUTE => check::<TlsRoute>(key, object, true),
        kind if *kind == Kind::TCP_ROUTE => check::<TcpRoute>(key, object, true),
        kind if *kind == Kind::GATEWAY => check::<Gateway>(key, object, false),
        kind if *kind == Kind::LISTENER_SET => check::<ListenerSet>(key, object, false),
        kind if *kind == Kind::GATEWAY_CLASS => check::<GatewayClass>(key, object, true),
        kind if *kind == Kind::REFERENCE_GRANT => check::<ReferenceGrant>(key, object, true),
        kind if *kind == Kind::BACKEND_TLS_POLICY => check::<BackendTlsPolicy>(key, object, true),
        kind if *kind == Kind::NAMESPACE => check::<Namespace>(key, object, false),
        kind if *kind == Kind::SERVICE => check::<Service>(key, object, false),
        kind if *kind == Kind::ENDPOINT_SLICE => check::<EndpointSlice>(key, object, false),
        kind if *kind == Kind::SECRET => check::<Secret>(key, object, false),
        kind if *kind == Kind::CLUSTER_TRUST_BUNDLE => check::<ClusterTrustBundle>(key, object, true),
        kind if *kind == Kind::CONFIG_MAP => check::<ConfigMap>(key, object, false),
        _ => Vec::new(),
    }
}

/// `strict`: the model has every field of the spec, so any other is a mistake.
fn check<M: DeserializeOwned>(key: &ResourceKey, object: &Value, strict: bool) -> Vec<Fault> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(object, &mut track);
    let result: Result<M, _> = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    if let Err(error) = result {
        let field = track.path().to_string();
        let problem = error.to_string();
        let remedy = format!("{}; the last good version stays in effect until then", remedy(&problem));
        let field = if field == "." { String::new() } else { field };
        return vec![Fault { object: key.clone(), field, problem, remedy }];
    }
    // Sources may know fields of a newer API version only by name; status and metadata are not ours.
    unknown.retain(|path| {
        strict && path.starts_with("spec.") && !KNOWN_BUT_UNREAD.iter().any(|f| path.contains(f))
    });
    unknown
        .into_iter()
        .map(|path| Fault {
            object: key.clone(),
            problem: format!("there is no field {:?}", path.rsplit('.').next().unwrap_or(&path)),
            field: bracketed(&path),
            remedy: "correct its name or remove it; the last good version stays in effect until then"
                .to_owned(),
        })
        .collect()
}

/// A name may look like something else to YAML 1.1.
fn remedy(problem: &str) -> &'static str {
    let is_word = problem.contains("invalid type: boolean");
    match problem.contains("expected a string") {
        true if is_word => "put it in quotes: YAML takes y, n, yes, no, on, off, true and false for booleans",
        true if !problem.contains("sequence") && !problem.contains("map") => "put it in quotes",
        _ => "correct the field",
    }
}

/// Fields of the experimental channel that are let through without effect.
const KNOWN_BUT_UNREAD: &[&str] = &["useDefaultGateways", "externalAuth"];

/// `spec.rules.0.name` as `spec.rules[0].name`.
fn bracketed(path: &str) -> String {
    path.split('.').filter(|part| *part != "?").enumerate().fold(String::new(), |mut text, (index, part)| {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            if index > 0 {
                text.push('.');
            }
            text.push_str(part);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use proto::{Kind, ResourceKey};
    use serde_json::json;

    fn texts(object: &serde_json::Value) -> Vec<String> {
        let key = ResourceKey::local(Kind::HTTP_ROUTE, "default", "web");
        super::validate(&key, object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let object =
            json!({"metadata": {}, "spec": {"rules": [{"backendRefs": [{"name": "a", "port": "http"}]}]}});
        let texts = texts(&object);
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains("spec.rules[0].backendRefs[0]"), "{texts:?}");
    }

    #[test]
    fn a_name_that_is_a_boolean_to_yaml_is_told_to_be_quoted() {
        let object =
            |name: serde_json::Value| json!({"metadata": {}, "spec": {"parentRefs": [{"name": name}]}});
        let of_word = texts(&object(json!(false)));
        assert!(of_word[0].contains("put it in quotes: YAML takes y, n,"), "{of_word:?}");
        let of_number = texts(&object(json!(8080)));
        assert!(of_number[0].contains("put it in quotes;"), "{of_number:?}");
        let of_list = texts(&object(json!([])));
        assert!(of_list[0].contains("correct the field"), "{of_list:?}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let object = json!({"metadata": {"labels": {}, "ownerReferences": []}, "spec": {"hostname": "a"}});
        assert_eq!(
            texts(&object),
            ["HTTPRoute default/web: spec.hostname: there is no field \"hostname\"; \
              correct its name or remove it; the last good version stays in effect until then"]
        );
    }

    #[test]
    fn a_good_route_has_no_faults() {
        let object = json!({"metadata": {}, "spec": {
            "parentRefs": [{"name": "web"}], "hostnames": ["a.example.com"],
            "rules": [{"name": "r", "matches": [{"path": {"type": "Exact", "value": "/a"}, "method": "GET",
                "headers": [{"name": "x", "value": "1"}], "queryParams": [{"name": "x", "value": "1"}]}],
                "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/b"}}}],
                "backendRefs": [{"name": "s", "port": 80, "weight": 1, "filters": []}],
                "timeouts": {"request": "1s"}, "retry": {"attempts": 2, "codes": [503], "backoff": "10ms"}}]}});
        assert_eq!(texts(&object), Vec::<String>::new());
    }
}
