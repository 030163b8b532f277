//! Parents that are not there: of routes, ListenerSets and Gateways.

use proto::{Kind, ResourceKey};

use super::Hint;
use super::objects::{Objects, list, referred, text};

const GROUP: &str = "gateway.networking.k8s.io";
const CORRECT: &str = "create it or correct the reference";

pub(super) fn find(objects: &Objects, hints: &mut Vec<(ResourceKey, Hint)>) {
    for (key, gateway) in objects.all(&Kind::GATEWAY) {
        let class = text(&gateway["spec"]["gatewayClassName"], "");
        hints.extend(of_class(objects, key, class).map(|hint| (key.clone(), hint)));
    }
    for (key, set) in objects.all(&Kind::LISTENER_SET) {
        let gateway = referred(key, &set["spec"]["parentRef"], GROUP, "Gateway");
        if let Some(problem) = missing(objects, &gateway) {
            hints.push((key.clone(), no_parent("spec.parentRef".into(), problem)));
        }
    }
    for (key, route) in objects.routes() {
        let references = list(&route["spec"]["parentRefs"]);
        if references.is_empty() {
            let problem = "it names no parent: nothing serves it".to_owned();
            hints.push((
                key.clone(),
                Hint::new("NoParent", "spec.parentRefs".into(), problem, "name a Gateway"),
            ));
        }
        for (index, reference) in references.iter().enumerate() {
            let parent = referred(key, reference, GROUP, "Gateway");
            let Some(problem) = missing(objects, &parent) else { continue };
            let mut hint = no_parent(format!("spec.parentRefs[{index}]"), problem);
            hint.parent_ref = Some(reference.clone());
            hints.push((key.clone(), hint));
        }
    }
}

fn no_parent(field: String, problem: String) -> Hint {
    Hint::new("NoMatchingParent", field, problem, CORRECT)
}

/// Whose class it is, if not ours.
fn of_class(objects: &Objects, gateway: &ResourceKey, class: &str) -> Option<Hint> {
    let field = || "spec.gatewayClassName".to_owned();
    let key = gateway.sibling(Kind::GATEWAY_CLASS, "", class);
    let Some(found) = objects.get(&key) else {
        let problem = format!("{} does not exist: nobody serves this Gateway", named(&key));
        return Some(Hint::new("NoSuchClass", field(), problem, CORRECT));
    };
    let controller = text(&found["spec"]["controllerName"], "");
    (controller != objects.controller).then(|| {
        let problem = format!("{} is of controller {controller}, not of this fleetgate", named(&key));
        Hint::new("ClassOfAnother", field(), problem, "name a class of this fleetgate, if it is to serve it")
    })
}

/// What of a parent, or of its own parent, is not there.
fn missing(objects: &Objects, parent: &ResourceKey) -> Option<String> {
    if parent.kind != Kind::GATEWAY && parent.kind != Kind::LISTENER_SET {
        return None;
    }
    let Some(found) = objects.get(parent) else { return Some(format!("{} does not exist", named(parent))) };
    if parent.kind == Kind::LISTENER_SET {
        let gateway = referred(parent, &found["spec"]["parentRef"], GROUP, "Gateway");
        let problem = missing(objects, &gateway)?;
        return Some(format!("{problem}, which {} belongs to", named(parent)));
    }
    let class = parent.sibling(Kind::GATEWAY_CLASS, "", text(&found["spec"]["gatewayClassName"], ""));
    let problem = || format!("{} does not exist, which is the class of {}", named(&class), named(parent));
    objects.get(&class).is_none().then(problem)
}

pub(super) fn named(key: &ResourceKey) -> String {
    format!("{} {}", key.kind.kind(), key.namespaced_name())
}
