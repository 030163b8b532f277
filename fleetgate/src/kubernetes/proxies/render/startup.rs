//! Why a pod is not ready yet, as an event of it. Until it has its first configuration Envoy serves on its admin interface
//! alone, which nobody reaches from outside the pod; a probe inside asks there.

use serde_json::{Value, json};

use super::Ingredients;
use crate::kubernetes::proxies::bootstrap::{ADMIN_PORT, CONFIG_DIR};

/// It is never failed for good: an Envoy that is started anew has no more configuration than before.
const FOR_EVER: i32 = 1_000_000_000;

/// The probe; none with an image that may have no `bash`.
pub(super) fn probe(from: &Ingredients<'_>) -> Option<Value> {
    let is_ours = from.parameters.envoy_container.image.repository.is_none();
    let probe = json!({
        "exec": {"command": ["/bin/bash", "-c", script(from)]},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": FOR_EVER,
    });
    is_ours.then_some(probe)
}

/// An Envoy that waits in vain, and whose ConfigMap has changed since it read it, is ended: its container is started again
/// with what is there now.
fn script(from: &Ingredients<'_>) -> String {
    let (host, port) = (&from.settings.xds_host, from.settings.xds_port);
    let gateway = from.gateway.namespaced_name();
    format!(
        r#"ask() {{ exec 3<>/dev/tcp/127.0.0.1/{ADMIN_PORT} && printf '%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" "$2" >&3 && cat <&3; }} 2>/dev/null
case $(ask GET /ready) in *' 200 '*) exit 0;; '') echo 'Envoy is not up yet'; exit 1;; esac
up=$(ask GET /server_info | sed -n 's/.*"uptime_current_epoch": *"\([0-9]*\).*/\1/p')
changed=$(stat -c %Y {CONFIG_DIR}/..data 2>/dev/null)
if [ "${{changed:-0}}" -gt $(($(date +%s) - ${{up:-0}})) ]; then
  ask POST /quitquitquit >/dev/null
  echo 'the bootstrap has changed since Envoy read it: it is started anew'
else case $(ask GET '/stats?filter=^control_plane.connected_state$') in
  *': 1'*) echo 'the control plane at {host}:{port} has no configuration for Gateway {gateway} yet: see its status';;
  *) echo 'no configuration yet: the control plane at {host}:{port} is not reached; does it run?';;
esac; fi
exit 1"#
    )
}
