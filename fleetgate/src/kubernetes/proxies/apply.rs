//! Brings the objects of one Gateway to where they should be: what differs is applied, what is too much deleted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use proto::{ArcStr, ProxySpec, ResourceKey, literal};

use super::addresses::{self, Refused};
use super::identity::Identity;
use super::owned::{Objects, Observed, What, owner};
use super::parameters::Parameters;
use super::render::{Ingredients, Rendered, render};
use super::{Deployed, Settings, names};
use crate::pki::Authority;

/// How often something is deleted that changes meanwhile.
const TRIES: usize = 5;

/// What was applied last, so that nothing is applied twice.
#[derive(Clone, Default)]
pub(super) struct Applied {
    pub(super) identity: Option<Identity>,
    /// The hash of what was applied, and the fingerprint of what the server made of it.
    objects: HashMap<(What, String), (blake3::Hash, blake3::Hash)>,
}

/// One Gateway, and all there is to know for it.
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) gateway: ResourceKey,
    pub(super) uid: String,
    pub(super) spec: Arc<ProxySpec>,
    pub(super) settings: Arc<Settings>,
    pub(super) authority: Arc<Authority>,
    pub(super) objects: Objects,
    pub(super) applied: Applied,
}

/// How it went.
pub(super) struct Outcome {
    pub(super) applied: Applied,
    pub(super) deployed: Deployed,
    /// It is worth trying again soon.
    pub(super) failed: bool,
}

/// Why it went wrong: reason and sentence of the Gateway's condition.
struct Problem(ArcStr, String);

impl Job {
    /// Does it, as far as it can be done.
    pub(super) async fn run(mut self) -> Outcome {
        let mut refused = Refused::new();
        let problem = self.apply(&mut refused).await.err();
        let mut deployed = addresses::deployed(&self.gateway, &self.spec, &refused, &self.objects);
        let failed = problem.is_some() || !refused.is_empty();
        if let Some(Problem(reason, message)) = problem {
            deployed.problem = Some((reason, message));
        }
        Outcome { applied: self.applied, deployed, failed }
    }

    /// Notes the Services that cannot be had: the others serve without them.
    async fn apply(&mut self, refused: &mut Refused) -> Result<(), Problem> {
        let parameters = Parameters::of(&self.spec.parameters.to_value());
        let parameters = parameters.map_err(|message| Problem(literal!("Invalid"), message))?;
        let identity = self.identity().await?;
        self.applied.identity = Some(identity.clone());
        let rendered = render(&Ingredients {
            gateway: &self.gateway,
            uid: &self.uid,
            spec: &self.spec,
            parameters: &parameters,
            settings: &self.settings,
            identity: &identity,
        });
        for one in &rendered {
            match self.apply_one(one).await {
                Err(Problem(_, said)) if one.wants_cluster_ip() => refused.insert(one.name.clone(), said),
                applied => applied.map(|()| None)?,
            };
        }
        let kept: HashSet<(What, &str)> = rendered.iter().map(|one| (one.what, one.name.as_str())).collect();
        let extra = self.objects.iter().filter(|((what, name), _)| !kept.contains(&(*what, name.as_str())));
        for ((what, name), observed) in
            extra.map(|(key, observed)| (key.clone(), Arc::clone(observed))).collect::<Vec<_>>()
        {
            delete(&self.client, &self.gateway, what, &name, &observed)
                .await
                .map_err(|error| self.problem(what, &name, &error))?;
            self.applied.objects.remove(&(what, name));
        }
        Ok(())
    }

    /// The one that the Secret has, as long as it is good.
    async fn identity(&self) -> Result<Identity, Problem> {
        let name = names::proxy(&self.gateway);
        let place = (What::Secret, name.clone());
        let untouched = self.applied.objects.get(&place).is_some_and(|(_, fingerprint)| {
            self.objects.get(&place).is_some_and(|observed| observed.fingerprint == *fingerprint)
        });
        let is_good =
            |identity: &&Identity| identity.is_of(&self.authority) && identity.renew_at > SystemTime::now();
        if let Some(identity) = self.applied.identity.as_ref().filter(is_good)
            && untouched
        {
            return Ok(identity.clone());
        }
        let found = self.api(What::Secret).get_opt(&name).await;
        let found = found.map_err(|error| self.problem(What::Secret, &name, &error))?;
        let kept = found.filter(|secret| owner(secret).as_ref() == Some(&self.gateway));
        let kept = kept.and_then(|secret| Identity::of(&secret.data, &self.authority, &self.gateway));
        match kept {
            Some(identity) => Ok(identity),
            None => Identity::issue(&self.authority, &self.gateway).map_err(|error| {
                Problem(literal!("Pending"), format!("no certificate can be made for the proxies: {error:#}"))
            }),
        }
    }

    async fn apply_one(&mut self, one: &Rendered) -> Result<(), Problem> {
        let place = (one.what, one.name.clone());
        let hash = blake3::hash(one.object.to_string().as_bytes());
        let observed = self.objects.get(&place);
        if let (Some((applied, fingerprint)), Some(observed)) = (self.applied.objects.get(&place), observed)
            && *applied == hash
            && *fingerprint == observed.fingerprint
        {
            return Ok(());
        }
        let problem = |error: kube::Error| self.problem(one.what, &one.name, &error);
        let api = self.api(one.what);
        if observed.is_none()
            && let Some(found) = api.get_opt(&one.name).await.map_err(problem)?
        {
            if owner(&found).as_ref() != Some(&self.gateway) {
                let kind = one.what.api().kind;
                let message = format!(
                    "{kind} {}/{} is there and not ours; rename or delete it, or rename the Gateway",
                    self.gateway.namespace, one.name
                );
                return Err(Problem(literal!("Invalid"), message));
            }
            if self.settings.installation.is_none() && names::installation(&found).is_some() {
                let patch = Patch::Merge(names::without_installation());
                api.patch(&one.name, &PatchParams::default(), &patch).await.map_err(problem)?;
            }
        }
        if let Some(observed) = observed
            && one.wants_cluster_ip()
            && observed.service["spec"]["clusterIP"] != one.object["spec"]["clusterIP"]
        {
            // It never changes.
            delete(&self.client, &self.gateway, one.what, &one.name, observed).await.map_err(problem)?;
        }
        let parameters = PatchParams::apply(&self.settings.field_manager).force();
        let made = api.patch(&one.name, &parameters, &Patch::Apply(&one.object)).await.map_err(problem)?;
        let made = Observed::of(one.what, &made);
        self.applied.objects.insert(place.clone(), (hash, made.fingerprint));
        self.objects.insert(place, Arc::new(made));
        Ok(())
    }

    fn api(&self, what: What) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.gateway.namespace, &what.api())
    }

    fn problem(&self, what: What, name: &str, error: &kube::Error) -> Problem {
        let (reason, said) = match error {
            kube::Error::Api(status) => {
                let reason = match status.code {
                    403 if status.message.contains("quota") => literal!("NoResources"),
                    400 | 422 => literal!("Invalid"),
                    _ => literal!("Pending"),
                };
                (reason, status.message.clone())
            }
            other => (literal!("Pending"), other.to_string()),
        };
        let kind = what.api().kind;
        Problem(reason, format!("{kind} {}/{name} cannot be applied: {said}", self.gateway.namespace))
    }
}

/// Deletes an object of a Gateway that moved to another controller, but not one that this one has taken over.
///
/// # Errors
/// The API server's.
pub(super) async fn delete_ours(
    client: &Client,
    gateway: &ResourceKey,
    what: What,
    name: &str,
    settings: &Settings,
) -> kube::Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &gateway.namespace, &what.api());
    for _ in 0..TRIES {
        let Some(found) = api.get_opt(name).await? else { return Ok(()) };
        let is_ours = names::installation(&found) == settings.installation.as_deref();
        if !is_ours || owner(&found).as_ref() != Some(gateway) {
            return Ok(());
        }
        let preconditions =
            Preconditions { uid: found.metadata.uid, resource_version: found.metadata.resource_version };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match api.delete(name, &parameters).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            deleted => return deleted.map(drop),
        }
    }
    Ok(())
}

/// Deletes an object, but not one that has taken its place.
///
/// # Errors
/// The API server's, unless it is gone already.
pub(super) async fn delete(
    client: &Client,
    gateway: &ResourceKey,
    what: What,
    name: &str,
    observed: &Observed,
) -> kube::Result<()> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &gateway.namespace, &what.api());
    let preconditions = Preconditions { uid: Some(observed.uid.clone()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match api.delete(name, &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        deleted => deleted.map(drop),
    }
}
