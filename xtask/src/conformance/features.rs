//! The features that the suite is to test.

use super::Options;
use crate::Outcome;
use crate::testbed::Bed;

/// Those of the GatewayClass, or the core ones of the profiles.
pub(super) fn of(bed: &Bed, options: &Options) -> Outcome<String> {
    if options.core {
        let routes = options.profiles.split(',').filter_map(|profile| match profile {
            "GATEWAY-HTTP" => Some("HTTPRoute"),
            "GATEWAY-GRPC" => Some("GRPCRoute"),
            "GATEWAY-TLS" => Some("TLSRoute"),
            "GATEWAY-TCP" => Some("TCPRoute"),
            "GATEWAY-UDP" => Some("UDPRoute"),
            _ => None,
        });
        return Ok(["Gateway", "ReferenceGrant"].into_iter().chain(routes).collect::<Vec<_>>().join(","));
    }
    let path = "jsonpath={range .status.supportedFeatures[*]}{.name},{end}";
    let features = bed.output(&["kubectl", "get", "gatewayclass", "fleetgate", "-o", path])?;
    Ok(features.trim().trim_end_matches(',').to_owned())
}
