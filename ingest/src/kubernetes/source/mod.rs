//! The API server as a source of events.
