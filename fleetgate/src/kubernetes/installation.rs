//! Which installation of fleetgate this is. Two of them with one `controllerName` would take the same Gateways from each
//! other, for ever: the second one is refused before it has touched anything.
//!
//! Who has a `controllerName` has a Lease of a name that is made of it, in the installation's own namespace. The Lease
//! is owned by the installation's Deployment, so that it is there as long as the installation is, whoever leads, and goes
//! with it (`docs/adr/0010-one-installation-a-controller-name.md`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use proto::ArcStr;
use tokio::time::{Instant, sleep};

/// The `controllerName` for which nothing else is said.
pub(crate) const CONTROLLER: &str = "fleetgate.dev/gateway";
/// Annotation of the Lease: the `controllerName`.
const OF_CONTROLLER: &str = "fleetgate.dev/controller-name";
/// Annotation of the Lease: the installation's name.
const OF_INSTALLATION: &str = "fleetgate.dev/installation";
/// How long another installation may take to go: it may be in the middle of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A Lease that belongs to no Deployment is somebody's only while it is renewed; this long is waited for that.
const RENEWED: Duration = Duration::from_secs(16);
const PAUSE: Duration = Duration::from_millis(500);
/// Longest value of a label, and longest name of a field manager.
const LONGEST_LABEL: usize = 63;
const LONGEST_MANAGER: usize = 128;

/// One installation; all its replicas say the same of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installation {
    /// The namespace that it is in.
    pub(crate) namespace: String,
    /// Its name: that of the control plane's Deployment.
    pub(crate) name: String,
    /// The `controllerName` of its GatewayClasses.
    pub(crate) controller: ArcStr,
}

/// What makes the Lease of an installation: written with each change of who leads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    /// Name of the Lease.
    pub(crate) lease: String,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The Deployment; empty for a process outside of a cluster.
    pub(crate) owners: Vec<OwnerReference>,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in namespace {}", self.name, self.namespace)
    }
}

impl Installation {
    /// Name of the Lease that says who leads.
    pub(crate) fn lease(&self) -> String {
        match self.is_default() {
            true => "fleetgate".to_owned(),
            false => format!("fleetgate.{}", self.controller.replace('/', ".")),
        }
    }

    /// Who applies fields (`metadata.managedFields`).
    pub(crate) fn field_manager(&self) -> String {
        fit(&self.controller, LONGEST_MANAGER)
    }

    /// Value of the label that tells its objects from those of other installations; none for the default
    /// `controllerName`.
    pub(crate) fn label(&self) -> Option<String> {
        (!self.is_default()).then(|| fit(&self.controller.replace('/', "_"), LONGEST_LABEL))
    }

    fn is_default(&self) -> bool {
        self.controller == CONTROLLER
    }

    /// True if a Lease with our Lease's name is that of another installation.
    fn is_anothers(&self, lease: &Lease) -> bool {
        let said = |name: &str| lease.annotations().get(name).map(String::as_str);
        let elsewhere = lease.namespace().as_deref() != Some(&self.namespace);
        let renamed = said(OF_INSTALLATION).is_some_and(|name| name != self.name);
        // Names of Leases may be equal though those of controllers are not: a.b/c and a/b.c.
        let is_same = said(OF_CONTROLLER).is_none_or(|controller| controller == self.controller.as_str());
        (elsewhere && is_same) || (!elsewhere && (renamed || !is_same))
    }

    /// What the Lease says, and who it goes with.
    async fn describe(&self, client: &Client) -> anyhow::Result<Claim> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &self.namespace);
        let owner = match deployments.get_opt(&self.name).await {
            Ok(found) => found,
            // Without that right the Lease goes with the last process.
            Err(kube::Error::Api(status)) if status.code == 403 => None,
            Err(error) => return Err(error).context("cannot get the Deployment of fleetgate"),
        };
        let owner = owner.and_then(|deployment| {
            Some(OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: self.name.clone(),
                uid: deployment.uid()?,
                ..OwnerReference::default()
            })
        });
        let annotations = [(OF_CONTROLLER, self.controller.as_str()), (OF_INSTALLATION, &self.name)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Claim {
            lease: self.lease(),
            annotations: annotations.into(),
            owners: owner.into_iter().collect(),
        })
    }
}

/// Makes sure that no other installation has our `controllerName`. Nothing but our own Lease is written.
///
/// # Errors
/// A sentence, if there is another one; the API server's.
pub(crate) async fn claim(client: &Client, ours: &Installation) -> anyhow::Result<Claim> {
    let claim = ours.describe(client).await?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), &ours.namespace);
    let own = leases.get_opt(&claim.lease).await.context("cannot get the Lease of fleetgate")?;
    let own = own.filter(|lease| !ours.is_anothers(lease));
    none_stands(client, ours, own.as_ref()).await?;
    if own.is_some() {
        return Ok(claim);
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(claim.lease.clone()),
            annotations: Some(claim.annotations.clone()),
            owner_references: Some(claim.owners.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec::default()),
    };
    let made = match leases.create(&PostParams::default(), &lease).await {
        // Another replica was first; or another installation, which the next look tells.
        Err(kube::Error::Api(status)) if status.code == 409 => leases.get(&claim.lease).await,
        made => made,
    };
    let made = made.context("cannot make the Lease of fleetgate")?;
    // Of two that begin at the same time at least one sees the other, and both know who was first.
    if let Err(refused) = none_stands(client, ours, Some(&made)).await {
        let preconditions = Preconditions { uid: made.uid(), resource_version: made.resource_version() };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        // Another replica may have it by now.
        let _ = leases.delete(&claim.lease, &parameters).await;
        return Err(refused);
    }
    Ok(claim)
}

/// Looks until it is clear that there is no other, or that there is one.
async fn none_stands(client: &Client, ours: &Installation, own: Option<&Lease>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let others = others(client, ours, own).await?;
        let mut doubtful = false;
        let mut standing = None;
        for lease in others {
            let version = lease.resource_version().unwrap_or_default();
            let before = versions.entry(lease.uid().unwrap_or_default()).or_insert_with(|| version.clone());
            if !lease.owner_references().is_empty() || *before != version {
                standing = Some(lease);
            } else {
                doubtful |= holder(&lease).is_some();
            }
        }
        match standing {
            Some(lease) if begun.elapsed() >= PATIENCE => anyhow::bail!(refusal(ours, &lease)),
            None if !doubtful || begun.elapsed() >= RENEWED => return Ok(()),
            _ => sleep(PAUSE).await,
        }
    }
}

/// Leases of other installations with our `controllerName`, but those that came after our own.
async fn others(client: &Client, ours: &Installation, own: Option<&Lease>) -> anyhow::Result<Vec<Lease>> {
    let named = ListParams::default().fields(&format!("metadata.name={}", ours.lease()));
    let found = match Api::<Lease>::all(client.clone()).list(&named).await {
        Ok(found) => found.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            tracing::warn!(
                "whether another installation has controllerName {} cannot be told ({}): grant list on Leases named {}",
                ours.controller,
                status.message,
                ours.lease()
            );
            Vec::new()
        }
        Err(error) => return Err(error).context("cannot list the Leases of fleetgate"),
    };
    let came_first = |lease: &Lease| own.is_none_or(|own| age(lease, own) == Ordering::Less);
    Ok(found.into_iter().filter(|lease| ours.is_anothers(lease) && came_first(lease)).collect())
}

/// The older one is less.
fn age(a: &Lease, b: &Lease) -> Ordering {
    let of = |lease: &Lease| {
        let time = lease.creation_timestamp().map(|time| time.0);
        (time, lease.namespace(), lease.uid())
    };
    of(a).cmp(&of(b))
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn refusal(ours: &Installation, lease: &Lease) -> String {
    let namespace = lease.namespace().unwrap_or_default();
    let name = lease.annotations().get(OF_INSTALLATION).map_or("fleetgate", String::as_str);
    let leads = holder(lease)
        .map_or_else(|| "none of its replicas leads now".to_owned(), |holder| format!("{holder} leads"));
    format!(
        "controllerName {} is taken by installation {name} in namespace {namespace} ({leads}, by Lease {namespace}/{}): \
         uninstall that one, or give this one, {ours}, a controllerName and a GatewayClass of its own (values \
         controllerName and gatewayClass.name, flag --controller-name)",
        ours.controller,
        lease.name_any(),
    )
}

/// A text that fits; a longer one is cut and ends in a hash of the whole.
fn fit(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let kept = text.get(..longest - 9).unwrap_or_default().trim_end_matches(['-', '.', '_', '/']);
    format!("{kept}-{}", &blake3::hash(text.as_bytes()).to_hex()[..8])
}

/// Reads a `controllerName`: of its names Leases and labels are made.
///
/// # Errors
/// A sentence, if it has another form.
pub(crate) fn controller_name(text: &str) -> Result<ArcStr, String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.contains('/') && text.len() <= 200 && text.split(['/', '.']).all(is_label) {
        return Ok(text.into());
    }
    Err("write DOMAIN/PATH in lower-case letters, digits, '-', '.' and '/', e.g. example.com/gateways".into())
}

#[cfg(test)]
#[path = "installation_tests.rs"]
mod tests;
