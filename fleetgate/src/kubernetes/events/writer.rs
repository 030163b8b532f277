//! Writes Events (`events.k8s.io/v1`). What is said again within a while is counted at the first one, as a series.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::changes::Note;
use crate::kubernetes::lease::micro_time;
use crate::metrics::KUBERNETES_EVENTS;

/// Series that are kept in mind.
const SERIES: usize = 512;
/// For how long.
const LIFE: Duration = Duration::from_secs(6 * 60);
/// The longest that one may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest note and reason, bytes (`events.k8s.io/v1`).
const NOTE: usize = 1024;
const REASON: usize = 128;
/// Of the object's name, bytes: a time follows, and a name has 253.
const NAME: usize = 200;

/// One to write: of an object, as an ObjectReference.
pub(super) struct Told {
    pub(super) regarding: Value,
    pub(super) note: Note,
}

/// One that is there.
struct Series {
    regarding: Value,
    note: Note,
    name: String,
    count: u32,
    at: Instant,
}

pub(super) struct Writer {
    pub(super) client: Client,
    /// `reportingController`
    pub(super) controller: String,
    /// `reportingInstance`
    pub(super) instance: String,
}

impl Writer {
    /// Writes until nobody tells any more.
    pub(super) async fn run(self, mut told: mpsc::Receiver<Told>) {
        let mut series: VecDeque<Series> = VecDeque::new();
        let mut problem = None;
        while let Some(one) = told.recv().await {
            let written = match timeout(PATIENCE, self.write(&mut series, one)).await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(_) => Err("the API server does not answer".to_owned()),
            };
            let result = if written.is_ok() { "written" } else { "failed" };
            metrics::counter!(KUBERNETES_EVENTS, "result" => result).increment(1);
            // Nobody waits for an Event: it is not tried again.
            if let Err(error) = &written
                && problem.as_ref() != Some(error)
            {
                tracing::warn!("Kubernetes Events cannot be written: {error}");
            }
            problem = written.err();
        }
    }

    async fn write(&self, series: &mut VecDeque<Series>, told: Told) -> kube::Result<()> {
        let Told { regarding, note } = told;
        let namespace = regarding["namespace"].as_str().unwrap_or("default");
        let api = self.api(namespace);
        series.retain(|one| one.at.elapsed() < LIFE);
        if let Some(known) = series.iter_mut().find(|one| one.note == note && one.regarding == regarding) {
            (known.count, known.at) = (known.count + 1, Instant::now());
            let patch = json!({"series": {"count": known.count, "lastObservedTime": micro_time()}});
            let patched = api.patch(&known.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            match patched {
                // It has outlived its time at the server.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => return patched.map(drop),
            }
            let name = known.name.clone();
            series.retain(|one| one.name != name);
        }
        let made = self.event(&regarding, namespace, &note);
        let name = made["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let made = serde_json::from_value(made).map_err(kube::Error::SerdeError)?;
        api.create(&PostParams::default(), &made).await?;
        if series.len() >= SERIES {
            series.pop_front();
        }
        series.push_back(Series { regarding, note, name, count: 1, at: Instant::now() });
        Ok(())
    }

    fn event(&self, regarding: &Value, namespace: &str, note: &Note) -> Value {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let object = regarding["name"].as_str().unwrap_or_default();
        let object = cut(object, NAME).trim_end_matches(['-', '.']);
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": format!("{object}.{nanos:x}"), "namespace": namespace},
            "eventTime": micro_time(),
            "reportingController": self.controller,
            "reportingInstance": cut(&self.instance, REASON),
            "regarding": regarding,
            "type": if note.is_warning { "Warning" } else { "Normal" },
            "reason": cut(&note.reason, REASON),
            "action": note.action,
            "note": cut(&note.text, NOTE),
        })
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
        let api = ApiResource::from_gvk_with_plural(&kind, "events");
        Api::namespaced_with(self.client.clone(), namespace, &api)
    }
}

/// The beginning of a text.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
