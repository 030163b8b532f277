//! `fleetgate get`: tables of a running one's status.

use serde_json::{Value, json};

use super::print;
use super::table::align;
use crate::args::{Get, GetForm, What};
use crate::client;
use crate::yaml::to_yaml;

pub(super) async fn run(args: Get) -> anyhow::Result<()> {
    let status: Value = client::get(args.server.admin, "/status").await?;
    let chosen = choose(&status, args.what);
    match args.output {
        Some(GetForm::Json) => print(&(serde_json::to_string_pretty(&json!({"items": chosen}))? + "\n")),
        Some(GetForm::Yaml) => print(&to_yaml(&json!({"items": chosen}))),
        wide => print(&table(args.what, &chosen, wide.is_some())),
    }
}

fn choose(status: &Value, what: What) -> Vec<Value> {
    let list = |field: &str| status[field].as_array().cloned().unwrap_or_default();
    let of_kind = |suffix: &str| {
        let mut objects = list("objects");
        objects.retain(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with(suffix)));
        objects
    };
    match what {
        What::Gateways => of_kind("Gateway"),
        What::Routes => of_kind("Route"),
        What::Proxies => list("proxies"),
    }
}

/// Makes the cells of one item.
type Row = fn(&Value) -> Vec<String>;

fn table(what: What, items: &[Value], wide: bool) -> String {
    let (mut header, row): (Vec<&str>, Row) = match what {
        What::Gateways => {
            (vec!["NAMESPACE", "NAME", "ADDRESS", "ROUTES", "ACCEPTED", "PROGRAMMED"], gateway_row)
        }
        What::Routes => (vec!["NAMESPACE", "NAME", "PARENTS", "ACCEPTED", "RESOLVED"], route_row),
        What::Proxies => (vec!["GATEWAY", "ID", "CONNECTED", "ACKED", "CURRENT"], proxy_row),
    };
    if wide {
        header.push("PROBLEM");
    }
    let mut rows = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for item in items {
        let mut cells = row(item);
        if wide {
            cells.push(problem(item));
        }
        rows.push(cells);
    }
    align(&rows)
}

fn gateway_row(item: &Value) -> Vec<String> {
    let status = &item["status"];
    let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
    let routes: i64 = listeners.iter().filter_map(|listener| listener["attachedRoutes"].as_i64()).sum();
    vec![
        text(&item["metadata"]["namespace"]),
        text(&item["metadata"]["name"]),
        text(&status["addresses"][0]["value"]),
        routes.to_string(),
        condition(&status["conditions"], "Accepted"),
        condition(&status["conditions"], "Programmed"),
    ]
}

fn route_row(item: &Value) -> Vec<String> {
    let parents = item["status"]["parents"].as_array().cloned().unwrap_or_default();
    let all = |kind: &str| {
        let states: Vec<String> =
            parents.iter().map(|parent| condition(&parent["conditions"], kind)).collect();
        states.iter().find(|state| *state != "True").or_else(|| states.first()).cloned().unwrap_or_default()
    };
    let names: Vec<String> = parents.iter().map(|parent| text(&parent["parentRef"]["name"])).collect();
    vec![
        text(&item["metadata"]["namespace"]),
        text(&item["metadata"]["name"]),
        names.join(","),
        all("Accepted"),
        all("ResolvedRefs"),
    ]
}

fn proxy_row(item: &Value) -> Vec<String> {
    ["gateway", "id", "connected", "ackedRevision", "currentRevision"].map(|field| text(&item[field])).into()
}

/// `True`, or `False (Reason)`.
fn condition(conditions: &Value, kind: &str) -> String {
    let all = conditions.as_array().map_or(&[][..], Vec::as_slice);
    let Some(found) = all.iter().find(|condition| condition["type"] == kind) else { return "-".into() };
    match (text(&found["status"]), text(&found["reason"])) {
        (status, _) if status == "True" => status,
        (status, reason) => format!("{status} ({reason})"),
    }
}

/// The first message of what is wrong.
fn problem(item: &Value) -> String {
    if let Some(message) = item["lastNack"]["message"].as_str() {
        return message.to_owned();
    }
    let status = &item["status"];
    let within = |list: &str| status[list].as_array().cloned().unwrap_or_default();
    let nested = within("parents").into_iter().chain(within("listeners"));
    let places = std::iter::once(status.clone()).chain(nested);
    let mut conditions = places.flat_map(|place| place["conditions"].as_array().cloned().unwrap_or_default());
    let wrong = conditions.find(|one| {
        let bad_if = if one["type"] == "Conflicted" { "True" } else { "False" };
        one["status"] == bad_if && one["type"] != "OverlappingTLSConfig"
    });
    wrong.map(|one| text(&one["message"])).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{choose, table};
    use crate::args::What;

    #[test]
    fn gateways_and_routes_are_tables() {
        let accepted = json!([{"type": "Accepted", "status": "True", "reason": "Accepted"},
            {"type": "Programmed", "status": "False", "reason": "Pending", "message": "waiting"}]);
        let status = json!({"objects": [
            {"kind": "Gateway", "metadata": {"namespace": "a", "name": "web"}, "status": {
                "conditions": accepted, "addresses": [{"value": "127.0.0.1"}],
                "listeners": [{"attachedRoutes": 2}]}},
            {"kind": "GatewayClass", "metadata": {"name": "x"}, "status": {}},
            {"kind": "HTTPRoute", "metadata": {"namespace": "a", "name": "r"}, "status": {"parents": [
                {"parentRef": {"name": "web"}, "conditions": [
                    {"type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": "no"}]}]}},
        ]});
        assert_eq!(
            table(What::Gateways, &choose(&status, What::Gateways), true),
            "NAMESPACE   NAME   ADDRESS     ROUTES   ACCEPTED   PROGRAMMED        PROBLEM\n\
             a           web    127.0.0.1   2        True       False (Pending)   waiting\n"
        );
        assert_eq!(
            table(What::Routes, &choose(&status, What::Routes), false),
            "NAMESPACE   NAME   PARENTS   ACCEPTED                   RESOLVED\n\
             a           r      web       False (NoMatchingParent)   -\n"
        );
    }
}
