//! `/hints`: what no condition says.

use http::{Response, StatusCode};

use super::Admin;
use super::answer::{Body, json, text};

pub(super) async fn answer(admin: &Admin) -> Response<Body> {
    let revision = *admin.log.watch_head().borrow();
    let state = match admin.log.state_at(revision).await {
        Ok(state) => state,
        Err(error) => return text(StatusCode::GONE, format!("{error}\n")),
    };
    let (statuses, controller) = (std::sync::Arc::clone(&admin.statuses), admin.env.controller_name.clone());
    // All objects are read: that may take a while, and holds nobody up.
    let found = tokio::task::spawn_blocking(move || {
        let events = state.into_iter().map(|(_, event)| event);
        crate::hints::find(events, &controller, &|route| statuses.accepts(route))
    });
    match found.await {
        Ok(found) => json(&found),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("looking for hints: {error}\n")),
    }
}
