//! The GatewayClass of our controller.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use super::definitions::Definition;
use super::finding::Finding;

const CHECK: &str = "GatewayClass";

pub(super) async fn check(client: &Client, definitions: &[Definition], controller: &str) -> Finding {
    let found = definitions.iter().find(|definition| definition.plural == "gatewayclasses");
    let Some((definition, version)) = found.and_then(|found| Some((found, found.version()?))) else {
        return Finding::fail(CHECK, "cannot be looked for", "install the Gateway API first");
    };
    let api = ApiResource {
        group: definition.group.clone(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", definition.group),
        kind: "GatewayClass".to_owned(),
        plural: definition.plural.to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &api);
    match api.list(&ListParams::default()).await {
        Ok(list) => {
            let named = |object: DynamicObject| (object.metadata.name.unwrap_or_default(), object.data);
            judge(&list.items.into_iter().map(named).collect::<Vec<_>>(), controller)
        }
        Err(error) => Finding::fail(CHECK, error.to_string(), "grant listing of GatewayClasses"),
    }
}

/// What to make of all the classes, each a name and the rest of the object.
fn judge(classes: &[(String, Value)], controller: &str) -> Finding {
    let ours: Vec<_> =
        classes.iter().filter(|(_, object)| object["spec"]["controllerName"] == controller).collect();
    if ours.is_empty() {
        return Finding::warn(
            CHECK,
            format!("none has controllerName {controller}"),
            "install the chart fleetgate, which makes one (gatewayClass.create), or make one; \
             of another controllerName, say --controller-name",
        );
    }
    let told = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array();
        let accepted = conditions.into_iter().flatten().find(|condition| condition["type"] == "Accepted");
        let of = |field: &str| accepted.and_then(|condition| condition[field].as_str()).unwrap_or_default();
        (of("status").to_owned(), format!("{} {}", of("reason"), of("message")))
    };
    if let Some((name, (_, why))) =
        ours.iter().map(|(name, object)| (name, told(object))).find(|(_, (status, _))| status == "False")
    {
        let found = format!("{name} is not accepted: {}", why.trim());
        return Finding::fail(CHECK, found, format!("correct it: kubectl edit gatewayclass {name}"));
    }
    if let Some((name, _)) = ours.iter().find(|(_, object)| told(object).0 != "True") {
        let found = format!("{name} is not accepted yet");
        return Finding::warn(CHECK, found, "see that fleetgate runs: it accepts the class when it does");
    }
    let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
    Finding::ok(CHECK, format!("{} accepted", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::judge;
    use crate::commands::check::finding::State;

    fn class(name: &str, controller: &str, accepted: &str) -> (String, Value) {
        let conditions =
            json!([{"type": "Accepted", "status": accepted, "reason": "InvalidParameters", "message": "m"}]);
        (
            name.to_owned(),
            json!({"spec": {"controllerName": controller}, "status": {"conditions": conditions}}),
        )
    }

    #[test]
    fn ours_must_be_there_and_accepted() {
        let theirs = class("theirs", "them", "False");
        assert_eq!(judge(std::slice::from_ref(&theirs), "us").state, State::Warn);
        let good = judge(&[theirs, class("a", "us", "True"), class("b", "us", "True")], "us");
        assert_eq!((good.state, good.found.as_str()), (State::Ok, "a, b accepted"));
        let bad = judge(&[class("a", "us", "True"), class("b", "us", "False")], "us");
        assert_eq!((bad.state, bad.found.as_str()), (State::Fail, "b is not accepted: InvalidParameters m"));
        assert_eq!(judge(&[class("a", "us", "Unknown")], "us").state, State::Warn);
        assert_eq!(
            judge(&[("a".into(), json!({"spec": {"controllerName": "us"}}))], "us").state,
            State::Warn
        );
    }
}
