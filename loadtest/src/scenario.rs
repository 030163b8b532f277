//! What is changed, step by step, and which answers belong to each step.

use crate::directory::{Directory, extra_file, route_file, slice_file};
use crate::objects::{Target, slice};
use crate::probe::Answer;

/// Routes that come and go, and routes that are edited, in one cycle.
pub(crate) const EXTRAS: usize = 6;
const EDITED: usize = 3;

/// What a step changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A route appears.
    Add,
    /// A route disappears.
    Remove,
    /// A route changes.
    Edit,
    /// The only endpoint of a Service is replaced by another.
    Endpoint,
}

/// One change of one file.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    file: String,
    content: Option<String>,
    /// What to ask for.
    pub(crate) target: Target,
    /// The answer before.
    pub(crate) old: Answer,
    /// The answer after.
    pub(crate) new: Answer,
}

impl Step {
    /// Changes the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn apply(&self, directory: &Directory) -> anyhow::Result<()> {
        match &self.content {
            Some(content) => directory.put(&self.file, content),
            None => directory.remove(&self.file),
        }
    }
}

/// A backend's name and port.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
}

/// `extras` routes added and removed in turn, so that there are always N or N + 1.
pub(crate) fn propagation(directory: &Directory, pod: &Pod, extras: usize) -> Vec<Step> {
    let there = Answer::of(pod.name, None);
    let step = |number, kind, content, old, new| Step {
        kind,
        file: extra_file(number),
        content,
        target: directory.extra_target(number),
        old,
        new,
    };
    let pair = |number| {
        let content = Some(directory.extra(number));
        [
            step(number, Kind::Add, content, Answer::MISSING, there.clone()),
            step(number, Kind::Remove, None, there.clone(), Answer::MISSING),
        ]
    };
    (0..extras).flat_map(pair).collect()
}

/// Endpoint changes of one Service mixed with edits of routes of other Services.
pub(crate) fn churn(directory: &Directory, pods: &[Pod; 2]) -> Vec<Step> {
    let endpoint = |old: &Pod, new: &Pod| Step {
        kind: Kind::Endpoint,
        file: slice_file(0),
        content: Some(slice(0, new.port)),
        target: directory.target(0),
        old: Answer::of(old.name, None),
        new: Answer::of(new.name, None),
    };
    let edit = |route, old, new| Step {
        kind: Kind::Edit,
        file: route_file(route),
        content: Some(directory.route(route, new)),
        target: directory.target(route),
        old: Answer::of(pods[0].name, old),
        new: Answer::of(pods[0].name, new),
    };
    let editable = (1..10).filter(|route| directory.service_of(*route) != 0).take(EDITED);
    let four = |route| {
        [
            endpoint(&pods[0], &pods[1]),
            edit(route, None, Some("1")),
            endpoint(&pods[1], &pods[0]),
            edit(route, Some("1"), None),
        ]
    };
    editable.flat_map(four).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{EXTRAS, Kind, Pod, churn, propagation};
    use crate::directory::{Directory, Layout};
    use crate::objects::{Answers, Files, Hosts};

    const PODS: [Pod; 2] = [Pod { name: "blue", port: 1 }, Pod { name: "green", port: 2 }];

    fn directory(routes: usize, hosts: Hosts) -> Directory {
        let layout = Layout { routes, hosts, files: Files::Many, answers: Answers::Backend };
        Directory::new("/d".as_ref(), layout)
    }

    #[test]
    fn a_cycle_ends_where_it_began() {
        for hosts in [Hosts::Own, Hosts::Shared, Hosts::Wildcard, Hosts::None] {
            let directory = directory(300, hosts);
            for steps in [propagation(&directory, &PODS[0], EXTRAS), churn(&directory, &PODS)] {
                let mut state = HashMap::new();
                let mut first = HashMap::new();
                for step in &steps {
                    let target = format!("{:?}", step.target);
                    first.entry(target.clone()).or_insert_with(|| step.old.clone());
                    let before = state.insert(target, step.new.clone()).unwrap_or_else(|| step.old.clone());
                    assert_eq!(before, step.old);
                    assert_ne!(step.old, step.new);
                }
                assert_eq!(first, state);
            }
        }
    }

    #[test]
    fn churn_is_half_endpoints_and_half_edits() {
        let steps = churn(&directory(10, Hosts::Own), &PODS);
        let endpoints = steps.iter().filter(|step| step.kind == Kind::Endpoint).count();
        assert_eq!((steps.len(), endpoints), (12, 6));
    }
}
