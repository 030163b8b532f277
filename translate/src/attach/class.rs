//! GatewayClass: which classes are ours.

use proto::{Condition, Fault, ObjectStatus, Report, ResourceKey, literal};

use super::{fault, proxies, sentence, supported};
use crate::cx::{Cx, Output};
use crate::env::Placement;
use crate::ir::Value;
use crate::model::GatewayClass;

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let ours =
        cx.object::<GatewayClass>(key).filter(|class| class.spec.controller_name == cx.env().controller_name);
    let Some(class) = ours else { return Output::of(Value::Absent) };
    let parameters = parameters(key, &class, cx);
    let accepted = match &parameters {
        Ok(_) => Condition::new(literal!("Accepted"), true, literal!("Accepted"), "the class is ours"),
        Err(fault) => {
            Condition::new(literal!("Accepted"), false, literal!("InvalidParameters"), sentence(fault))
        }
    };
    let supported = Condition::new(
        literal!("SupportedVersion"),
        true,
        literal!("SupportedVersion"),
        "the Gateway API version is supported",
    );
    let faults = parameters.clone().err().into_iter().collect();
    let mut output = Output::of(Value::Class(parameters));
    if class.is_kept() {
        // There is nothing to write a status to; its Gateways tell.
        return output;
    }
    output.report = Some(Box::new(Report {
        key: key.clone(),
        status: Some(ObjectStatus {
            observed_generation: cx.generation(key),
            conditions: vec![accepted, supported],
            supported_features: supported::features(cx, key),
            faults,
            ..ObjectStatus::default()
        }),
    }));
    output
}

/// The class's GatewayParameters; where proxies are no pods, nothing is read.
fn parameters(
    key: &ResourceKey,
    class: &GatewayClass,
    cx: &mut Cx<'_>,
) -> Result<Option<ResourceKey>, Fault> {
    let Some(reference) = &class.spec.parameters_ref else { return Ok(None) };
    const FIELD: &str = "spec.parametersRef";
    if cx.env().placement != Placement::Pods {
        let problem = format!("{} is of no kind that this version reads", reference.name);
        return Err(fault(key, FIELD, problem, "remove it"));
    }
    let Some(namespace) = &reference.namespace else {
        return Err(fault(key, FIELD, "namespace is missing", "name the namespace of the GatewayParameters"));
    };
    proxies::referent(key, FIELD, reference, namespace, cx).map(Some)
}
