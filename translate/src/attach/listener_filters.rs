//! What a listener does with requests before a route is chosen (GEP-5224).

use proto::{ArcStr, Fault, ResourceKey, literal};

use super::backend_ref::{self, Speak};
use super::{fault, sentence};
use crate::cx::Cx;
use crate::features::header_names::{Message, Writing, refusal};
use crate::ir::{ExternalAuthIr, ListenerIr, Verdict};
use crate::model::{ExternalAuth, Listener};

/// Where problems of a listener's filters go.
struct Problems<'a> {
    owner: &'a ResourceKey,
    ir: &'a mut ListenerIr,
    faults: &'a mut Vec<Fault>,
}

impl Problems<'_> {
    /// The listener cannot do what is asked for, so it does not serve.
    fn refuse(&mut self, reason: ArcStr, field: String, problem: String, remedy: &str) {
        let fault = fault(self.owner, field, problem, remedy);
        if self.ir.accepted.holds {
            self.ir.accepted = Verdict::no(reason, sentence(&fault));
        }
        self.faults.push(fault);
    }

    /// A reference does not resolve: the listener refuses all requests rather than let them pass.
    fn unresolved(&mut self, reason: ArcStr, field: String, problem: String, remedy: &str) {
        let fault = fault(self.owner, field, problem, remedy);
        if self.ir.resolved.holds {
            self.ir.resolved = Verdict::no(reason, sentence(&fault));
        }
        self.faults.push(fault);
    }
}

/// Resolves the filters of a listener, in their order.
pub(crate) fn resolve(
    owner: &ResourceKey,
    field: &str,
    listener: &Listener,
    cx: &mut Cx<'_>,
    ir: &mut ListenerIr,
    faults: &mut Vec<Fault>,
) {
    let mut resolved = Vec::new();
    let mut problems = Problems { owner, ir, faults };
    for (index, filter) in listener.filters.requests.iter().enumerate() {
        let field = format!("{field}.filters.requests[{index}]");
        match (filter.kind.as_str(), &filter.external_auth) {
            ("ExternalAuth", Some(auth)) => {
                resolved.extend(external_auth(&format!("{field}.externalAuth"), auth, cx, &mut problems));
            }
            ("ExternalAuth", None) => {
                let problem = "a filter of type ExternalAuth needs its settings".to_owned();
                problems.refuse(literal!("InvalidListenerFilter"), field, problem, "set externalAuth");
            }
            (kind, _) => {
                let problem = format!("filters of type {kind} are not supported");
                problems.refuse(
                    literal!("UnsupportedValue"),
                    format!("{field}.type"),
                    problem,
                    "use ExternalAuth",
                );
            }
        }
    }
    ir.filters = resolved;
}

fn external_auth(
    field: &str,
    auth: &ExternalAuth,
    cx: &mut Cx<'_>,
    problems: &mut Problems<'_>,
) -> Option<ExternalAuthIr> {
    let is_grpc = match auth.protocol.as_str() {
        "HTTP" => false,
        "GRPC" => true,
        other => {
            let problem = format!("{other:?} is no protocol of authorization");
            let reason = literal!("InvalidListenerFilter");
            problems.refuse(reason, format!("{field}.protocol"), problem, "use HTTP or GRPC");
            return None;
        }
    };
    check_http(field, auth, problems);
    let reference = format!("{field}.backendRef");
    let speak = if is_grpc { Speak::Grpc } else { Speak::Http };
    let target = backend_ref::resolve(cx, problems.owner, &auth.backend_ref, &reference, speak);
    let cluster = match target.usable {
        Ok(_) if !target.gateways.is_empty() => {
            // It may come back, and would have to be authorized in turn.
            let reason = literal!("InvalidListenerFilterRef");
            let remedy = "refer to the Service of the authorization server itself";
            problems.unresolved(reason, reference, "leads to a Gateway".to_owned(), remedy);
            None
        }
        Ok(usable) => usable,
        Err(unresolved) => {
            let permitted = unresolved.reason != "RefNotPermitted";
            let reason = if permitted { literal!("InvalidListenerFilterRef") } else { unresolved.reason };
            problems.unresolved(reason, unresolved.field, unresolved.problem, &unresolved.remedy);
            None
        }
    };
    Some(ExternalAuthIr {
        cluster,
        target: target.cluster,
        is_grpc,
        path: auth.http.path.clone(),
        allowed_headers: if is_grpc { &auth.grpc.allowed_headers } else { &auth.http.allowed_headers }
            .clone(),
        allowed_response_headers: auth.http.allowed_response_headers.clone(),
        max_body: auth.forward_body.max_size,
    })
}

/// The API server lets anything be a header's name.
fn check_http(field: &str, auth: &ExternalAuth, problems: &mut Problems<'_>) {
    let reason = || literal!("InvalidListenerFilter");
    let path = auth.http.path.as_str();
    let is_bad = |byte: u8| byte.is_ascii_control() || b"?# ".contains(&byte);
    if !path.is_empty() && (!path.starts_with('/') || path.bytes().any(is_bad)) {
        let problem = format!("{path:?} is not a path");
        problems.refuse(
            reason(),
            format!("{field}.http.path"),
            problem,
            "write an absolute path without a query",
        );
    }
    let lists = [
        ("http.allowedHeaders", &auth.http.allowed_headers, Writing::Tell),
        ("http.allowedResponseHeaders", &auth.http.allowed_response_headers, Writing::Copy),
        ("grpc.allowedHeaders", &auth.grpc.allowed_headers, Writing::Tell),
    ];
    for (name, list, writing) in lists {
        for (index, header) in list.iter().enumerate() {
            if let Some((problem, remedy)) = refusal(header, writing, Message::Request) {
                problems.refuse(reason(), format!("{field}.{name}[{index}]"), problem, remedy);
            }
        }
    }
}
