//! Services: rules that send their addresses' traffic to endpoints, and addresses for those of type LoadBalancer.

mod load_balancer;
mod model;
mod nft;

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::tools;
use load_balancer::LoadBalancers;
use model::Ruleset;
use nft::TABLE;

/// Changes come in groups; so long is waited for more.
const SETTLE: Duration = Duration::from_millis(10);

/// Keeps rules and addresses current, until it is dropped.
pub(super) async fn run(cx: Arc<Context>) {
    let _ = cx.services.wait_until_ready().await;
    let _ = cx.slices.wait_until_ready().await;
    let mut changed = cx.endpoints.subscribe();
    let mut balancers = LoadBalancers::new(cx.args.vip_cidr);
    let mut applied: Option<Ruleset> = None;
    loop {
        changed.mark_unchanged();
        let services = cx.services.state();
        let mut settled = balancers.reconcile(&cx, &services).await;
        let desired =
            model::desired(&services, &cx.slices.state(), cx.address, |service| balancers.address(service));
        let text = match &applied {
            Some(old) => nft::difference(old, &desired),
            None => nft::full(&desired, &cx.args),
        };
        if !text.is_empty() {
            match tools::run(&["nft", "-f", "-"], &text).await {
                Ok(_) => applied = Some(desired),
                Err(error) => {
                    tracing::warn!("rules of Services: {error:#}");
                    applied = None;
                    settled = false;
                }
            }
        }
        if settled {
            let _ = changed.changed().await;
            tokio::time::sleep(SETTLE).await;
        } else {
            let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
        }
    }
}

/// Removes all rules.
pub(super) async fn clear() {
    let _ =
        tools::run(&["nft", "-f", "-"], &format!("table ip {TABLE} {{}}\ndelete table ip {TABLE}\n")).await;
}
