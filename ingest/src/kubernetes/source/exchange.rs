//! One request and its answer: a thin shell around [`Protocol`] and [`super::objects::Objects`].

use std::time::Duration;

use http_body_util::BodyExt;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject, Request, Resource};
use kube::runtime::utils::Backoff;
use proto::{Event, ResourceKey};
use tokio::time::{Instant, timeout};

use super::decode::{decode, key, named};
use super::lines::{Line, Lines};
use super::protocol::{Ask, Failure, Protocol, Told};
use super::server::{Error, Refused, causes, read, send};
use super::watch::{End, Ended, Watch};
use crate::object::Refusal;

/// Silence after which a server that ought to stream a list is asked for pages instead.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);

/// A watch that ends sooner, and without a word, is not resumed at once.
const SHORT: Duration = Duration::from_secs(1);

/// Seconds of one watch, as the server is asked to hold it.
const WATCH_SECONDS: u32 = 240;

/// Silence after which a watch is taken for lost, though nobody has closed it. Of most resources the server sends a
/// bookmark a minute (<https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks>); a watch of
/// others is resumed for nothing, which costs as little.
const SILENCE: Duration = Duration::from_secs(90);

impl Watch {
    /// One request and its answer, to the end of it.
    pub(super) async fn exchange(
        &mut self,
        api: &ApiResource,
        protocol: &mut Protocol,
    ) -> Result<End, Ended> {
        let (ask, begins) = protocol.ask();
        if begins {
            self.objects.begin();
        }
        let request = match self.request(api, &ask) {
            Ok(request) => request,
            Err(error) => return self.lost(error.to_string()).await,
        };
        let answer = if let Ask::Page { .. } = ask {
            match read(&self.client, request).await {
                Ok(page) => return self.page(api, protocol, &page).await,
                Err(error) => Err(error),
            }
        } else {
            send(&self.client, request).await
        };
        match answer {
            Ok(body) => self.lines(api, protocol, body).await,
            Err(Error::Lost(problem)) => {
                protocol.closed();
                self.lost(problem).await
            }
            Err(Error::Refused(Refused { code, message, retry_after })) => {
                let failure = protocol.refused(code, &message);
                // A listing that helps not must not become a loop.
                if failure == Failure::Again && matches!(ask, Ask::Watch { .. }) {
                    return Ok(End::Later(retry_after));
                }
                self.fail(failure, retry_after).await
            }
        }
    }

    fn request(
        &self,
        api: &ApiResource,
        ask: &Ask,
    ) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        let mut fields: Vec<String> =
            self.scope.known.fields.iter().map(|fields| (*fields).to_owned()).collect();
        let mut namespace = self.scope.namespace.as_deref();
        if self.scope.known.kind.is_cluster_scoped()
            && let Some(name) = namespace.take()
        {
            fields.push(format!("metadata.name={name}"));
        }
        let field_selector = (!fields.is_empty()).then(|| fields.join(","));
        let request = Request::new(DynamicObject::url_path(api, namespace));
        // Not all at the same moment.
        let timeout = Some(WATCH_SECONDS + u32::try_from(self.number * 7 % 50).unwrap_or_default());
        let watch = WatchParams { field_selector: field_selector.clone(), timeout, ..WatchParams::default() };
        match ask {
            Ask::Stream => request.watch(&WatchParams { send_initial_events: true, ..watch }, ""),
            Ask::Watch { resource_version } => request.watch(&watch, resource_version),
            Ask::Page { limit, token } => {
                let (limit, continue_token) = (*limit, token.clone());
                request.list(&ListParams { field_selector, limit, continue_token, ..ListParams::default() })
            }
        }
    }

    async fn page(&mut self, api: &ApiResource, protocol: &mut Protocol, body: &[u8]) -> Result<End, Ended> {
        let (items, last) = match protocol.page(body) {
            Ok(page) => page,
            Err(failure) => return self.fail(failure, None).await,
        };
        let mut events: Vec<Event> = items.into_iter().filter_map(|item| self.apply(item, api)).collect();
        if last {
            events.extend(self.objects.complete());
        }
        self.well();
        self.tell(events, last).await?;
        Ok(End::Again)
    }

    /// Reads a watch to its end.
    async fn lines(
        &mut self,
        api: &ApiResource,
        protocol: &mut Protocol,
        mut body: Body,
    ) -> Result<End, Ended> {
        let (began, mut heard) = (Instant::now(), false);
        let limit = usize::try_from(self.limits.file_bytes).unwrap_or(usize::MAX);
        let mut lines = Lines::new(limit);
        self.well();
        self.tell(Vec::new(), false).await?;
        loop {
            let patience = if protocol.is_streaming() { STREAM_PATIENCE } else { SILENCE };
            let chunk = match timeout(patience, body.frame()).await {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Err(_) if protocol.is_streaming() => {
                    let failure = protocol.cannot_stream();
                    return self.fail(failure, None).await;
                }
                // Ended, broken or silent: resumed where it was.
                Ok(None) | Err(_) => {
                    protocol.closed();
                    let short = !heard && began.elapsed() < SHORT;
                    return Ok(if short { End::Later(None) } else { End::Again });
                }
                Ok(Some(Err(error))) => {
                    protocol.closed();
                    if heard || began.elapsed() >= SHORT {
                        return Ok(End::Again);
                    }
                    return self.lost(causes(&error)).await;
                }
            };
            lines.push(&chunk);
            let (mut events, mut listed) = (Vec::new(), false);
            while let Some(line) = lines.next() {
                match self.line(line, api, protocol) {
                    Ok((more, complete)) => {
                        events.extend(more);
                        listed |= complete;
                    }
                    Err(failure) => {
                        self.tell(events, listed).await?;
                        if failure == Failure::Again && !heard && began.elapsed() < SHORT {
                            return Ok(End::Later(None));
                        }
                        return self.fail(failure, None).await;
                    }
                }
                if !heard {
                    heard = true;
                    self.progress.backoff.reset();
                }
            }
            self.tell(events, listed).await?;
        }
    }

    fn line(
        &mut self,
        line: Line,
        api: &ApiResource,
        protocol: &mut Protocol,
    ) -> Result<(Vec<Event>, bool), Failure> {
        let (kind, cluster) = (&self.objects.kind, &self.objects.cluster);
        let told = match line {
            Line::Whole(line) => protocol.line(&line),
            Line::TooLong => {
                let problem = format!("an object has more than {} bytes", self.limits.file_bytes);
                Told::Undecodable(None, problem)
            }
        };
        Ok(match told {
            Told::Applied(object) => (self.apply(object, api).into_iter().collect(), false),
            Told::Deleted(object) => {
                let version = object.pointer("/metadata/resourceVersion").and_then(|v| v.as_str());
                let version = version.unwrap_or_default().to_owned();
                let key = key(&object, kind, cluster);
                (key.and_then(|key| self.objects.delete(&key, &version)).into_iter().collect(), false)
            }
            Told::Listed => (self.objects.complete(), true),
            Told::Nothing => (Vec::new(), false),
            Told::Undecodable(name, problem) => {
                let key = name.and_then(|(namespace, name)| named(&namespace, &name, kind, cluster));
                self.undecodable(key, problem);
                (Vec::new(), false)
            }
            Told::Failed(failure) => return Err(failure),
        })
    }

    fn apply(&mut self, object: serde_json::Value, api: &ApiResource) -> Option<Event> {
        let decoded = decode(object, api, &self.objects.kind, &self.objects.cluster, &self.limits);
        self.objects.apply(decoded)
    }

    fn undecodable(&mut self, key: Option<ResourceKey>, problem: String) {
        let remedy = "correct the object; its last good version stays in effect";
        match key {
            Some(key) => {
                let refusal = Refusal::new("", format!("it cannot be decoded ({problem})"), remedy);
                self.objects.refuse(key, vec![refusal]);
            }
            None => {
                self.objects.obscure();
                let problem = format!("one of its objects cannot be decoded ({problem})");
                self.set_fault(Some((self.scope.known.resource(), problem, remedy.to_owned())));
            }
        }
    }
}
