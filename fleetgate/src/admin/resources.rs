//! `/resources`: the xDS resources of the current or of an older revision.

use http::{Response, StatusCode};
use proto::{Event, Revision};
use serde::{Deserialize, Serialize};

use super::answer::{Body, json, text};
use super::{Admin, Query};
use crate::resources::{Resource, assemble};

/// The answer.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Resources {
    /// What it shows.
    pub(crate) revision: u64,
    /// In order of Gateway, type and name.
    pub(crate) resources: Vec<Shown>,
}

/// One resource. No private key is in it: those never reach the log, from which this is made.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Shown {
    /// `namespace/name`
    pub(crate) gateway: String,
    /// Full name of the message.
    #[serde(rename = "type")]
    pub(crate) message: String,
    /// Its name.
    pub(crate) name: String,
    /// Hash of its content.
    pub(crate) version: String,
    /// The encoded message in base64.
    pub(crate) body: String,
}

impl From<Resource> for Shown {
    fn from(resource: Resource) -> Self {
        use base64::Engine as _;
        Shown {
            gateway: resource.gateway,
            message: resource.message.to_owned(),
            name: resource.name,
            version: resource.version.to_string(),
            body: base64::engine::general_purpose::STANDARD.encode(&resource.body),
        }
    }
}

pub(super) async fn answer(admin: &Admin, query: &Query<'_>) -> Response<Body> {
    let gateway = match query.get("gateway").map(crate::args::gateway).transpose() {
        Ok(gateway) => gateway,
        Err(problem) => return text(StatusCode::BAD_REQUEST, format!("gateway: {problem}\n")),
    };
    let revision = match query.revision("revision") {
        Ok(revision) => revision.unwrap_or_else(|| *admin.log.watch_head().borrow()),
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
    };
    let state = match admin.log.state_at(revision).await {
        Ok(state) => state,
        Err(error) => return text(StatusCode::GONE, format!("{error}\n")),
    };
    let env = admin.env.clone();
    let shown = tokio::task::spawn_blocking(move || translate(revision, state, &env, gateway.as_ref())).await;
    match shown {
        Ok(shown) => json(&shown),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("translating revision {revision}: {error}\n"))
        }
    }
}

fn translate(
    revision: Revision,
    state: Vec<(Revision, Event)>,
    env: &translate::Env,
    gateway: Option<&proto::ResourceKey>,
) -> Resources {
    let snapshot = translate::translate(state.into_iter().map(|(_, event)| event), env);
    let resources = assemble(&snapshot.puts, gateway).into_iter().map(Shown::from).collect();
    Resources { revision: revision.0, resources }
}
