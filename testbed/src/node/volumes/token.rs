//! Service account tokens of projected volumes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, Volume};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::node::context::Context;

/// Tokens by volume and path, each until it is to be renewed.
#[derive(Default)]
pub(crate) struct Tokens(BTreeMap<(String, String), (String, Instant)>);

impl Tokens {
    /// Requests the volume's tokens that are missing or have had four fifths of their time.
    ///
    /// # Errors
    /// The API server refused or did not answer.
    pub(super) async fn request(&mut self, cx: &Context, pod: &Pod, volume: &Volume) -> Result<(), String> {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for token in sources.filter_map(|source| source.service_account_token.as_ref()) {
            let key = (volume.name.clone(), token.path.clone());
            if self.0.get(&key).is_some_and(|(_, renewal)| *renewal > Instant::now()) {
                continue;
            }
            let seconds = token.expiration_seconds.unwrap_or(3600);
            let new = request(cx, pod, token.audience.as_deref(), seconds).await?;
            let renewal = Instant::now() + Duration::from_secs(seconds.unsigned_abs() * 4 / 5);
            self.0.insert(key, (new, renewal));
        }
        Ok(())
    }

    /// The token of this volume and path.
    pub(super) fn get(&self, volume: &str, path: &str) -> Option<&str> {
        self.0.get(&(volume.to_owned(), path.to_owned())).map(|(token, _)| token.as_str())
    }

    /// When the first token has to be renewed.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        self.0.values().map(|(_, renewal)| *renewal).min()
    }

    #[cfg(test)]
    pub(super) fn put_for_test(&mut self, volume: &str, path: &str, token: &str) {
        self.0.insert((volume.into(), path.into()), (token.into(), Instant::now()));
    }
}

async fn request(cx: &Context, pod: &Pod, audience: Option<&str>, seconds: i64) -> Result<String, String> {
    let meta = &pod.metadata;
    let account =
        pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let failed = |error: String| format!("no token for the service account {account:?}: {error}");
    let body = json!({
        "spec": {
            "audiences": audience.into_iter().collect::<Vec<_>>(),
            "expirationSeconds": seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid },
        },
    });
    let body: TokenRequest = serde_json::from_value(body).map_err(|error| failed(error.to_string()))?;
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let accounts = Api::<ServiceAccount>::namespaced(cx.client.clone(), namespace);
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &body)
        .await
        .map_err(|error| failed(error.to_string()))?;
    answer.status.and_then(|status| status.token).ok_or_else(|| failed("the answer has none".into()))
}
