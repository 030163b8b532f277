//! A Gateway: its listeners, its ListenerSets, and what its proxies need.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::{ArcStr, Fault, GatewayAddress, Kind, ResourceKey, literal};

use super::proxies::Parameters;
use super::{
    addresses, backend_tls, conflicts, fault, frontend_tls, installed, listener, listener_set, proxies,
    sentence,
};
use crate::cx::{Cx, Output};
use crate::env::Placement;
use crate::ir::{GatewayIr, IndexKey, ListenerIr, NodeKey, Scheme, Value, Verdict};
use crate::model::{Gateway, GatewayClass};

pub(crate) fn compute(key: &ResourceKey, cx: &mut Cx<'_>) -> Output {
    let Some(gateway) = cx.object::<Gateway>(key) else { return Output::of(Value::Absent) };
    let class = key.sibling(Kind::GATEWAY_CLASS, "", gateway.spec.gateway_class_name.clone());
    let Some(Value::Class(parameters)) = cx.node(NodeKey::Class(class.clone())) else {
        return Output::of(Value::Absent);
    };
    let mut ir = resolve(key, &gateway, &parameters.clone(), cx);
    if cx.object::<GatewayClass>(&class).is_some_and(|class| class.is_kept()) {
        tell_kept(key, &class.name, &mut ir);
    }
    let mut output = Output::of(Value::Absent);
    if ir.serves {
        for listener in ir.listeners.iter().filter(|listener| listener.table.is_some()) {
            output.demands.push(NodeKey::Listener(key.clone(), listener.port));
            let table = listener.table.clone().filter(|_| listener.scheme.is_some_and(Scheme::is_http));
            output.demands.extend(table.map(|table| NodeKey::RouteTable(key.clone(), table)));
            let secrets = listener.certificates.iter();
            output.demands.extend(secrets.map(|secret| NodeKey::Secret(key.clone(), secret.clone())));
            for target in listener.filters.iter().filter_map(|filter| filter.target.as_ref()) {
                output.entries.push((IndexKey::GatewaysOf(target.backend.service()), key.clone()));
                output.demands.push(NodeKey::Cluster(key.clone(), target.clone()));
            }
        }
        let domains = ir.own_domains().into_iter();
        output
            .demands
            .extend(domains.map(|(table, domain)| NodeKey::VirtualHost(key.clone(), table, domain)));
    }
    output.value = Value::Gateway(Arc::new(ir));
    output
}

/// Its class is gone, and it goes on.
fn tell_kept(key: &ResourceKey, class: &str, ir: &mut GatewayIr) {
    let problem = format!("GatewayClass {class} does not exist; what it said before stays in effect");
    let fault = fault(key, "spec.gatewayClassName", problem, "create it again, or delete the Gateway");
    ir.accepted.message = format!("{}; {}", ir.accepted.message, sentence(&fault)).into();
    ir.faults.push(fault);
}

fn resolve(key: &ResourceKey, gateway: &Gateway, class: &ClassParameters, cx: &mut Cx<'_>) -> GatewayIr {
    let mut faults = Vec::new();
    if gateway.spec.default_scope.as_deref().is_some_and(|scope| scope != "None") {
        let problem = "default Gateways are not supported: the field has no effect";
        faults.push(fault(
            key,
            "spec.defaultScope",
            problem,
            "name the Gateway in the routes' spec.parentRefs",
        ));
    }
    let mut listeners: Vec<ListenerIr> = Vec::new();
    for (index, listener) in gateway.spec.listeners.iter().enumerate() {
        listeners.push(listener::resolve(key, index, listener, cx, &mut faults));
    }
    let (own, mut claims) = (listeners.len(), Vec::new());
    conflicts::find(&mut listeners, 0, &mut claims, &mut faults);
    let mut sets = listener_set::attach(key, gateway, &mut listeners, &mut claims, cx);
    frontend_tls::validate_clients(key, gateway, &mut listeners, cx, &mut faults);
    conflicts::mark_overlaps(&mut listeners);
    let (addresses, refused) = addresses::resolve(key, gateway, &cx.env().placement, &mut faults);
    let (parameters, unread) = match parameters(key, gateway, class, cx, &mut faults) {
        Ok(parameters) => (parameters, None),
        Err(fault) => {
            let refusal = proxies::refusal(&fault);
            faults.push(fault);
            (Parameters::SelfManaged, Some(refusal))
        }
    };
    let valid = refused.unwrap_or_else(|| accept(&listeners[..own]));
    let serves = valid.holds;
    let accepted = if serves { unread.unwrap_or(valid) } else { valid };
    for listener in &mut listeners {
        let ends_tls = listener.scheme.is_some_and(Scheme::is_tls) && !listener.passthrough;
        let has_identity = !ends_tls || !listener.certificates.is_empty();
        if serves && listener.accepted.holds && has_identity {
            listener.table = table_name(listener);
        }
    }
    let (client_certificate, mut conditions) =
        backend_tls::resolve(key, gateway, &listeners[..own], cx, &mut faults);
    conditions.extend(frontend_tls::insecure(gateway));
    let mut ir = GatewayIr {
        listeners,
        bound: addresses.bound.clone(),
        addresses: Vec::new(),
        ports: BTreeMap::new(),
        proxies: None,
        accepted,
        serves,
        conditions,
        client_certificate,
        faults,
        sets: Vec::new(),
    };
    listener_set::accept(&ir, &mut sets);
    ir.sets = sets;
    match cx.env().placement {
        Placement::Local { .. } => {
            ir.addresses = ir.bound.iter().cloned().map(GatewayAddress::from).collect()
        }
        Placement::Pods => {
            let tells_routability = installed::experimental_channel(cx, key);
            ir.addresses = addresses.by_value(tells_routability);
            ir.ports = proxies::ports(&ir.listeners);
            ir.proxies = ir.accepted.holds.then(|| {
                proxies::spec(
                    gateway,
                    parameters,
                    &ir.listeners,
                    &ir.ports,
                    (addresses.asked, tells_routability),
                )
            });
        }
    }
    ir
}

/// Listeners of protocol HTTP share the table of their port, since a request's Host alone chooses; an
/// HTTPS listener has its own, since its SNI has chosen already. TLS and TCP listeners have the name alone.
fn table_name(listener: &ListenerIr) -> Option<ArcStr> {
    Some(match listener.scheme? {
        Scheme::Http => format!("http/{}", listener.port).into(),
        Scheme::Https => format!("https/{}/{}", listener.port, listener.hostname).into(),
        Scheme::Tls => format!("tls/{}/{}", listener.port, listener.hostname).into(),
        Scheme::Tcp => format!("tcp/{}", listener.port).into(),
    })
}

/// What a class says of parameters.
type ClassParameters = Result<Option<ResourceKey>, Fault>;

/// What a parametersRef says; where proxies are no pods, nothing is read.
fn parameters(
    key: &ResourceKey,
    gateway: &Gateway,
    class: &ClassParameters,
    cx: &mut Cx<'_>,
    faults: &mut Vec<Fault>,
) -> Result<Parameters, Fault> {
    let class = class.as_ref().map_err(|refusal| {
        let name = &gateway.spec.gateway_class_name;
        let problem = format!("GatewayClass {name} is not accepted: {}", sentence(refusal));
        fault(key, "spec.gatewayClassName", problem, "correct the class, or choose another one")
    })?;
    if cx.env().placement == Placement::Pods {
        return proxies::parameters(key, gateway, class.as_ref(), cx, faults);
    }
    let reference = gateway.spec.infrastructure.as_ref().and_then(|own| own.parameters_ref.as_ref());
    let Some(reference) = reference else { return Ok(Parameters::SelfManaged) };
    let problem = format!("{} is of no kind that this version reads", reference.name);
    Err(fault(key, "spec.infrastructure.parametersRef", problem, "remove the reference"))
}

fn accept(listeners: &[ListenerIr]) -> Verdict {
    let (accepted, refused): (Vec<&ListenerIr>, Vec<&ListenerIr>) =
        listeners.iter().partition(|listener| listener.accepted.holds);
    if refused.is_empty() && !listeners.is_empty() {
        return Verdict::yes(literal!("Accepted"), literal!("all listeners are accepted"));
    }
    let names = |listeners: &[&ListenerIr]| {
        listeners.iter().map(|listener| listener.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut message = format!("listeners that are not accepted: {}", names(&refused));
    if !accepted.is_empty() {
        message.push_str("; accepted: ");
        message.push_str(&names(&accepted));
    }
    Verdict { holds: !accepted.is_empty(), reason: literal!("ListenersNotValid"), message: message.into() }
}
