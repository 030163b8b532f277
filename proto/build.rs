//! Compiles the event schema without a protoc binary; with `xds-json`, also takes the descriptors of
//! Envoy's messages from the sources of the envoy-types crate.

use std::{env, error::Error, fs, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/event.proto"], ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    if env::var_os("CARGO_FEATURE_XDS_JSON").is_some() {
        let out = PathBuf::from(env::var("OUT_DIR")?).join("envoy.bin");
        fs::copy(envoy_descriptors()?, out)?;
    }
    Ok(())
}

/// envoy-types ships its descriptor set as a file but not as a constant; `cargo metadata` says where.
fn envoy_descriptors() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--frozen", "--filter-platform", &env::var("TARGET")?])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata does not list envoy-types")?;
    Ok(PathBuf::from(manifest).with_file_name("src").join("generated/types.bin"))
}
