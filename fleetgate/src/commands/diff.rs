//! `fleetgate diff`

use std::collections::BTreeMap;

use anyhow::Context;
use base64::Engine as _;
use proto::json::Printer;
use similar::TextDiff;

use super::{print, tell_whose};
use crate::admin::resources::{Resources, Shown};
use crate::args::Diff;
use crate::client::Client;
use crate::resources;

/// Gateway, type and name.
type Name = (String, String, String);

pub(super) async fn run(args: Diff) -> anyhow::Result<()> {
    let gateway = args.gateway.as_ref().map(|key| format!("&gateway={}", key.namespaced_name()));
    let gateway = gateway.unwrap_or_default();
    let at = |revision: u64| format!("/resources?revision={revision}{gateway}");
    let client = Client::of(&args.server).await?;
    tell_whose(&client);
    let old: Resources = client.get(&at(args.from)).await?;
    let new: Resources = client.get(&at(args.to)).await?;
    print(&difference(&by_name(old), &by_name(new), args.from, args.to)?)
}

fn by_name(state: Resources) -> BTreeMap<Name, Shown> {
    let name = |shown: &Shown| (shown.gateway.clone(), shown.message.clone(), shown.name.clone());
    state.resources.into_iter().map(|shown| (name(&shown), shown)).collect()
}

/// A unified diff of each resource that differs.
fn difference(
    old: &BTreeMap<Name, Shown>,
    new: &BTreeMap<Name, Shown>,
    from: u64,
    to: u64,
) -> anyhow::Result<String> {
    let printer = Printer::new().context("the descriptors of Envoy's messages")?;
    let mut names: Vec<&Name> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    for name in names {
        let (before, after) = (old.get(name), new.get(name));
        if before.map(|shown| &shown.version) == after.map(|shown| &shown.version) {
            continue;
        }
        let (before, after) = (body(&printer, before)?, body(&printer, after)?);
        let kind = name.1.rsplit('.').next().unwrap_or_default();
        let title = format!("{} {kind} {}", name.0, name.2);
        let diff = TextDiff::from_lines(&before, &after);
        let header = [format!("{title} @{from}"), format!("{title} @{to}")];
        text += &diff.unified_diff().context_radius(3).header(&header[0], &header[1]).to_string();
    }
    Ok(text)
}

fn body(printer: &Printer, shown: Option<&Shown>) -> anyhow::Result<String> {
    let Some(shown) = shown else { return Ok(String::new()) };
    let body = base64::engine::general_purpose::STANDARD.decode(&shown.body)?;
    Ok(crate::yaml::to_yaml(&resources::to_json(printer, &shown.message, &body)?))
}

#[cfg(test)]
mod tests {
    use super::{Resources, Shown, by_name, difference};

    fn state(revision: u64, name: &str) -> Resources {
        let resources = vec![Shown {
            gateway: "a/b".into(),
            message: "envoy.config.cluster.v3.Cluster".into(),
            name: "c".into(),
            version: name.into(),
            // Field 28, `alt_stat_name`.
            body: {
                use base64::Engine as _;
                let length = u8::try_from(name.len()).unwrap();
                let body = [&[0xe2, 0x01, length], name.as_bytes()].concat();
                base64::engine::general_purpose::STANDARD.encode(body)
            },
        }];
        Resources { revision, resources }
    }

    #[test]
    fn only_what_differs_is_shown() {
        let (old, same) = (by_name(state(1, "x")), by_name(state(2, "x")));
        assert_eq!(difference(&old, &same, 1, 2).unwrap(), "");
        let text = difference(&old, &by_name(state(2, "y")), 1, 2).unwrap();
        assert!(text.starts_with("--- a/b Cluster c @1\n+++ a/b Cluster c @2\n"), "{text}");
        assert!(text.contains("\n-alt_stat_name: x\n+alt_stat_name: \"y\"\n"), "{text}");
    }
}
