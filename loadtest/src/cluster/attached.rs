//! Many routes at once: until the Gateway's `attachedRoutes` is right, and how often its status is written meanwhile.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use kube::api::{WatchEvent, WatchParams};
use tokio::sync::oneshot;

use super::{Api, Scene, at_most};
use crate::check::Check;

/// Until a count must be right.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn measure(scene: &Scene, count: usize, checks: &mut Vec<Check>) -> anyhow::Result<()> {
    let api = &scene.api;
    for up in [true, false] {
        let wanted = if up { count } else { 0 };
        let (began, begun) = oneshot::channel();
        let counted = counted(api, wanted, began);
        let changed = async {
            begun.await.context("the Gateway cannot be watched")?;
            if up {
                api.create_routes(count).await?
            } else {
                api.delete_routes(count).await?
            }
            Ok::<Instant, anyhow::Error>(Instant::now())
        };
        let ((right, writes), last) = tokio::try_join!(counted, changed)?;
        let late = right.saturating_duration_since(last).as_secs_f64() * 1e3;
        let names = match up {
            true => ["attachedRoutes right after the last create, ms", "status writes meanwhile"],
            false => ["attachedRoutes right after the last delete, ms", "status writes meanwhile (down)"],
        };
        checks.push(at_most(names[0], 500.0, late));
        checks.push(at_most(names[1], 10.0, writes as f64));
    }
    Ok(())
}

/// When the count became right, and how many versions of the Gateway there were until then.
async fn counted(api: &Api, wanted: usize, began: oneshot::Sender<()>) -> anyhow::Result<(Instant, usize)> {
    let gateways = api.gateways();
    let version = gateways.list(&Default::default()).await?.metadata.resource_version.unwrap_or_default();
    let parameters = WatchParams::default().fields("metadata.name=web").timeout(290);
    let mut events = pin!(gateways.watch(&parameters, &version).await?);
    let _ = began.send(());
    let mut writes = 0;
    let watching = async {
        while let Some(event) = events.try_next().await? {
            let (WatchEvent::Modified(gateway) | WatchEvent::Added(gateway)) = event else { continue };
            writes += 1;
            let attached = &gateway.data["status"]["listeners"][0]["attachedRoutes"];
            if attached.as_u64() == Some(wanted as u64) {
                return Ok((Instant::now(), writes));
            }
        }
        bail!("the watch of the Gateway ended")
    };
    tokio::time::timeout(PATIENCE, watching).await.context("attachedRoutes did not become right")?
}

/// Removes the routes of another scenario.
pub(super) async fn remove_all(api: &Api, count: usize) -> anyhow::Result<()> {
    api.delete_routes(count).await
}
