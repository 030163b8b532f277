//! The module that walks small tables: used where Envoy can load it; where not, Envoy gets one table a
//! listener, and the status says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ask, Instance, Scene, kill, until};

const FILE: &str = "libfleetgate_proxy.so";

#[tokio::test]
async fn a_module_that_is_there_is_used_and_one_that_is_gone_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    fs::copy(built(), &file).unwrap();
    let Some(instance) = started(&file).await else { return };
    let scene = Scene::on(&instance, "module");
    routes_well(&scene).await;
    assert_eq!(route_tables(&instance).await, ("scoped".to_owned(), None));

    // What a running Envoy has loaded stays; the next one finds nothing.
    fs::remove_file(&file).unwrap();
    kill("KILL", instance.envoy_pid("infra_shared"));
    until("the next Envoy is without the module", async || {
        let (mode, fallback) = route_tables(&instance).await;
        if mode == "whole" && fallback.is_some() { Ok(()) } else { Err(format!("{mode} {fallback:?}")) }
    })
    .await;
    routes_well(&scene).await;
}

#[tokio::test]
async fn a_module_that_does_not_load_is_told_and_done_without() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, reason) in [
        ("empty", Vec::new(), "file too short"),
        ("text", b"This is no library.\n".repeat(100), "invalid ELF header"),
        ("without-start", patched(b"on_program_init\0", b"on_another_init\0"), "on_program_init"),
        ("without-filter", patched(b"on_http_filter_new\0", b"on_another_thing__\0"), "on_http_filter_new"),
    ] {
        let file = folder.path().join(name).join(FILE);
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        let Some(instance) = started(&file).await else { return };
        routes_well(&Scene::on(&instance, "module")).await;
        let (mode, fallback) = route_tables(&instance).await;
        let fallback = fallback.unwrap_or_default();
        assert!(mode == "whole" && fallback.contains(reason), "{name}: {mode} {fallback:?}");
        assert_eq!(instance.metric("fleetgate_faults").await, 0.0, "{name}: no object is to blame");
    }
}

/// Envoy takes a module of another ABI version if it has all hooks, and says so in its log only.
#[tokio::test]
async fn a_module_that_tells_another_version_works_as_long_as_it_has_the_hooks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    fs::write(&file, patched(b"v0.2.0\0", b"v9.9.9\0")).unwrap();
    let Some(instance) = started(&file).await else { return };
    routes_well(&Scene::on(&instance, "module")).await;
    assert_eq!(route_tables(&instance).await, ("scoped".to_owned(), None));
}

/// The module with other bytes in all places of these.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut module = fs::read(built()).unwrap();
    let places: Vec<usize> = (0..module.len()).filter(|at| module[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the module has no {:?}", String::from_utf8_lossy(from));
    for at in places {
        module[at..at + to.len()].copy_from_slice(to);
    }
    module
}

#[test]
fn a_module_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_fleetgate"))
        .arg("standalone")
        .args(["--envoy", "none", "--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
        .arg(folder.path())
        .arg("--state-dir")
        .arg(folder.path().join("state"))
        .arg("--proxy-module")
        .arg(folder.path().join(FILE))
        .output()
        .unwrap();
    let error = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{error}");
    assert!(error.contains("no such file: build it with `cargo build -p proxy`"), "{error}");
}

/// The module beside the program under test.
fn built() -> PathBuf {
    let file = Path::new(env!("CARGO_BIN_EXE_fleetgate")).with_file_name(FILE);
    assert!(file.is_file(), "{} is not there: cargo build -p proxy", file.display());
    file
}

/// An instance with this module, and tables of one route each.
async fn started(module: &Path) -> Option<Instance> {
    let arguments = ["--route-table-size", "1", "--proxy-module", module.to_str().unwrap()];
    let mut instance = Instance::spawn_with(&arguments)?;
    instance.ready().await;
    Some(instance)
}

/// Mode and fallback of the connected proxy.
async fn route_tables(instance: &Instance) -> (String, Option<String>) {
    let status = instance.status().await;
    let proxies: Vec<&Value> =
        status["proxies"].as_array().unwrap().iter().filter(|proxy| proxy["connected"] == true).collect();
    let text = |field: &str| {
        let value = &proxies.first()?["routeTables"][field];
        value.as_str().map(str::to_owned)
    };
    (text("mode").unwrap_or_default(), text("fallback"))
}

/// Routes of several hosts and paths are live, and each request finds its own.
async fn routes_well(scene: &Scene<'_>) {
    let redirect = |path: &str, to: &str| {
        format!(
            "- matches: [{{path: {{value: {path}}}}}]\n  \
             filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {to}, port: 80}}}}]\n"
        )
    };
    let routes: Vec<String> = (0..4).map(|n| redirect(&format!("/p{n}"), &format!("p{n}.path"))).collect();
    let mut objects = scene.route("paths", &routes.concat());
    for n in 0..4 {
        let hostnames = format!("[h{n}.example.net]");
        objects += &scene.route_for(&format!("host{n}"), &hostnames, &redirect("/", &format!("h{n}.host")));
    }
    objects += &scene.route_for("wild", "['*.wild.example.net']", &redirect("/", "wild.host"));
    scene.apply(&objects).await;
    let mut expected =
        vec![("a.b.wild.example.net".to_owned(), "/".to_owned(), Some("wild.host".to_owned()))];
    for n in 0..4 {
        expected.push((scene.host.clone(), format!("/p{n}/x"), Some(format!("p{n}.path"))));
        expected.push((format!("h{n}.example.net"), "/x".to_owned(), Some(format!("h{n}.host"))));
        expected.push((format!("u{n}.example.net"), "/".to_owned(), None));
    }
    for (host, path, to) in expected {
        let answer = scene.ask(&Ask::get(&host, &path)).await;
        let location = to.as_ref().map(|to| format!("http://{to}{path}"));
        let status = if to.is_some() { 302 } else { 404 };
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{host}{path}: {answer:?}"
        );
    }
}
