//! Steps and the delta of each, so that one sees what was *not* sent.
//!
//! ```text
//! apply            objects to create or change, as YAML; all in one batch
//! delete           objects to delete, as `Kind namespace/name` lines
//! ```
//! Answer: pieces put and removed, reports in short, and the nodes computed by stage.

use std::fmt::Write as _;

use proto::{Change, Event, Kind, Report, ResourceKey, Revision};
use translate::{Engine, Env};

struct Session {
    engine: Engine,
    revision: Revision,
}

impl Session {
    fn step(&mut self, directive: &str, input: &str) -> String {
        let events = match directive {
            "apply" => crate::yaml::events(&[input])
                .into_iter()
                .filter(|event| matches!(event.change, Change::Upsert(_)))
                .collect(),
            "delete" => input.lines().map(delete).collect::<Vec<Event>>(),
            other => panic!("no step is called {other}"),
        };
        self.revision = Revision(self.revision.0 + events.len() as u64);
        let delta = self.engine.apply(self.revision, &events);
        assert_eq!(self.engine.verify(), Vec::<String>::new(), "read around the context");
        let mut text = format!("revision {}\n", delta.revision);
        for put in &delta.puts {
            writeln!(text, "put {}", put.key).unwrap();
        }
        for key in &delta.removes {
            writeln!(text, "remove {key}").unwrap();
        }
        for report in &delta.reports {
            writeln!(text, "report {}", short(report)).unwrap();
        }
        let computed: Vec<String> = self
            .engine
            .stats()
            .stages
            .iter()
            .filter(|(_, stage)| stage.recomputed > 0)
            .map(|(name, stage)| format!("{name} {}", stage.recomputed))
            .collect();
        writeln!(
            text,
            "computed: {}",
            if computed.is_empty() { "nothing".into() } else { computed.join(", ") }
        )
        .unwrap();
        text
    }
}

fn delete(line: &str) -> Event {
    let (kind, name) = line.split_once(' ').unwrap();
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let kind = translate::KINDS.iter().find(|known| known.kind() == kind).unwrap().clone();
    let mut event =
        Event::synced(proto::ClusterId::LOCAL, Kind::SERVICE, proto::Epoch(1), proto::Epoch(0), 0);
    event.key = ResourceKey::local(kind, namespace, name);
    event.change = Change::Delete;
    event
}

fn short(report: &Report) -> String {
    let Some(status) = &report.status else { return format!("{} gone", report.key) };
    let conditions = |list: &[proto::Condition]| {
        list.iter().map(|c| format!("{}={}/{}", c.kind, c.status, c.reason)).collect::<Vec<_>>().join(" ")
    };
    let mut parts = vec![conditions(&status.conditions)];
    parts.extend(status.listeners.iter().map(|l| format!("{}[{}]", l.name, l.attached_routes)));
    parts.extend(status.parents.iter().chain(&status.ancestors).map(|parent| conditions(&parent.conditions)));
    parts.extend(status.faults.iter().map(|fault| format!("({})", fault.field)));
    format!(
        "{}: {}",
        report.key,
        parts.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join("; ")
    )
}

#[test]
fn scripts_give_the_deltas_that_they_say() {
    datadriven::walk("testdata/scripts", |file| {
        let mut session = Session { engine: Engine::new(Env::default()), revision: Revision::NONE };
        file.run(|case| session.step(&case.directive, &case.input));
    });
}
