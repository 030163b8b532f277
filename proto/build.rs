//! With `xds-json`, takes the descriptors of Envoy's messages from the sources of the envoy-types crate.

use std::error::Error;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Names the sources of envoy-types where they are not beside those of other crates, e.g. by a `[patch]`.
const ENVOY_TYPES: &str = "FLEETGATE_ENVOY_TYPES";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={ENVOY_TYPES}");
    if env::var_os("CARGO_FEATURE_XDS_JSON").is_some() {
        let out = PathBuf::from(env::var("OUT_DIR")?).join("envoy.bin");
        let from = envoy_types()?.join("src/generated/types.bin");
        fs::copy(&from, out)
            .map_err(|error| format!("cannot copy Envoy's descriptors from {}: {error}", from.display()))?;
    }
    Ok(())
}

/// Folder of envoy-types. It ships its descriptor set as a file but not as a constant, and cargo tells a
/// build script nothing of its package's dependencies. To ask cargo would need the whole workspace's packages.
fn envoy_types() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(named) = env::var_os(ENVOY_TYPES) {
        return Ok(named.into());
    }
    let version = locked_version("envoy-types")?;
    let sources = sources();
    // In a registry's cache; in a folder of `cargo vendor`.
    let places = [sources.join(format!("envoy-types-{version}")), sources.join("envoy-types")];
    let is_it = |place: &&PathBuf| {
        let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap_or_default();
        manifest.contains("name = \"envoy-types\"") && manifest.contains(&format!("version = \"{version}\""))
    };
    let found = places.iter().find(is_it).ok_or_else(|| {
        format!(
            "the sources of envoy-types {version} are not in {}, where those of prost are; name their folder \
             in {ENVOY_TYPES}",
            sources.display()
        )
    })?;
    Ok(found.clone())
}

/// Version of a package in the workspace's Cargo.lock.
fn locked_version(package: &str) -> Result<String, Box<dyn Error>> {
    let path = Path::new(&env::var("CARGO_MANIFEST_DIR")?).with_file_name("Cargo.lock");
    println!("cargo:rerun-if-changed={}", path.display());
    let lock = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (_, entry) = lock
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .ok_or_else(|| format!("{} does not have {package}", path.display()))?;
    Ok(entry.chars().take_while(|c| *c != '"').collect())
}

/// Folder with the sources of this build's packages: the one that has prost.
fn sources() -> PathBuf {
    let name_rs = <Probe as prost::Name>::type_url();
    let name_rs = Path::new(name_rs.trim_start_matches('/'));
    Path::new("/").join(name_rs).ancestors().nth(3).map(Path::to_owned).unwrap_or_default()
}

/// A message whose name is the file that asks for it: that is `src/name.rs` of prost, which has `type_url`.
#[derive(Clone, PartialEq, prost::Message)]
struct Probe {}

impl prost::Name for Probe {
    const NAME: &'static str = "Probe";
    const PACKAGE: &'static str = "";

    #[track_caller]
    fn full_name() -> String {
        Location::caller().file().to_owned()
    }
}
