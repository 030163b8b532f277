//! `fleetgate get`: tables of a running one's status.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::print;
use super::table::align;
use crate::args::{Get, GetForm, What};
use crate::client::Client;
use crate::hints::Hinted;
use crate::yaml::to_yaml;

pub(super) async fn run(args: Get) -> anyhow::Result<()> {
    let client = Client::of(&args.server).await?;
    let status: Value = client.get("/status").await?;
    // An older fleetgate has none.
    let hints: Vec<Hinted> = match args.what {
        What::Proxies => Vec::new(),
        What::Gateways | What::Routes => client.get("/hints").await.unwrap_or_default(),
    };
    let mut chosen = choose(&status, args.what);
    if args.what != What::Proxies {
        hint(&mut chosen, hints, args.what);
    }
    let replicas = &status["replicas"];
    let machine = || match replicas.is_array() {
        true => json!({"items": chosen, "replicas": replicas}),
        false => json!({"items": chosen}),
    };
    match args.output {
        Some(GetForm::Json) => print(&(serde_json::to_string_pretty(&machine())? + "\n")),
        Some(GetForm::Yaml) => print(&to_yaml(&machine())),
        wide => print(&(table(args.what, &chosen, wide.is_some(), replicas.is_array()) + &silent(replicas))),
    }
}

fn choose(status: &Value, what: What) -> Vec<Value> {
    match what {
        What::Gateways | What::Routes => {
            let mut objects = list(&status["objects"]).to_vec();
            objects.retain(|object| is_of(what, text(&object["kind"]).as_str()));
            objects
        }
        What::Proxies => list(&status["proxies"]).to_vec(),
    }
}

fn is_of(what: What, kind: &str) -> bool {
    kind.ends_with(if what == What::Gateways { "Gateway" } else { "Route" })
}

/// Gives each object its hints. One that nobody has taken has no status, only those.
fn hint(objects: &mut Vec<Value>, hints: Vec<Hinted>, what: What) {
    let id = |object: &Value| {
        let of = &object["metadata"];
        [&object["kind"], &of["namespace"], &of["name"]].map(text)
    };
    for object in objects.iter_mut() {
        object["hints"] = json!([]);
    }
    let places: HashMap<_, _> =
        objects.iter().enumerate().map(|(place, object)| (id(object), place)).collect();
    for hinted in hints.into_iter().filter(|hinted| is_of(what, &hinted.kind)) {
        let Hinted { api_version, kind, namespace, name, hints } = hinted;
        let place = places.get(&[kind.clone(), namespace.clone(), name.clone()]);
        match place.and_then(|place| objects.get_mut(*place)) {
            Some(object) => object["hints"] = json!(hints),
            None => objects.push(json!({
                "apiVersion": api_version,
                "kind": kind,
                "metadata": {"namespace": namespace, "name": name},
                "status": {},
                "hints": hints,
            })),
        }
    }
    objects.sort_by_cached_key(id);
}

/// Replicas that are not in the answer: what hangs on them is missing.
fn silent(replicas: &Value) -> String {
    let mut told = String::new();
    for one in list(replicas).iter().filter(|one| one["answers"] == false) {
        told += &format!(
            "replica {} does not answer ({}): what hangs on it is missing here\n",
            text(&one["name"]),
            text(&one["problem"])
        );
    }
    if replicas.is_array() && list(replicas).iter().all(|one| one["leads"] != true) {
        told += "no replica that leads answers: addresses and Programmed may be out of date; ask again\n";
    }
    told
}

/// Makes the cells of one item.
type Row = fn(&Value) -> Vec<String>;

/// `replicated`: a proxy hangs on one of several replicas.
fn table(what: What, items: &[Value], wide: bool, replicated: bool) -> String {
    let (mut header, row): (Vec<&str>, Row) = match what {
        What::Gateways => {
            (vec!["NAMESPACE", "NAME", "ADDRESS", "ROUTES", "ACCEPTED", "PROGRAMMED"], gateway_row)
        }
        What::Routes => (vec!["NAMESPACE", "NAME", "KIND", "PARENTS", "ACCEPTED", "RESOLVED"], route_row),
        What::Proxies if replicated => {
            (vec!["GATEWAY", "ID", "REPLICA", "CONNECTED", "ACKED", "CURRENT"], replicated_proxy_row)
        }
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
    let routes: i64 =
        list(&status["listeners"]).iter().filter_map(|listener| listener["attachedRoutes"].as_i64()).sum();
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
    let parents = list(&item["status"]["parents"]);
    let all = |kind: &str| {
        // Of one that is not understood the condition is its own.
        let own = std::iter::once(&item["status"]["conditions"]).filter(|own| own.is_array());
        let places = own.chain(parents.iter().map(|parent| &parent["conditions"]));
        let states: Vec<String> = places.map(|conditions| condition(conditions, kind)).collect();
        states.iter().find(|state| *state != "True").or_else(|| states.first()).cloned()
    };
    let missing = list(&item["hints"]).iter().filter(|hint| hint["parentRef"].is_object());
    let references = parents.iter().chain(missing.clone()).map(|parent| text(&parent["parentRef"]["name"]));
    let nowhere = missing.clone().next().map(|hint| format!("False ({})", text(&hint["reason"])));
    let accepted = all("Accepted").filter(|state| state != "True" || nowhere.is_none()).or(nowhere);
    vec![
        text(&item["metadata"]["namespace"]),
        text(&item["metadata"]["name"]),
        text(&item["kind"]),
        references.collect::<Vec<_>>().join(","),
        accepted.unwrap_or_else(|| "-".to_owned()),
        all("ResolvedRefs").unwrap_or_else(|| "-".to_owned()),
    ]
}

fn proxy_row(item: &Value) -> Vec<String> {
    ["gateway", "id", "connected", "ackedRevision", "currentRevision"].map(|field| text(&item[field])).into()
}

fn replicated_proxy_row(item: &Value) -> Vec<String> {
    let mut cells = proxy_row(item);
    cells.insert(2, text(&item["replica"]));
    cells
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

/// The first message of what is wrong, or else of what may be.
fn problem(item: &Value) -> String {
    if let Some(message) = item["lastNack"]["message"].as_str() {
        return message.to_owned();
    }
    let status = &item["status"];
    let nested = ["parents", "listeners"].into_iter().flat_map(|field| list(&status[field]));
    let mut conditions = std::iter::once(status).chain(nested).flat_map(|place| list(&place["conditions"]));
    let wrong = conditions.find(|one| {
        let bad_if = if one["type"] == "Conflicted" { "True" } else { "False" };
        one["status"] == bad_if && one["type"] != "OverlappingTLSConfig"
    });
    let hint = || {
        let hint = list(&item["hints"]).first()?;
        Some(format!("{}: {}; {}", text(&hint["field"]), text(&hint["problem"]), text(&hint["remedy"])))
    };
    wrong.map(|one| text(&one["message"])).or_else(hint).unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
