//! Which version of a kind the API server serves.

use http::Request;
use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};
use serde::Deserialize;

use super::server::{Error, read};
use crate::kinds::Known;

/// What the server says of a kind.
#[derive(Debug, PartialEq)]
pub(super) enum Served {
    /// The newest version that it serves and we understand.
    As(ApiResource),
    /// Only versions that we do not understand.
    Unknown(Vec<String>),
    /// Not at all: the CRD is not installed.
    Missing,
}

#[derive(Deserialize)]
struct Groups {
    kind: String,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// Asks for a kind. That something is missing is taken only from a list without it, never from a refusal.
pub(super) async fn discover(client: &Client, known: &Known) -> Result<Served, Error> {
    let group = known.kind.group();
    if group.is_empty() {
        // The core group cannot be missing.
        return Ok(Served::As(api(known, known.versions.first().copied().unwrap_or("v1"))));
    }
    let groups: Groups = get(client, "/apis").await?;
    if groups.kind != "APIGroupList" {
        return Err(Error::Lost(format!("/apis is a {}, not an APIGroupList", groups.kind)));
    }
    let Some(group) = groups.groups.into_iter().find(|found| found.name == group) else {
        return Ok(Served::Missing);
    };
    let served: Vec<String> = group.versions.into_iter().map(|version| version.version).collect();
    let has = async |version: &str| -> Result<bool, Error> {
        let resources: Resources = get(client, &format!("/apis/{}/{version}", group.name)).await?;
        Ok(resources.resources.iter().any(|resource| resource.name == known.plural))
    };
    for version in known.versions.iter().filter(|version| served.iter().any(|served| served == *version)) {
        if has(version).await? {
            return Ok(Served::As(api(known, version)));
        }
    }
    let mut unknown = Vec::new();
    for version in served.into_iter().filter(|served| !known.versions.contains(&served.as_str())) {
        if has(&version).await? {
            unknown.push(version);
        }
    }
    Ok(if unknown.is_empty() { Served::Missing } else { Served::Unknown(unknown) })
}

async fn get<T: for<'de> Deserialize<'de>>(client: &Client, path: &str) -> Result<T, Error> {
    let request = Request::get(path).header(http::header::ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|error| Error::Lost(error.to_string()))?;
    let body = read(client, request).await?;
    serde_json::from_slice(&body).map_err(|error| Error::Lost(format!("{path} cannot be decoded ({error})")))
}

fn api(known: &Known, version: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk(known.kind.group(), version, known.kind.kind());
    ApiResource::from_gvk_with_plural(&kind, known.plural)
}
