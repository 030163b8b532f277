//! A route edited live, and the delta that went out for it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::config::Quickstart;
use super::http;
use super::interrupt::Interrupt;
use super::traffic::{colour, in_words, show_line};
use crate::Outcome;

/// Longest wait for the new answer, and for the ACK.
const LIMIT: Duration = Duration::from_secs(10);

/// Edits the route, shows the first new answer and the delta; returns how many answers were wrong.
pub(super) fn show(quickstart: &Quickstart, admin: SocketAddr, interrupt: &Interrupt) -> Outcome<usize> {
    println!("\n== edit greet.yaml: its backend is green from now on");
    let before = http::get(admin, "/status", &[])?.json()["revision"].as_u64();
    let before = before.ok_or("/status has no revision")?;
    let written = replace(&quickstart.config.join("greet.yaml"), "name: blue", "name: green")?;
    let wrong = ask_until_green(quickstart.gateway, interrupt)?;
    let deltas = acked_deltas(admin, before, interrupt)?;
    for delta in &deltas {
        show_delta(delta, written);
    }
    Ok(wrong + usize::from(deltas.is_empty()))
}

/// Replaces text in a file as editors do, by a rename; returns when, in nanoseconds since 1970.
fn replace(file: &Path, old: &str, new: &str) -> Outcome<u128> {
    let failed = |error: std::io::Error| format!("cannot edit {}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(failed)?;
    let edited = text.replace(old, new);
    if edited == text {
        return Err(format!("{} has no `{old}`", file.display()));
    }
    let draft = file.with_extension("yaml.new");
    fs::write(&draft, edited).map_err(failed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    fs::rename(draft, file).map_err(failed)?;
    Ok(now)
}

/// Asks without a pause. Anything but the old and then the new answer is wrong.
fn ask_until_green(gateway: SocketAddr, interrupt: &Interrupt) -> Outcome<usize> {
    let start = Instant::now();
    let (mut old, mut wrong) = (0, 0);
    loop {
        interrupt.check()?;
        let answer = http::get(gateway, "/greet", &[]);
        match answer.as_ref().map(|answer| (answer.status, colour(answer))) {
            Ok((200, name)) if name == "green" => {
                let request = format!("GET /greet  after {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
                let meanwhile =
                    format!("{}   (before it: {old} from blue, {wrong} other)", in_words(&answer));
                show_line(&request, &meanwhile, wrong == 0);
                return Ok(wrong);
            }
            Ok((200, name)) if name == "blue" => old += 1,
            _ => {
                wrong += 1;
                show_line("GET /greet", &in_words(&answer), false);
            }
        }
        if start.elapsed() > LIMIT {
            println!("GET /greet is not answered by green {} s after the edit   <- WRONG", LIMIT.as_secs());
            return Ok(wrong + 1);
        }
    }
}

/// The deltas after a revision, once all are ACKed; empty, with a line printed, if that does not happen.
fn acked_deltas(admin: SocketAddr, since: u64, interrupt: &Interrupt) -> Outcome<Vec<Value>> {
    let start = Instant::now();
    loop {
        let answer = http::get(admin, &format!("/deltas?since={since}"), &[])?;
        if let Value::Array(deltas) = answer.json()
            && !deltas.is_empty()
            && deltas.iter().all(|delta| delta["acked_ms"].is_number())
        {
            return Ok(deltas);
        }
        if start.elapsed() > LIMIT {
            println!("no ACKed delta after revision {since}: {}   <- WRONG", answer.body.trim());
            return Ok(Vec::new());
        }
        interrupt.pause(Duration::from_millis(5))?;
    }
}

fn show_delta(delta: &Value, written: u128) {
    let list = |field: &str| delta[field].as_array().cloned().unwrap_or_default();
    let (resources, removed) = (list("resources"), list("removed"));
    let observed = delta["observed_unix_nanos"].as_i64().unwrap_or_default();
    let acked = observed as f64 / 1e6 + delta["acked_ms"].as_f64().unwrap_or_default();
    let took = acked - written as f64 / 1e6;
    println!(
        "delta {}: {} bytes, {} changed, {} removed; from the file written to Envoy's ACK {took:.1} ms",
        delta["revision"],
        delta["bytes"],
        resources.len(),
        removed.len(),
    );
    for resource in &resources {
        let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
        println!("  {:<14} {:<48} {:>6} bytes", text("type"), text("name"), resource["bytes"]);
    }
    for name in &removed {
        println!("  removed        {}", name.as_str().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_edit_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "name: blue\n").unwrap();
        super::replace(&file, "name: blue", "name: green").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "name: green\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(super::replace(&file, "name: blue", "x").unwrap_err().contains("has no"));
    }
}
