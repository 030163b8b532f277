//! What a check found, and how it is shown.

use serde_json::{Value, json};

use crate::commands::table::align;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// fleetgate runs, but not all of it works, or it could not be looked at.
    Warn,
    /// fleetgate does not work.
    Fail,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warn => "WARN",
            State::Fail => "FAIL",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What to do; empty if nothing.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { check: check.into(), state: State::Ok, found: found.into(), remedy: String::new() }
    }

    pub(super) fn warn(
        check: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { check: check.into(), state: State::Warn, found: found.into(), remedy: remedy.into() }
    }

    pub(super) fn fail(
        check: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { check: check.into(), state: State::Fail, found: found.into(), remedy: remedy.into() }
    }
}

pub(super) fn table(findings: &[Finding]) -> String {
    let header = ["STATE", "CHECK", "FOUND", "WHAT TO DO"].map(str::to_owned).to_vec();
    // What others say may have lines of its own.
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let row = |finding: &Finding| {
        let Finding { check, state, found, remedy } = finding;
        vec![state.word().to_owned(), one_line(check), one_line(found), one_line(remedy)]
    };
    align(&std::iter::once(header).chain(findings.iter().map(row)).collect::<Vec<_>>())
}

pub(super) fn json(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        let Finding { check, state, found, remedy } = finding;
        json!({"check": check, "state": state.word(), "found": found, "remedy": remedy})
    };
    let ok = findings.iter().all(|finding| finding.state != State::Fail);
    json!({"ok": ok, "checks": findings.iter().map(one).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::{Finding, json, table};

    #[test]
    fn a_line_each_and_json() {
        let findings = [
            Finding::ok("API server", "Kubernetes v1.37.2"),
            Finding::warn("class", "none", "make one"),
            Finding::fail("a", "two\nlines", "mend it"),
        ];
        assert_eq!(
            table(&findings),
            "STATE   CHECK        FOUND                WHAT TO DO\n\
             OK      API server   Kubernetes v1.37.2\n\
             WARN    class        none                 make one\n\
             FAIL    a            two lines            mend it\n"
        );
        assert_eq!(json(&findings)["ok"], false);
        assert_eq!(json(&findings[..2])["ok"], true);
        assert_eq!(json(&findings)["checks"][2]["state"], "FAIL");
    }
}
