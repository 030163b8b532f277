//! What a failed test leaves: objects with their conditions, events, logs, what fleetgate says of itself, and what each
//! Envoy has.

use std::path::Path;

use crate::Outcome;
use crate::testbed::Bed;

/// A shell script: kinds that are not installed and pods that end meanwhile are passed over.
const SCRIPT: &str = r#"
cd "$1" || exit 1
for kind in gatewayclasses gateways listenersets httproutes grpcroutes tlsroutes tcproutes udproutes backendtlspolicies \
            referencegrants gatewayparameters services endpointslices deployments pods; do
  kubectl get "$kind" -A -o yaml > "$kind.yaml" 2>/dev/null
  if grep -q '^items: \[\]$' "$kind.yaml"; then rm "$kind.yaml"; fi
done
kubectl get gatewayclasses,gateways,listenersets,httproutes,backendtlspolicies -A -o json |
  python3 -c "$2" > conditions.txt
kubectl get pods -A -o wide > pods.txt
kubectl get events -A --sort-by=.metadata.creationTimestamp > events.txt
of() { kubectl get pods -A -l "$1" -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}'; }
logs() {
  kubectl logs -n "$1" "$2" --all-containers --tail=-1 > "$3-$2.log" 2>&1
  kubectl logs -n "$1" "$2" --all-containers --tail=-1 --previous > "$3-$2.previous.log" 2>/dev/null ||
    rm "$3-$2.previous.log"
}
of app.kubernetes.io/name=fleetgate | while read -r namespace pod; do logs "$namespace" "$pod" fleetgate; done
of app.kubernetes.io/managed-by=fleetgate | while read -r namespace pod; do logs "$namespace" "$pod" envoy; done
ask() { nsenter -t "$1" -n curl -s --max-time 10 "http://127.0.0.1:$2"; }
for pid in $(pgrep -x envoy); do
  pod=$(nsenter -t "$pid" -u hostname) && ask "$pid" '19000/config_dump?include_eds' > "envoy-$pod.json"
done
for pid in $(pgrep -x fleetgate); do
  pod=$(nsenter -t "$pid" -u hostname) && ask "$pid" 19000/status > "fleetgate-$pod.json"
done
find . -empty -type f -delete
"#;

/// Each condition of each object in a line; those that one looks for first are marked.
const CONDITIONS: &str = r#"
import json, sys
def told(what, conditions):
    for one in conditions or []:
        good = (one["status"] == "True") != (one["type"] in ("Conflicted", "PartiallyInvalid"))
        good |= one["type"] == "OverlappingTLSConfig"
        print(f"{' ' if good else '!'} {what}: {one['type']}={one['status']} {one['reason']}: {one.get('message', '')}"
              f" (generation {one.get('observedGeneration')})")
for item in json.load(sys.stdin)["items"]:
    metadata, status = item["metadata"], item.get("status") or {}
    name = f"{item['kind']} {metadata.get('namespace', '')}/{metadata['name']} of generation {metadata['generation']}"
    told(name, status.get("conditions"))
    for listener in status.get("listeners") or []:
        told(f"{name}, listener {listener['name']} with {listener.get('attachedRoutes')} routes", listener.get("conditions"))
    for parent in (status.get("parents") or []) + (status.get("ancestors") or []):
        to = parent.get("parentRef") or parent.get("ancestorRef")
        told(f"{name}, parent {to.get('name')}/{to.get('sectionName', '')}", parent.get("conditions"))
    if not status:
        print(f"! {name}: no status")
"#;

pub(super) fn collect(bed: &Bed, folder: &Path) -> Outcome {
    bed.quiet(&["bash", "-c", SCRIPT, "evidence", &folder.to_string_lossy(), CONDITIONS])
}
