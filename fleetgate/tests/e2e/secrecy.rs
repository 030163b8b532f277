//! What other users of the machine must not get at: tokens, private keys, what leads to them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{Authority, Instance, Scene, certificate_secret, free_port, gateway, until};

/// Everything below a directory that others than its owner can use.
fn open_to_others(dir: &Path) -> Vec<PathBuf> {
    let mut open = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.permissions().mode() & 0o077 != 0 {
            open.push(path.clone());
        }
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    open
}

fn loosen(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        if path.is_dir() {
            loosen(&path);
        }
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The tests start it with umask 0.
#[tokio::test]
async fn files_of_the_state_are_for_their_owner_alone() {
    let Some(mut instance) = Instance::start().await else { return };
    let state = instance.state();
    assert_eq!(open_to_others(&state), Vec::<PathBuf>::new());
    instance.signal("TERM");
    assert_eq!(open_to_others(&state), Vec::<PathBuf>::new());
    loosen(&state);
    instance.restart().await;
    assert_eq!(open_to_others(&state), Vec::<PathBuf>::new(), "left open by an earlier version");
}

/// Whoever reads an Envoy's configuration learns no token and no key; and only its owner can.
#[tokio::test]
async fn an_envoy_shows_no_token_and_no_key() {
    let Some(mut scene) = Scene::open("secrecy").await else { return };
    let authority = Authority::new();
    let identity = authority.issue(&["secrecy.example.com"]);
    let port = free_port();
    scene.add(&certificate_secret(&scene.name, "cert", &identity));
    let listener =
        format!("{{name: https, port: {port}, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}");
    scene.add(&gateway(&scene.name, "web", &[listener]));
    scene.write("");
    until("the Gateway serves", async || {
        crate::harness::Connection::tls(port, "secrecy.example.com", authority.der(), "h2").await.map(drop)
    })
    .await;
    let envoy = scene.instance.state().join("envoy");
    let bootstrap: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(envoy.join("secrecy_web.json")).unwrap()).unwrap();
    let admin = &bootstrap["admin"]["address"];
    assert_eq!(admin["pipe"]["path"], "secrecy_web.sock", "an endpoint that others reach: {admin}");
    let socket = fs::metadata(envoy.join("secrecy_web.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let token =
        bootstrap["static_resources"]["secrets"][0]["generic_secret"]["secret"]["inline_string"].clone();
    let token = token.as_str().unwrap().strip_prefix("Bearer secrecy/web.").unwrap().to_owned();
    assert_eq!(token.len(), 64);
    let mut pages = String::new();
    for page in ["/config_dump?include_eds", "/certs", "/server_info", "/clusters", "/listeners?format=json"]
    {
        pages += &String::from_utf8_lossy(&scene.instance.envoy_text("secrecy_web", page).await);
    }
    pages += &fs::read_to_string(envoy.join("secrecy_web.log")).unwrap();
    assert!(pages.contains("secret/secrecy/cert"), "it has the certificate");
    assert!(!pages.contains(&token), "it shows its token");
    for line in identity.private_key.lines().filter(|line| !line.starts_with('-')) {
        assert!(!pages.contains(line), "it shows a private key");
    }
}

/// No crash leaves keys on a disk.
#[tokio::test]
async fn neither_fleetgate_nor_an_envoy_dumps_core() {
    let Some(instance) = Instance::start().await else { return };
    let fleetgate: u32 = fs::read_to_string(instance.state().join("lock")).unwrap().trim().parse().unwrap();
    for pid in [fleetgate, instance.envoy_pid("infra_shared")] {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let words: Vec<&str> = core.split_whitespace().collect();
        assert_eq!(words[4..6], ["1", "1"], "{core}");
    }
}
