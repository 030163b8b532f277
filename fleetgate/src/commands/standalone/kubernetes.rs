//! `--kubernetes`: objects from an API server, Envoys as pods.

use crate::args::Standalone;

pub(super) async fn run(_args: Standalone) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
