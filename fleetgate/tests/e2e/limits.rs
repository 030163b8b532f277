//! What attacks and faults of the system may not do: end an Envoy, keep an edit waiting, go untold.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::harness::{Ask, Instance, Scene, Traffic, ask, until};

const RULES: &str = "- backendRefs: [{name: v1, port: 80}]\n";

/// Waits until `/status` has a fault with these words.
async fn reported(instance: &Instance, words: &str) {
    until(words, async || {
        let faults = instance.status().await["faults"].to_string();
        if faults.contains(words) { Ok(()) } else { Err(faults) }
    })
    .await;
}

async fn mended(instance: &Instance) {
    until("no fault is left", async || {
        let faults = instance.status().await["faults"].to_string();
        if faults == "[]" { Ok(()) } else { Err(faults) }
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_is_lost_for_a_moment_ends_nothing() {
    let Some(mut instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "lost");
    let _backend = scene.backend("v1").await;
    scene.apply_rules(RULES).await;
    let (port, request) = (instance.http, Ask::get(&scene.host, "/"));
    let text = fs::read_to_string(instance.config().join("lost.yaml")).unwrap();
    drop(scene);
    // Gone with the scene; the instance keeps it from here on.
    instance.write("lost.yaml", &text);
    until("it is back", async || match ask(port, &request).await?.status {
        200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    let envoy = instance.envoy_pid("infra_shared");
    let traffic = Traffic::start(port, &request).await;
    let (config, aside) = (instance.config(), instance.config().with_extension("aside"));

    // As a mount that is lost: the directory is there, and empty.
    fs::create_dir(&aside).unwrap();
    let files: Vec<_> = fs::read_dir(&config).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    for file in &files {
        fs::rename(config.join(file), aside.join(file)).unwrap();
    }
    reported(&instance, "gone with their directory").await;
    traffic.more(20).await;
    for file in &files {
        fs::rename(aside.join(file), config.join(file)).unwrap();
    }
    mended(&instance).await;

    // Away, another one in its place, and that is filled file by file.
    fs::remove_dir(&aside).unwrap();
    fs::rename(&config, &aside).unwrap();
    reported(&instance, "vanished").await;
    fs::create_dir(&config).unwrap();
    reported(&instance, "gone with their directory").await;
    traffic.more(20).await;
    for file in &files {
        fs::copy(aside.join(file), config.join(file)).unwrap();
        traffic.more(5).await;
    }
    mended(&instance).await;

    // A restart finds it empty.
    for file in &files {
        fs::remove_file(config.join(file)).unwrap();
    }
    instance.signal("KILL");
    traffic.more(5).await;
    instance.restart().await;
    reported(&instance, "empty at the start").await;
    traffic.more(20).await;
    for file in &files {
        fs::rename(aside.join(file), config.join(file)).unwrap();
    }
    mended(&instance).await;
    traffic.more(20).await;
    traffic.stop_with_only(&[(200, "v1")]).await;
    assert_eq!(instance.envoy_pid("infra_shared"), envoy);
}

#[tokio::test]
async fn an_empty_directory_is_taken_at_its_word_after_a_while() {
    let Some(instance) = Instance::spawn_with(&["--directory-grace", "1"]) else { return };
    until("the Gateway is known", async || match instance_objects(&instance).await {
        Ok(objects) if objects.contains("shared") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    instance.remove("gateway.yaml");
    until("the Gateway is gone", async || match instance_objects(&instance).await {
        Ok(objects) if !objects.contains("shared") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn instance_objects(instance: &Instance) -> Result<String, String> {
    let answer = ask(instance.admin, &Ask::get("localhost", "/status")).await?;
    let status: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    Ok(status["objects"].to_string())
}

#[tokio::test]
async fn a_state_directory_that_is_gone_is_told() {
    let Some(mut instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "stateless");
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene.apply_rules(RULES).await;
    let state = instance.config().with_file_name("state");
    let aside = instance.config().with_file_name("state-aside");
    let unready = async |words: &str| {
        until(words, async || {
            let answer = ask(instance.admin, &Ask::get("localhost", "/readyz")).await?;
            let page = String::from_utf8_lossy(&answer.body).into_owned();
            if answer.status == 503 && page.contains(words) { Ok(()) } else { Err(page) }
        })
        .await;
    };
    fs::rename(&state, &aside).unwrap();
    unready("is gone").await;
    assert_eq!(instance.metric("fleetgate_state_directory_ok").await, 0.0);
    assert_eq!(scene.expect_status("/", 200).await.echo().pod, "v1");
    // It serves on, edits included.
    scene.apply_rules(&RULES.replace("v1", "v2")).await;
    until("the edit", async || match scene.get("/").await.brief() {
        (200, pod) if pod == "v2" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    fs::rename(&aside, &state).unwrap();
    // Files can be made no more, by root neither.
    fs::create_dir_all(state.join("probe")).unwrap();
    unready("cannot be written").await;
    fs::remove_dir(state.join("probe")).unwrap();
    drop(scene);
    instance.ready().await;
    assert_eq!(instance.metric("fleetgate_state_directory_ok").await, 1.0);
}

fn send(admin: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", admin)).unwrap();
    // A server that closes at once is right, too.
    let _ = stream.write_all(bytes);
    stream
}

#[tokio::test]
async fn a_thousand_readers_of_the_log_that_do_not_read_hold_up_no_edit() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "readers");
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene.apply_rules(RULES).await;
    let request = b"GET /log?follow=1 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut readers: Vec<TcpStream> = (0..1000).map(|_| send(instance.admin, request)).collect();
    let begun = std::time::Instant::now();
    for (n, pod) in ["v2", "v1", "v2", "v1"].into_iter().enumerate() {
        scene.apply_rules(&RULES.replace("v1", pod)).await;
        until(&format!("edit {n}"), async || match scene.get("/").await.brief() {
            (200, now) if now == pod => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    println!("four edits beside a thousand readers: {:?}", begun.elapsed());
    // Those for whom there is a place are answered; the others are told why not, or have lost their place in the
    // line to a newer connection.
    let (mut followers, mut refused) = (0, 0);
    for reader in &mut readers {
        let mut head = [0; 12];
        match reader.read_exact(&mut head) {
            Ok(()) if &head[9..] == b"200" => followers += 1,
            Ok(()) if &head[9..] == b"503" => refused += 1,
            Err(error) if [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                refused += 1;
            }
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&head)),
        }
    }
    assert_eq!(followers + refused, 1000);
    assert!((1..=64).contains(&followers), "{followers}");
    instance.page("/livez").await;
}

#[tokio::test]
async fn half_requests_to_admin_end_and_keep_nobody_out() {
    let Some(instance) = Instance::start().await else { return };
    let mut halves: Vec<TcpStream> = (0..600).map(|_| send(instance.admin, b"GET /status HT")).collect();
    instance.page("/livez").await;
    instance.page("/status").await;
    let mut rest = Vec::new();
    // The first lost its place, the last has had its time.
    for n in [0, 599] {
        let _ = halves[n].read_to_end(&mut rest);
    }
    let mut large = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: ".to_vec();
    large.extend(vec![b'x'; 64 << 10]);
    let mut large = send(instance.admin, &large);
    let mut answer = String::new();
    let _ = large.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn too_many_open_files_pass() {
    let Some(instance) = Instance::start().await else { return };
    let mut scene = Scene::on(&instance, "files");
    let _backends = [scene.backend("v1").await, scene.backend("v2").await];
    scene.apply_rules(RULES).await;
    let pid = fs::read_to_string(instance.config().with_file_name("state").join("lock")).unwrap();
    let limit = |files: &str| {
        let status =
            Command::new("prlimit").args(["--pid", pid.trim(), &format!("--nofile={files}:")]).status();
        assert!(status.unwrap().success());
    };
    // Fewer than are open, so that not one more can be.
    limit("10");
    let text = fs::read_to_string(instance.config().join("files.yaml")).unwrap();
    instance.write("files.yaml", &text.replace("name: v1", "name: v2"));
    let halves: Vec<TcpStream> = (0..50).map(|_| send(instance.admin, b"GET")).collect();
    until("it is told", async || {
        let log = instance.log();
        if log.contains("Too many open files") { Ok(()) } else { Err(log) }
    })
    .await;
    limit("1000");
    drop(halves);
    until("the edit", async || match scene.get("/").await.brief() {
        (200, pod) if pod == "v2" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    instance.page("/livez").await;
}
