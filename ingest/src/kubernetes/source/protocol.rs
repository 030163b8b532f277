//! List and watch of one resource, without I/O: which request is next, and what an answer means.

use serde::Deserialize;
use serde_json::Value;

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// The request that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A watch that begins with all objects.
    Stream,
    /// A page of a list; without a limit where a token has expired.
    Page { limit: Option<u32>, token: Option<String> },
    /// A watch from where the last one ended.
    Watch { resource_version: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unlisted,
    Streaming,
    Paging { token: String },
    Watching { resource_version: String },
}

/// The progress of one list and watch.
#[derive(Debug)]
pub(super) struct Protocol {
    state: State,
    /// False once the server has refused to stream lists.
    streams: bool,
    /// False once a continue token has expired.
    pages: bool,
}

/// What a line of a watch says.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// An object is now this.
    Applied(Value),
    /// An object is gone; this is its last state.
    Deleted(Value),
    /// The listing is complete.
    Listed,
    /// Only how far the server is.
    Nothing,
    /// A line about an object that cannot be decoded; its namespace and name if they can be told.
    Undecodable(Option<(String, String)>, String),
    /// The server ends the watch.
    Failed(Failure),
}

/// What to do about an answer that is no good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Ask again at once, in another way.
    Again,
    /// The resource is not served.
    NotServed,
    /// We may not.
    Forbidden(String),
    /// Try again later; what the server said.
    Later(String),
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Value,
}

/// As much as can be read of a line that is no [`Line`].
#[derive(Deserialize)]
struct Stub {
    object: StubObject,
}

#[derive(Deserialize)]
struct StubObject {
    metadata: StubMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StubMetadata {
    #[serde(default)]
    namespace: String,
    name: String,
    resource_version: String,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    #[serde(default)]
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
}

impl Protocol {
    pub(super) fn new() -> Protocol {
        Protocol { state: State::Unlisted, streams: true, pages: true }
    }

    /// The next request, and whether a listing begins with it.
    pub(super) fn ask(&mut self) -> (Ask, bool) {
        match self.state.clone() {
            State::Unlisted | State::Streaming if self.streams => {
                self.state = State::Streaming;
                (Ask::Stream, true)
            }
            State::Unlisted | State::Streaming => {
                (Ask::Page { limit: self.pages.then_some(PAGE), token: None }, true)
            }
            State::Paging { token } => (Ask::Page { limit: Some(PAGE), token: Some(token) }, false),
            State::Watching { resource_version } => (Ask::Watch { resource_version }, false),
        }
    }

    /// An answer without success.
    pub(super) fn refused(&mut self, code: u16, message: &str) -> Failure {
        match code {
            404 => {
                self.state = State::Unlisted;
                Failure::NotServed
            }
            // Servers from before streaming lists say so in this way.
            400 | 422 if self.state == State::Streaming => self.cannot_stream(),
            410 => {
                self.pages &= !matches!(self.state, State::Paging { .. });
                self.state = State::Unlisted;
                Failure::Again
            }
            401 | 403 => Failure::Forbidden(message.to_owned()),
            _ => Failure::Later(format!("it answered {code}: {message}")),
        }
    }

    /// The server does not stream lists: pages from now on.
    pub(super) fn cannot_stream(&mut self) -> Failure {
        self.streams = false;
        self.state = State::Unlisted;
        Failure::Again
    }

    /// True while the initial objects of a streamed list are coming.
    pub(super) fn is_streaming(&self) -> bool {
        self.state == State::Streaming
    }

    /// The answer has ended, in whatever way. A listing that was not complete begins anew.
    pub(super) fn closed(&mut self) {
        if self.state == State::Streaming {
            self.state = State::Unlisted;
        }
    }

    /// A page: its objects, and true if it was the last.
    ///
    /// # Errors
    /// If it is no list; the listing begins anew.
    pub(super) fn page(&mut self, body: &[u8]) -> Result<(Vec<Value>, bool), Failure> {
        let page: Page = serde_json::from_slice(body).map_err(|error| {
            self.state = State::Unlisted;
            Failure::Later(format!("its list cannot be decoded ({error})"))
        })?;
        let token = page.metadata.r#continue.filter(|token| !token.is_empty());
        let last = token.is_none();
        self.state = match token {
            Some(token) => State::Paging { token },
            None => State::Watching { resource_version: page.metadata.resource_version },
        };
        Ok((page.items.unwrap_or_default(), last))
    }

    /// A line of a watch.
    pub(super) fn line(&mut self, line: &[u8]) -> Told {
        let Line { r#type, object } = match serde_json::from_slice(line) {
            Ok(line) => line,
            Err(error) => return self.stub(line, &error),
        };
        match r#type.as_str() {
            "ERROR" => return Told::Failed(self.failed(&object)),
            "BOOKMARK" if self.state == State::Streaming => {
                let annotation = object.pointer("/metadata/annotations/k8s.io~1initial-events-end");
                if annotation.and_then(Value::as_str) != Some("true") {
                    return Told::Nothing;
                }
                self.state = State::Watching { resource_version: String::new() };
                self.advance(&object);
                return Told::Listed;
            }
            _ => self.advance(&object),
        }
        match r#type.as_str() {
            "ADDED" | "MODIFIED" => Told::Applied(object),
            "DELETED" => Told::Deleted(object),
            _ => Told::Nothing,
        }
    }

    fn advance(&mut self, object: &Value) {
        if let State::Watching { resource_version } = &mut self.state
            && let Some(newer) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
            && !newer.is_empty()
        {
            newer.clone_into(resource_version);
        }
    }

    fn failed(&mut self, status: &Value) -> Failure {
        let code = status.get("code").and_then(Value::as_u64).unwrap_or_default();
        let message = status.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        match self.refused(u16::try_from(code).unwrap_or_default(), message) {
            Failure::Later(_) => Failure::Later(format!("it ended the watch with {code}: {message}")),
            other => other,
        }
    }

    fn stub(&mut self, line: &[u8], error: &serde_json::Error) -> Told {
        let Ok(Stub { object: StubObject { metadata } }) = serde_json::from_slice(line) else {
            return Told::Undecodable(None, error.to_string());
        };
        if let State::Watching { resource_version } = &mut self.state {
            *resource_version = metadata.resource_version;
        }
        Told::Undecodable(Some((metadata.namespace, metadata.name)), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Failure, Protocol, Told};

    fn page(token: Option<&str>) -> Ask {
        Ask::Page { limit: Some(500), token: token.map(str::to_owned) }
    }

    fn watch(resource_version: &str) -> Ask {
        Ask::Watch { resource_version: resource_version.to_owned() }
    }

    #[test]
    fn a_streamed_list_goes_on_as_a_watch() {
        let mut protocol = Protocol::new();
        assert_eq!(protocol.ask(), (Ask::Stream, true));
        let added = br#"{"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "9"}}}"#;
        assert!(matches!(protocol.line(added), Told::Applied(_)));
        protocol.closed();
        assert_eq!(protocol.ask(), (Ask::Stream, true), "not complete: once more");
        let end = br#"{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12", "annotations": {"k8s.io/initial-events-end": "true"}}}}"#;
        assert_eq!(protocol.line(end), Told::Listed);
        protocol.closed();
        assert_eq!(protocol.ask(), (watch("12"), false));
        let bookmark = br#"{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}}"#;
        assert_eq!(protocol.line(bookmark), Told::Nothing);
        assert_eq!(protocol.ask(), (watch("20"), false));
        let gone = br#"{"type": "ERROR", "object": {"code": 410, "message": "too old"}}"#;
        assert_eq!(protocol.line(gone), Told::Failed(Failure::Again));
        assert_eq!(protocol.ask(), (Ask::Stream, true));
    }

    #[test]
    fn a_server_that_does_not_stream_is_asked_for_pages() {
        let mut protocol = Protocol::new();
        protocol.ask();
        assert_eq!(protocol.refused(422, "sendInitialEvents is forbidden"), Failure::Again);
        assert_eq!(protocol.ask(), (page(None), true));
        let body = br#"{"metadata": {"resourceVersion": "3", "continue": "t"}, "items": [{}]}"#;
        assert!(!protocol.page(body).unwrap().1);
        assert_eq!(protocol.ask(), (page(Some("t")), false));
        assert_eq!(protocol.refused(410, "expired"), Failure::Again);
        assert_eq!(protocol.ask(), (Ask::Page { limit: None, token: None }, true), "all at once now");
        assert!(protocol.page(br#"{"metadata": {"resourceVersion": "5"}, "items": null}"#).unwrap().1);
        assert_eq!(protocol.ask(), (watch("5"), false));
    }

    #[test]
    fn refusals_keep_the_place() {
        let mut protocol = Protocol::new();
        protocol.refused(422, "");
        protocol.ask();
        protocol.cannot_stream();
        protocol.page(br#"{"metadata": {"resourceVersion": "3"}, "items": []}"#).unwrap();
        assert!(matches!(protocol.refused(429, "slow down"), Failure::Later(_)));
        assert!(matches!(protocol.refused(403, "no"), Failure::Forbidden(_)));
        assert!(matches!(
            protocol.line(b"{\"type\": \"ERROR\", \"object\": {}}"),
            Told::Failed(Failure::Later(_))
        ));
        assert_eq!(protocol.ask(), (watch("3"), false));
        assert_eq!(protocol.refused(404, "gone"), Failure::NotServed);
        assert!(protocol.ask().1);
    }

    #[test]
    fn a_line_that_cannot_be_decoded_says_whose_it_is() {
        let mut protocol = Protocol::new();
        protocol.cannot_stream();
        protocol.page(br#"{"metadata": {"resourceVersion": "3"}, "items": []}"#).unwrap();
        let deep = format!(
            r#"{{"type": "MODIFIED", "object": {{"metadata": {{"name": "a", "namespace": "b", "resourceVersion": "4"}}, "spec": {}{} }}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        let Told::Undecodable(name, _) = protocol.line(deep.as_bytes()) else { panic!("decoded") };
        assert_eq!(name, Some(("b".to_owned(), "a".to_owned())));
        assert_eq!(protocol.ask(), (watch("4"), false));
        assert!(matches!(protocol.line(b"[]"), Told::Undecodable(None, _)));
    }
}
