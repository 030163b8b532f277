//! The source against a real API server.
//!
//! The test starts a test bed and then itself once more inside the bed's namespaces.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ingest::kubernetes::source::{Handle, Options, start};
use ingest::{Batch, KeyStore, Known};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use proto::{Change, Event, Kind, ResourceKey};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

/// Set for the part that runs inside.
const INSIDE: &str = "FLEETGATE_TEST_INGEST_INSIDE_BED";

/// A test bed that ends with the test.
struct Bed {
    program: PathBuf,
    tools: PathBuf,
    dir: tempfile::TempDir,
}

impl Bed {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, "--dir"]).arg(self.dir.path()).arg("--tools").arg(&self.tools);
        command
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.command("down").output();
    }
}

#[test]
fn a_real_api_server_is_followed() {
    let (Some(tools), Some(program)) = (needs::testbed(), needs::built("testbed")) else { return };
    let bed = Bed { program, tools, dir: tempfile::tempdir().unwrap() };
    let up = bed.command("up").output().unwrap();
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let mut shell = bed.command("shell");
    shell.arg("--").arg(std::env::current_exe().unwrap());
    shell.args(["--ignored", "--exact", "inside_a_bed", "--nocapture"]).env(INSIDE, bed.dir.path());
    let told = shell.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    // Indented: its summary is none of this program.
    stdout.lines().chain(stderr.lines()).for_each(|line| println!("  | {line}"));
    assert!(told.status.success(), "{}", told.status);
}

async fn client() -> Client {
    let path = std::env::var_os("KUBECONFIG").expect("the bed's shell names its kubeconfig");
    let kubeconfig = kube::config::Kubeconfig::read_from(Path::new(&path)).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

struct Source {
    batches: Receiver<Batch>,
    handle: Handle,
    namespace: String,
}

impl Source {
    async fn start(
        client: &Client,
        namespace: &str,
        namespaces: Vec<String>,
        known: Vec<Known>,
    ) -> (Source, Batch) {
        let options = Options { known, namespaces, ..Options::default() };
        let (batches, handle) = start(client.clone(), options, Arc::new(KeyStore::new()));
        let mut source = Source { batches, handle, namespace: namespace.to_owned() };
        let mut listing = source.batches.recv().await.unwrap();
        while !listing.listed {
            eprintln!("{listing:?}");
            listing = source.batches.recv().await.unwrap();
        }
        (source, listing)
    }

    /// The next event about an object of the test.
    async fn next(&mut self) -> Event {
        loop {
            let batch = self.batches.recv().await.unwrap();
            if let Some(event) = batch.events.into_iter().find(|event| event.key.namespace == *self.namespace)
            {
                return event;
            }
        }
    }
}

fn api(
    client: &Client,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
#[ignore = "a part of another test"]
async fn inside_a_bed() {
    let Some(_dir) = needs::started_by_another_test(INSIDE) else { return };
    let client = client().await;
    let namespaces = api(&client, "", "v1", "Namespace", "namespaces", "");
    let name = format!("ingest-{}", std::process::id());
    let namespace = object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    follow(&client, &name).await;
    namespaces.delete(&name, &DeleteParams::default()).await.unwrap();
}

async fn follow(client: &Client, namespace: &str) {
    let services = api(client, "", "v1", "Service", "services", namespace);
    let service = |port: u16| {
        object(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": [{"port": port}]}}))
    };
    services.create(&PostParams::default(), &service(80)).await.unwrap();
    let (mut source, listing) = Source::start(client, namespace, Vec::new(), Vec::new()).await;
    let has = |kind: Kind| {
        listing.events.iter().any(|event| event.key == ResourceKey::local(kind.clone(), namespace, "s"))
    };
    assert!(has(Kind::SERVICE), "{:?}", listing.events);
    let mut known: Vec<Known> = listing.events.iter().filter_map(Known::of).collect();

    let patch = json!({"spec": {"ports": [{"port": 81}]}});
    services.patch("s", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let event = source.next().await;
    let Change::Upsert(payload) = &event.change else { panic!("{event:?}") };
    let payload: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(payload["spec"]["ports"][0]["port"], 81);
    assert!(payload["metadata"].get("managedFields").is_none() && !event.uid.is_empty());
    assert!(source.handle.seen().api(&Kind::HTTP_ROUTE).is_some(), "the bed has HTTPRoutes");
    status(client, &mut source).await;
    drop(source);

    // After the restart only one namespace is read.
    known.retain(|known| known.key.namespace == *namespace && known.key != event.key);
    known.extend(Known::of(&event));
    services.delete("s", &DeleteParams::default()).await.unwrap();
    let (_source, listing) = Source::start(client, namespace, vec![namespace.to_owned()], known).await;
    let mine: Vec<&Event> = listing.events.iter().filter(|event| !event.key.namespace.is_empty()).collect();
    assert!(mine.len() == 1 && mine[0].change == Change::Delete, "{mine:?}");
}

async fn status(client: &Client, source: &mut Source) {
    let group = "gateway.networking.k8s.io";
    let routes = api(client, group, "v1", "HTTPRoute", "httproutes", &source.namespace);
    let route =
        object(json!({"apiVersion": format!("{group}/v1"), "kind": "HTTPRoute", "metadata": {"name": "r"},
        "spec": {"hostnames": ["a.example.com"]}}));
    routes.create(&PostParams::default(), &route).await.unwrap();
    let key = ResourceKey::local(Kind::HTTP_ROUTE, source.namespace.as_str(), "r");
    let event = source.next().await;
    assert_eq!((&event.key, event.generation), (&key, 1));
    let seen = source.handle.seen().clone();
    let mut changed = seen.changed();
    let status = json!({"status": {"parents": [{"controllerName": "example.com/test",
        "parentRef": {"name": "g"}, "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}]}});
    routes.patch_status("r", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(changed.recv().await.unwrap()[0], key);
    assert_eq!(seen.get(&key).unwrap().status["parents"][0]["controllerName"], "example.com/test");
    routes.delete("r", &DeleteParams::default()).await.unwrap();
    let gone = source.next().await;
    assert_eq!((gone.key, gone.change), (key, Change::Delete));
}
