//! `fleetgate translate`: offline.

use anyhow::Context;
use ingest::directory;
use proto::json::Printer;
use serde_json::{Value, json};

use super::print;
use super::standalone::limits;
use crate::args::{Form, Translate};
use crate::resources::{assemble, to_json};
use crate::status::view;
use crate::yaml::to_yaml;

/// True if no object was refused.
pub(super) fn run(args: &Translate) -> anyhow::Result<bool> {
    let options = directory::Options { limits: limits(), ..directory::Options::new(&args.config) };
    let mut listing = directory::read_once(options).with_context(|| "cannot read --config".to_owned())?;
    let env = translate::Env::default();
    let snapshot = translate::translate(std::mem::take(&mut listing.events), &env);
    let printer = Printer::new().context("the descriptors of Envoy's messages")?;
    let mut resources = Vec::new();
    for resource in assemble(&snapshot.puts, args.gateway.as_ref()) {
        resources.push(json!({
            "gateway": resource.gateway,
            "type": resource.message,
            "name": resource.name,
            "version": resource.version.to_string(),
            "resource": to_json(&printer, resource.message, &resource.body)?,
        }));
    }
    let statuses: Vec<Value> = snapshot
        .reports
        .iter()
        .map(|(key, status)| view::object(key, status, &env.controller_name, None))
        .collect();
    let all = json!({"resources": resources, "statuses": statuses});
    match args.output {
        Form::Json => print(&(serde_json::to_string_pretty(&all)? + "\n"))?,
        Form::Yaml => print(&to_yaml(&all))?,
    }
    let faults: Vec<_> = snapshot.reports.values().flat_map(|status| &status.faults).collect();
    for fault in &listing.faults {
        eprintln!("{fault}");
    }
    let fields: Vec<_> = faults.iter().map(|fault| (fault.object.clone(), fault.field.clone())).collect();
    for (fault, place) in faults.iter().zip(listing.locate(&fields)) {
        match place {
            Some(place) => eprintln!("{}:{}: {fault}", place.file.display(), place.line),
            None => eprintln!("{fault}"),
        }
    }
    Ok(listing.faults.is_empty() && faults.is_empty())
}
