//! `fleetgate log`

use serde_json::Value;

use super::{print, tell_whose};
use crate::args::{Log, LogForm};
use crate::client::Client;

pub(super) async fn run(args: Log) -> anyhow::Result<()> {
    let follow = u8::from(args.follow);
    let path = format!("/log?since={}&follow={follow}", args.since);
    let client = Client::of(&args.server).await?;
    tell_whose(&client);
    client
        .lines(&path, |line| match args.output {
            Some(LogForm::Json) => print(&(String::from_utf8_lossy(line) + "\n")),
            None => {
                let line: Value = serde_json::from_slice(line)?;
                match line["error"].as_str() {
                    Some(error) => anyhow::bail!("{error}"),
                    None => print(&one_line(&line)),
                }
            }
        })
        .await
}

/// `12  2026-01-31T08:15:00Z  upsert  HTTPRoute default/web  generation 3`
fn one_line(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let kind = text("kind").split('.').next().unwrap_or_default();
    let name = match (text("namespace"), text("name")) {
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    let generation = event["generation"].as_i64().map(|n| format!("  generation {n}")).unwrap_or_default();
    let line = format!(
        "{:>6}  {}  {:<7} {kind} {name}{generation}",
        event["revision"].as_u64().unwrap_or_default(),
        text("observed"),
        text("change"),
    );
    line.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_event_fits_on_a_line() {
        let event = json!({
            "revision": 12, "observed": "2026-01-31T08:15:00Z", "change": "upsert", "generation": 3,
            "kind": "HTTPRoute.gateway.networking.k8s.io", "namespace": "default", "name": "web",
        });
        let expected = "    12  2026-01-31T08:15:00Z  upsert  HTTPRoute default/web  generation 3\n";
        assert_eq!(super::one_line(&event), expected);
    }
}
