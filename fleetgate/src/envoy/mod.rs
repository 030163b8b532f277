//! Managed Envoys: one process a Gateway, as long as the Gateway is accepted.

mod backoff;
mod bootstrap;
mod drain;
mod files;
mod find;
mod keeper;
mod module;
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proto::ResourceKey;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use bootstrap::{Module, Xds, admin_socket, bootstrap, server_names};
pub(crate) use find::find;
pub(crate) use module::find as find_module;

use crate::listen::Listen;
use crate::token::Tokens;
use files::Files;
use keeper::{Order, SystemClock, keep};
use process::Spec;

/// What all managed Envoys have in common.
pub(crate) struct Fleet {
    /// The program.
    pub(crate) program: PathBuf,
    /// Worker threads of each.
    pub(crate) concurrency: u32,
    /// Folder of their module, if they have one.
    pub(crate) module: Option<PathBuf>,
    /// Directory of their files.
    pub(crate) dir: PathBuf,
    /// Where they ask for their configuration.
    pub(crate) xds: Listen,
    /// Who they are.
    pub(crate) tokens: Tokens,
}

impl Fleet {
    fn spec(&self, gateway: &ResourceKey) -> Spec {
        let module = self.module.as_deref().map_or(Module::None, Module::In);
        let token = self.tokens.of(gateway);
        let xds = Xds::Local { address: &self.xds, token: &token };
        let mut bootstrap = bootstrap(&gateway.namespaced_name(), xds, module);
        let files = Files::new(&self.dir, gateway);
        bootstrap["admin"] = admin_socket(&files.admin_name());
        Spec {
            program: self.program.clone(),
            concurrency: self.concurrency,
            module: self.module.clone(),
            files,
            bootstrap: bootstrap.to_string(),
        }
    }
}

struct Kept {
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// Whether Envoys are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// They are not.
    No,
    /// Once nothing is under way.
    Drained,
    /// At once.
    Now,
}

/// Keeps one Envoy running for each Gateway in `wanted` until it is told to stop; then returns after it ended them all
/// or, with `leave`, left them running.
pub(crate) async fn supervise(
    fleet: Fleet,
    mut wanted: watch::Receiver<BTreeSet<ResourceKey>>,
    mut stop: watch::Receiver<Stop>,
    leave: bool,
) {
    let mut pool = Pool::default();
    loop {
        let now = wanted.borrow_and_update().clone();
        pool.settle(&fleet, &now);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { break },
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
        }
    }
    pool.finish(if leave { Order::Leave } else { Order::End }, stop).await;
}

#[derive(Default)]
struct Pool {
    kept: BTreeMap<ResourceKey, Kept>,
    /// A Gateway that comes back must wait for its old Envoy to let go of the ports.
    ending: BTreeMap<ResourceKey, Kept>,
}

impl Pool {
    fn settle(&mut self, fleet: &Fleet, wanted: &BTreeSet<ResourceKey>) {
        let gone: Vec<ResourceKey> = self.kept.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for gateway in gone {
            if let Some(kept) = self.kept.remove(&gateway) {
                kept.orders.send_replace(Order::End);
                self.ending.insert(gateway, kept);
            }
        }
        for gateway in wanted {
            if !self.kept.contains_key(gateway) {
                let before = self.ending.remove(gateway);
                self.kept.insert(gateway.clone(), start(fleet, gateway, before));
            }
        }
        self.ending.retain(|_, kept| !kept.task.is_finished());
        metrics::gauge!(crate::metrics::ENVOYS).set(self.kept.len() as f64);
    }

    async fn finish(self, last: Order, mut stop: watch::Receiver<Stop>) {
        let Pool { kept, ending } = self;
        for Kept { orders, .. } in kept.values() {
            orders.send_replace(last);
        }
        let mut orders = Vec::new();
        let kept = kept.into_values().chain(ending.into_values()).map(|kept| {
            // Held until its keeper has read the order.
            orders.push(kept.orders);
            kept.task
        });
        let tasks: Vec<_> = kept.collect();
        let ended = async {
            for task in tasks {
                // A keeper that panicked has nothing left to wait for.
                let _ = task.await;
            }
        };
        let hurry = async {
            if last == Order::End && stop.wait_for(|stop| *stop == Stop::Now).await.is_ok() {
                orders.iter().for_each(|orders| {
                    orders.send_replace(Order::EndNow);
                });
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ended => {}
            () = hurry => {}
        }
    }
}

fn start(fleet: &Fleet, gateway: &ResourceKey, before: Option<Kept>) -> Kept {
    let (orders, receiver) = watch::channel(Order::Run);
    let spec = fleet.spec(gateway);
    let name = gateway.namespaced_name();
    let task = tokio::spawn(async move {
        if let Some(Kept { orders, task }) = before {
            orders.send_replace(Order::EndNow);
            let _ = task.await;
        }
        keep(name, spec, SystemClock, receiver).await;
    });
    Kept { orders, task }
}
