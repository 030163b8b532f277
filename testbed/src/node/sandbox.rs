//! A pod's network: the bridge, the namespaces that a sleeping process holds, the veth between them.

use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::args::Args;
use super::leftovers::MARK;
use super::tools::{quote, run};

/// Makes the bridge if it is missing, and lets this namespace forward.
///
/// A pod's address is a /32 and all it sends goes through the bridge's address: so each packet between pods passes the
/// rules of Services, both ways. The bridge itself must not apply them: it would drop what goes back to its sender.
/// Whatever is neither a pod nor a Service is refused at once (see `services::nft`).
pub(super) async fn set_up_bridge(args: &Args) -> anyhow::Result<()> {
    let (bridge, address) = (&args.bridge, args.pod_cidr.nth(1));
    let script = format!(
        "set -e
ip link set lo up
ip link show {bridge} >/dev/null 2>&1 || ip link add {bridge} type bridge
ip -o addr show dev {bridge} | grep -q 'inet {address}/' || ip addr add {address}/{prefix} dev {bridge}
ip link set {bridge} up
ip route show default | grep -q default || ip route add default dev {bridge} src {address}
cd /proc/sys/net/ipv4
echo 1 > ip_forward
for file in ../bridge/bridge-nf-call-*; do [ ! -e $file ] || echo 0 > $file; done
for which in all {bridge}; do echo 0 > conf/$which/send_redirects; echo 0 > conf/$which/rp_filter; done
",
        prefix = args.pod_cidr.prefix,
    );
    run(&["sh", "-c", &script], "").await.context("the cluster's bridge can't be set up")?;
    Ok(())
}

/// The namespaces of one pod and its address.
pub(super) struct Sandbox {
    pause: Child,
    /// The process whose namespaces are the pod's.
    pub(super) pid: u32,
    /// The pod's address.
    pub(super) address: Ipv4Addr,
}

impl Sandbox {
    /// Makes the namespaces, and connects them.
    ///
    /// # Errors
    /// A step failed: the sentence has what the command said.
    pub(super) async fn create(
        args: &Args,
        address: Ipv4Addr,
        hostname: &str,
        sysctls: &[(String, String)],
    ) -> anyhow::Result<Sandbox> {
        let mut pause = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "unshare", "--net", "--uts", "--ipc", "sh", "-c"])
            .arg("printf %s \"$0\" > /proc/sys/kernel/hostname; echo; exec sleep infinity >/dev/null")
            .arg(hostname)
            .env(MARK, &args.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("setpriv can't be started")?;
        let pid = pause.id().context("the pod's sleeping process ended at once")?;
        let mut stdout = pause.stdout.take().context("invariant: stdout is a pipe")?;
        stdout.read_u8().await.context("the pod's sleeping process made no namespaces")?;
        let sandbox = Sandbox { pause, pid, address };
        sandbox.connect(args, sysctls).await?;
        Ok(sandbox)
    }

    async fn connect(&self, args: &Args, sysctls: &[(String, String)]) -> anyhow::Result<()> {
        let (outside, inside) = links(args, self.address, self.pid);
        run(&["ip", "-batch", "-"], &outside).await.context("the pod's network can't be set up")?;
        let mut script = format!("set -e\nip -batch - <<'.'\n{inside}.\n");
        for (name, value) in sysctls {
            let path = format!("/proc/sys/{}", name.replace('.', "/"));
            script.push_str(&format!("printf %s {} > {}\n", quote(value), quote(&path)));
        }
        let pid = self.pid.to_string();
        run(&["nsenter", "-t", &pid, "--net", "sh"], &script)
            .await
            .context("the pod's network can't be set up")?;
        Ok(())
    }

    /// Ends the namespaces; the veth goes with them.
    pub(super) async fn destroy(mut self) {
        let _ = self.pause.kill().await;
    }
}

/// The `ip` batches for this side and for the pod's. The hardware address follows from the IP address, so that a
/// neighbour entry stays right when an address is given again.
fn links(args: &Args, address: Ipv4Addr, pid: u32) -> (String, String) {
    let [a, b, c, d] = address.octets();
    let gateway = args.pod_cidr.nth(1);
    let name = format!("veth{a:02x}{b:02x}{c:02x}{d:02x}");
    let outside = format!(
        "link add {name} type veth peer name eth0 netns {pid}
link set {name} addrgenmode none
link set {name} master {} up
",
        args.bridge
    );
    let inside = format!(
        "link set lo up
link set eth0 address 0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x} addrgenmode none
addr add {address}/32 dev eth0
link set eth0 up
route add {gateway} dev eth0 scope link src {address}
route add default via {gateway} dev eth0 src {address}
"
    );
    (outside, inside)
}
