//! What a failed test leaves: objects with their statuses, our log, and what each Envoy has.

use std::path::Path;

use crate::Outcome;
use crate::testbed::Bed;

/// A shell script: kinds that are not installed and pods that end meanwhile are passed over.
const SCRIPT: &str = r#"
cd "$1" || exit 1
for kind in gatewayclasses gateways listenersets httproutes grpcroutes tlsroutes tcproutes udproutes backendtlspolicies \
            referencegrants services endpointslices deployments pods events; do
  kubectl get "$kind" -A -o yaml > "$kind.yaml" 2>/dev/null
done
kubectl logs -n fleetgate-system deploy/fleetgate --tail=-1 > fleetgate.log
for pid in $(pgrep -x envoy); do
  pod=$(nsenter -t "$pid" -u hostname) &&
    nsenter -t "$pid" -n curl -s --max-time 10 'http://127.0.0.1:19000/config_dump?include_eds' > "envoy-$pod.json"
done
true
"#;

pub(super) fn collect(bed: &Bed, folder: &Path) -> Outcome {
    bed.quiet(&["bash", "-c", SCRIPT, "evidence", &folder.to_string_lossy()])
}
