//! fleetgate in a bed, as users install it: by its charts.

use crate::testbed::Bed;
use crate::{Outcome, root};

pub(crate) fn install(bed: &Bed) -> Outcome {
    eprintln!("installing fleetgate by its charts");
    let charts = root().join("deploy/charts");
    for (release, values) in [("fleetgate-crds", &[][..]), ("fleetgate", &["--set", "resources=null"])] {
        let chart = charts.join(release);
        let chart = chart.to_string_lossy();
        let install = ["helm", "upgrade", "--install", release, &chart, "--namespace", "fleetgate-system"];
        let wait = ["--create-namespace", "--wait", "--timeout", "120s"];
        bed.quiet(&[&install[..], &wait, values].concat())?;
    }
    let accepted = ["--for=condition=Accepted", "--timeout=60s", "gatewayclass/fleetgate"];
    bed.quiet(&[&["kubectl", "wait"][..], &accepted].concat())
}
