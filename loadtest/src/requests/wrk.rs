//! `wrk`, which sends the requests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::objects::Target;
use crate::process::check_interrupt;

/// An installed wrk, and how it is used.
#[derive(Clone, Debug)]
pub(super) struct Wrk {
    binary: PathBuf,
    seconds: u32,
    connections: u32,
}

/// What one run of wrk did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) per_second: f64,
}

impl Wrk {
    /// The one on PATH.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn find(seconds: u32, connections: u32) -> anyhow::Result<Wrk> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("wrk")).find(|file| file.is_file());
        let Some(binary) = found else {
            bail!("wrk is not on PATH: install it with `apt-get install wrk` (Debian, Ubuntu)");
        };
        Ok(Wrk { binary, seconds, connections })
    }

    /// Asks for the targets in turn, on keep-alive connections, as fast as they are answered. `script` is
    /// a file that this may write.
    ///
    /// # Errors
    /// If wrk fails, or an answer was an error.
    pub(super) fn run(&self, port: u16, targets: &[Target], script: &Path) -> anyhow::Result<Sent> {
        check_interrupt()?;
        fs::write(script, lua(targets)).with_context(|| format!("cannot write {}", script.display()))?;
        let output = Command::new(&self.binary)
            .args(["--threads", "1", "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--script"])
            .arg(script)
            .arg(format!("http://127.0.0.1:{port}/"))
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        check_interrupt()?;
        parse(&text)
    }
}

fn lua(targets: &[Target]) -> String {
    let mut script = String::from("local targets = {\n");
    for Target { host, path } in targets {
        let _ = writeln!(script, "  {{\"{host}\", \"{path}\"}},");
    }
    script += "}
local requests = {}
function init()
  for i, target in ipairs(targets) do
    requests[i] = wrk.format(\"GET\", target[2], {Host = target[1]})
  end
end
local next = 0
function request()
  next = next % #requests + 1
  return requests[next]
end
";
    script
}

fn parse(text: &str) -> anyhow::Result<Sent> {
    for trouble in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = text.lines().find(|line| line.trim_start().starts_with(trouble)) {
            bail!("wrong answers: {}", line.trim());
        }
    }
    let requests =
        text.lines().find_map(|line| line.trim_start().split_once(" requests in ")?.0.parse().ok());
    let per_second = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    match (requests, per_second) {
        (Some(requests), Some(per_second)) if requests > 0 => Ok(Sent { requests, per_second }),
        _ => bail!("wrk printed no number of requests:\n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Sent, lua, parse};
    use crate::objects::Target;

    const REPORT: &str = "Running 3s test @ http://127.0.0.1:1/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   425.62us  139.37us   5.27ms   92.35%
    Req/Sec    37.46k     1.09k   39.01k    83.33%
  111780 requests in 3.00s, 15.99MB read
Requests/sec:  37257.13
Transfer/sec:      5.33MB
";

    #[test]
    fn the_report_is_read() {
        assert_eq!(parse(REPORT).unwrap(), Sent { requests: 111_780, per_second: 37_257.13 });
        assert!(parse("nothing").is_err());
        for trouble in
            ["  Socket errors: connect 0, read 1, write 0, timeout 0", "  Non-2xx or 3xx responses: 7"]
        {
            let error = parse(&format!("{REPORT}{trouble}\n")).unwrap_err().to_string();
            assert!(error.contains(trouble.trim()), "{error}");
        }
    }

    #[test]
    fn the_script_names_each_target() {
        let target = |host: &str| Target { host: host.into(), path: "/p".into() };
        let script = lua(&[target("a"), target("b")]);
        assert!(script.contains("{\"a\", \"/p\"},\n  {\"b\", \"/p\"},"), "{script}");
    }
}
