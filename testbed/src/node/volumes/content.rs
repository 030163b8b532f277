//! What files a volume has: pure.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection,
};

use super::{Files, Tokens};
use crate::node::container::fields;

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

type Find<T> = Box<dyn Fn(&str, &str) -> Option<Arc<T>> + Send + Sync>;

/// Finds Secrets and ConfigMaps by namespace and name.
pub(crate) struct Sources {
    /// Finds a Secret.
    pub(crate) secret: Find<Secret>,
    /// Finds a ConfigMap.
    pub(crate) config_map: Find<ConfigMap>,
}

const DEFAULT_MODE: i32 = 0o644;

/// The volume's files.
///
/// # Errors
/// What is missing (then it is worth trying again), or that the kind of volume is unknown here.
pub(super) fn of(pod: &Pod, volume: &Volume, sources: &Sources, tokens: &Tokens) -> Result<Files, String> {
    let from = Render { pod, namespace: pod.metadata.namespace.as_deref().unwrap_or_default(), sources };
    let mut files = Files::new();
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
        from.secret(&mut files, name, secret.items.as_deref(), mode, secret.optional)?;
    } else if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        from.config_map(&mut files, &map.name, map.items.as_deref(), mode, map.optional)?;
    } else if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
        from.downward(&mut files, downward.items.as_deref().unwrap_or_default(), mode)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        for source in projected.sources.iter().flatten() {
            from.projection(&mut files, source, mode, tokens, &volume.name)?;
        }
    } else {
        return Err(
            "this node has no volumes of that kind; it has secret, configMap, projected, downwardAPI, \
             emptyDir and hostPath"
                .into(),
        );
    }
    Ok(files)
}

struct Render<'a> {
    pod: &'a Pod,
    namespace: &'a str,
    sources: &'a Sources,
}

impl Render<'_> {
    fn projection(
        &self,
        files: &mut Files,
        source: &VolumeProjection,
        mode: i32,
        tokens: &Tokens,
        volume: &str,
    ) -> Result<(), String> {
        if let Some(secret) = &source.secret {
            self.secret(files, &secret.name, secret.items.as_deref(), mode, secret.optional)?;
        }
        if let Some(map) = &source.config_map {
            self.config_map(files, &map.name, map.items.as_deref(), mode, map.optional)?;
        }
        if let Some(downward) = &source.downward_api {
            self.downward(files, downward.items.as_deref().unwrap_or_default(), mode)?;
        }
        if let Some(token) = &source.service_account_token {
            let bytes =
                tokens.get(volume, &token.path).ok_or("the service account's token is not there yet")?;
            files.insert(token.path.clone(), Content { bytes: bytes.into(), mode: bits(mode) });
        }
        if source.cluster_trust_bundle.is_some() || source.pod_certificate.is_some() {
            return Err("this node projects no clusterTrustBundle and no podCertificate".into());
        }
        Ok(())
    }

    fn secret(
        &self,
        files: &mut Files,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: i32,
        optional: Option<bool>,
    ) -> Result<(), String> {
        let optional = optional.unwrap_or_default();
        let Some(secret) = (self.sources.secret)(self.namespace, name) else {
            return if optional { Ok(()) } else { Err(format!("secret {name:?} not found")) };
        };
        let data = secret.data.iter().flatten().map(|(key, ByteString(bytes))| (key.clone(), bytes.clone()));
        select(files, data, items, mode, optional)
            .map_err(|key| format!("secret {name:?} has no key {key:?}"))
    }

    fn config_map(
        &self,
        files: &mut Files,
        name: &str,
        items: Option<&[KeyToPath]>,
        mode: i32,
        optional: Option<bool>,
    ) -> Result<(), String> {
        let optional = optional.unwrap_or_default();
        let Some(map) = (self.sources.config_map)(self.namespace, name) else {
            return if optional { Ok(()) } else { Err(format!("configmap {name:?} not found")) };
        };
        let text = map.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        let binary =
            map.binary_data.iter().flatten().map(|(key, ByteString(bytes))| (key.clone(), bytes.clone()));
        select(files, text.chain(binary), items, mode, optional)
            .map_err(|key| format!("configmap {name:?} has no key {key:?}"))
    }

    fn downward(&self, files: &mut Files, items: &[DownwardAPIVolumeFile], mode: i32) -> Result<(), String> {
        for item in items {
            let text = if let Some(field) = &item.field_ref {
                fields::field(self.pod, &field.field_path)?
            } else if let Some(resource) = &item.resource_field_ref {
                let container = resource.container_name.as_deref().unwrap_or_default();
                fields::resource(self.pod, container, resource)?
            } else {
                continue;
            };
            let mode = bits(item.mode.unwrap_or(mode));
            files.insert(item.path.clone(), Content { bytes: text.into_bytes(), mode });
        }
        Ok(())
    }
}

/// All keys, or the items' keys at the items' paths. The error is the key that is missing.
fn select(
    files: &mut Files,
    data: impl Iterator<Item = (String, Vec<u8>)>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<(), String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        files.extend(data.map(|(key, bytes)| (key, Content { bytes, mode: bits(mode) })));
        return Ok(());
    };
    let data: std::collections::BTreeMap<_, _> = data.collect();
    for item in items {
        match data.get(&item.key) {
            Some(bytes) => {
                let mode = bits(item.mode.unwrap_or(mode));
                files.insert(item.path.clone(), Content { bytes: bytes.clone(), mode });
            }
            None if optional => {}
            None => return Err(item.key.clone()),
        }
    }
    Ok(())
}

fn bits(mode: i32) -> u32 {
    mode as u32 & 0o777
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        Sources {
            secret: Box::new(|namespace, name| {
                let secret = json!({ "data": { "tls.crt": "Y2VydA==", "tls.key": "a2V5" } });
                ((namespace, name) == ("ns", "tls"))
                    .then(|| Arc::new(serde_json::from_value(secret).unwrap()))
            }),
            config_map: Box::new(|_, name| {
                let map = json!({ "data": { "ca.crt": "ca" }, "binaryData": { "raw": "AAE=" } });
                (name == "kube-root-ca.crt").then(|| Arc::new(serde_json::from_value(map).unwrap()))
            }),
        }
    }

    fn files(volume: serde_json::Value) -> Result<Vec<(String, String, u32)>, String> {
        let pod = json!({
            "metadata": { "name": "p", "namespace": "ns", "labels": { "a": "b" } },
            "spec": { "containers": [] },
        });
        let pod = serde_json::from_value(pod).unwrap();
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let mut tokens = Tokens::default();
        tokens.put_for_test("v", "token", "eyJ");
        let files = of(&pod, &volume, &sources(), &tokens)?;
        Ok(files
            .into_iter()
            .map(|(path, c)| (path, String::from_utf8_lossy(&c.bytes).into(), c.mode))
            .collect())
    }

    #[test]
    fn secrets() {
        let all =
            files(json!({ "name": "v", "secret": { "secretName": "tls", "defaultMode": 0o400 } })).unwrap();
        assert_eq!(all, [("tls.crt".into(), "cert".into(), 0o400), ("tls.key".into(), "key".into(), 0o400)]);
        let items = json!([{ "key": "tls.crt", "path": "crt", "mode": 0o444 }]);
        let some = files(json!({ "name": "v", "secret": { "secretName": "tls", "items": items } })).unwrap();
        assert_eq!(some, [("crt".into(), "cert".into(), 0o444)]);
        let missing = json!({ "name": "v", "secret": { "secretName": "late" } });
        assert_eq!(files(missing).unwrap_err(), "secret \"late\" not found");
        let items = json!([{ "key": "nope", "path": "x" }]);
        let wrong = files(json!({ "name": "v", "secret": { "secretName": "tls", "items": items } }));
        assert_eq!(wrong.unwrap_err(), "secret \"tls\" has no key \"nope\"");
        assert_eq!(
            files(json!({ "name": "v", "secret": { "secretName": "late", "optional": true } })),
            Ok(vec![])
        );
    }

    #[test]
    fn projected_as_service_accounts_have_it() {
        let sources = json!([
            { "serviceAccountToken": { "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } }] } },
        ]);
        let all = files(json!({ "name": "v", "projected": { "sources": sources } })).unwrap();
        let expected = [("ca.crt", "ca"), ("namespace", "ns"), ("token", "eyJ")];
        assert_eq!(all, expected.map(|(path, text)| (path.to_owned(), text.to_owned(), 0o644)));
    }

    #[test]
    fn other_kinds_are_refused_with_a_sentence() {
        let claim = json!({ "name": "v", "persistentVolumeClaim": { "claimName": "x" } });
        assert!(files(claim).unwrap_err().contains("it has secret, configMap"));
    }
}
