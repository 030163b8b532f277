//! The authority as a Secret: made if it is missing, and followed when somebody replaces it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::watch;

use super::authority::Authority;
use crate::kubernetes::watching;

/// Name of the Secret: `tls.crt` and `tls.key` of the authority that signs, `ca.crt` with others to trust. One of the
/// user's own, say of a cert-manager Certificate with `isCA`, is taken as it is.
pub(crate) const NAME: &str = "fleetgate-xds-ca";
/// Label of one that we made.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "fleetgate");
/// Pause after the watch of it failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Opens the authority of a namespace; the receiver gets each that takes its place.
///
/// # Errors
/// If the Secret can be neither read nor made, or holds no authority.
pub(crate) async fn open(client: Client, namespace: &str) -> anyhow::Result<watch::Receiver<Arc<Authority>>> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let name = || format!("Secret {namespace}/{NAME}");
    let found = secrets.get_opt(NAME).await.with_context(|| {
        format!("cannot read {}: is the API server there, and may this ServiceAccount get Secrets?", name())
    })?;
    let secret = match found {
        Some(secret) => secret,
        None => make(&secrets).await.with_context(|| format!("cannot make {}", name()))?,
    };
    let authority = authority(&secret).with_context(name)?;
    let (sender, receiver) = watch::channel(Arc::new(authority));
    tokio::spawn(follow(secrets, sender));
    Ok(receiver)
}

/// Another replica may be first: then it is that one's.
async fn make(secrets: &Api<Secret>) -> anyhow::Result<Secret> {
    let (certificate, key) = Authority::make(SystemTime::now())?;
    let part = |name: &str, text: &str| (name.to_owned(), ByteString(text.as_bytes().to_vec()));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(
            [part("tls.crt", &certificate), part("tls.key", &key), part("ca.crt", &certificate)].into(),
        ),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(secrets.get(NAME).await?),
        made => Ok(made?),
    }
}

fn authority(secret: &Secret) -> anyhow::Result<Authority> {
    let part = |name: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name));
        bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
    };
    let needed = |name: &str| part(name).ok_or_else(|| anyhow!("data[\"{name}\"] is missing or no text"));
    Authority::open(needed("tls.crt")?, needed("tls.key")?, part("ca.crt").unwrap_or_default())
}

/// Without it the next process would make another authority, which no proxy trusts until it has a new certificate. The
/// user's own is theirs to make again.
async fn make_again(secrets: &Api<Secret>, gone: &Secret) {
    if gone.labels().get(MANAGED_BY.0).is_none_or(|manager| manager != MANAGED_BY.1) {
        return tracing::error!(
            "Secret {NAME} is gone, which somebody else made: make it again; a fleetgate that starts meanwhile makes an \
             authority of its own, and proxies get other certificates"
        );
    }
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: gone.metadata.labels.clone(),
            annotations: gone.metadata.annotations.clone(),
            ..ObjectMeta::default()
        },
        type_: gone.type_.clone(),
        data: gone.data.clone(),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        // Another replica was first.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Ok(_) => {
            tracing::warn!("Secret {NAME} was deleted: it is made again as it was, for the proxies trust it")
        }
        Err(error) => tracing::error!("Secret {NAME} was deleted, and cannot be made again: {error}"),
    }
}

/// Ends when nobody wants to know any more.
async fn follow(secrets: Api<Secret>, sender: watch::Sender<Arc<Authority>>) {
    let configuration = watching().fields(&format!("metadata.name={NAME}"));
    let mut events = std::pin::pin!(watcher(secrets.clone(), configuration));
    let (mut version, mut last): (_, Option<Secret>) = (None, None);
    let mut listed = false;
    while let Some(event) = events.next().await {
        if sender.is_closed() {
            return;
        }
        match event {
            Ok(Event::Init) => listed = false,
            Ok(Event::Delete(secret)) => make_again(&secrets, &secret).await,
            Ok(Event::InitDone) => {
                if let Some(secret) = last.as_ref().filter(|_| !listed) {
                    make_again(&secrets, secret).await;
                }
            }
            Ok(Event::Apply(secret) | Event::InitApply(secret)) => {
                listed = true;
                last = Some(secret.clone());
                if version.replace(secret.resource_version()) == Some(secret.resource_version()) {
                    continue;
                }
                match authority(&secret) {
                    Ok(authority) => {
                        sender.send_if_modified(|now| {
                            let changed = now.certificate() != authority.certificate()
                                || now.trusted() != authority.trusted();
                            if changed {
                                *now = Arc::new(authority);
                            }
                            changed
                        });
                    }
                    Err(error) => {
                        tracing::error!("Secret {NAME} holds no authority, the last one stays: {error:#}")
                    }
                }
            }
            Err(error) => {
                tracing::warn!("Secret {NAME} cannot be watched: {error}; it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
