//! `fleetgate bootstrap`: for an Envoy of the user's own.

use std::path::Path;
use std::time::SystemTime;

use super::{block_on, print};
use crate::args::Bootstrap;
use crate::envoy::{Module, Xds, bootstrap};
use crate::kubernetes::connect;
use crate::pki::open_authority;
use crate::state_dir;
use crate::token::Tokens;

pub(super) fn run(args: &Bootstrap) -> anyhow::Result<()> {
    if args.kubernetes { block_on(remote(args)) } else { local(args) }
}

fn show(args: &Bootstrap, xds: Xds<'_>) -> anyhow::Result<()> {
    let module = if args.proxy_module { Module::Elsewhere } else { Module::None };
    let made = bootstrap(&args.gateway.namespaced_name(), xds, module);
    print(&(serde_json::to_string_pretty(&made)? + "\n"))
}

/// With the token of a fleetgate on this machine.
fn local(args: &Bootstrap) -> anyhow::Result<()> {
    let config = args.config.as_deref().unwrap_or_else(|| Path::new("."));
    let state = state_dir::resolve(args.state_dir.as_deref(), config)?;
    state_dir::create(&state)?;
    let token = Tokens::open(&state.join("secret"))?.of(&args.gateway);
    show(args, Xds::Local { address: &args.xds, token: &token })
}

/// With a certificate of the authority in the cluster.
async fn remote(args: &Bootstrap) -> anyhow::Result<()> {
    let (client, _) = connect(&args.cluster).await?;
    let authority = open_authority(client, &args.cluster.namespace).await?;
    let issued = authority.borrow().proxy(&args.gateway, SystemTime::now())?;
    let (host, port) = args.cluster.xds_service()?;
    show(args, Xds::Remote { host: &host, port, issued: &issued })
}
