//! The objects, on the API server that the environment's kubeconfig names.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use kube::Client;
use kube::api::{Api as Objects, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

/// Namespace of all that is made.
const NAMESPACE: &str = "loadtest";
/// Requests at a time.
const AT_A_TIME: usize = 16;

/// The API server.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn host(number: usize) -> String {
    format!("r{number}.example.com")
}

impl Api {
    pub(super) async fn connect() -> anyhow::Result<Api> {
        Ok(Api { client: Client::try_default().await? })
    }

    fn objects(&self, resource: &ApiResource) -> Objects<DynamicObject> {
        match resource.kind.as_str() {
            "Namespace" => Objects::all_with(self.client.clone(), resource),
            _ => Objects::namespaced_with(self.client.clone(), NAMESPACE, resource),
        }
    }

    /// The Gateway, for whoever watches it.
    pub(super) fn gateways(&self) -> Objects<DynamicObject> {
        self.objects(&resource("gateway.networking.k8s.io", "v1", "Gateway", "gateways"))
    }

    fn routes(&self) -> Objects<DynamicObject> {
        self.objects(&resource("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"))
    }

    async fn apply(&self, resource: &ApiResource, name: &str, content: Value) -> anyhow::Result<()> {
        let mut object =
            json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}});
        for (field, value) in content.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        if let Some(labels) = object.get("labels").cloned() {
            object["metadata"]["labels"] = labels;
            object.as_object_mut().map(|fields| fields.remove("labels"));
        }
        let parameters = PatchParams::apply("loadtest").force();
        self.objects(resource).patch(name, &parameters, &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Namespace, Gateway, Service; the endpoint is on the node.
    pub(super) async fn apply_base(&self, node: IpAddr, port: u16) -> anyhow::Result<()> {
        self.apply(&resource("", "v1", "Namespace", "namespaces"), NAMESPACE, json!({})).await?;
        let gateway = json!({"spec": {
            "gatewayClassName": "fleetgate",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        }});
        let gateways = resource("gateway.networking.k8s.io", "v1", "Gateway", "gateways");
        self.apply(&gateways, "web", gateway).await?;
        self.create_service("echo").await?;
        self.create_slice("echo", node, port).await
    }

    /// Points the Service's one endpoint at another port.
    pub(super) async fn endpoint(&self, port: u16) -> anyhow::Result<()> {
        let slices = resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
        let patch = Patch::Merge(json!({"ports": [{"name": "http", "port": port, "protocol": "TCP"}]}));
        self.objects(&slices).patch("echo-1", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the Gateway is programmed.
    pub(super) async fn address(&self, patience: Duration) -> anyhow::Result<IpAddr> {
        let give_up = tokio::time::Instant::now() + patience;
        loop {
            let status = self.gateways().get("web").await?.data["status"].take();
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let programmed = conditions.clone().any(|c| c["type"] == "Programmed" && c["status"] == "True");
            if let Some(address) = status["addresses"][0]["value"].as_str().filter(|_| programmed) {
                return address.parse().context("the Gateway's address is no IP address");
            }
            if tokio::time::Instant::now() > give_up {
                bail!("the Gateway is not programmed: is fleetgate installed? its status: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes all that was made.
    pub(super) async fn delete_base(&self) -> anyhow::Result<()> {
        let namespaces = self.objects(&resource("", "v1", "Namespace", "namespaces"));
        namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Makes a route for a host of its own.
    pub(super) async fn create_route(&self, number: usize) -> anyhow::Result<()> {
        self.create_route_to(number, "echo").await
    }

    /// Makes one to another Service.
    pub(super) async fn create_route_to(&self, number: usize, service: &str) -> anyhow::Result<()> {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": format!("r{number}")},
            "spec": {
                "parentRefs": [{"name": "web"}],
                "hostnames": [host(number)],
                "rules": [{"backendRefs": [{"name": service, "port": 80}]}],
            },
        });
        self.routes().create(&PostParams::default(), &serde_json::from_value(route)?).await?;
        Ok(())
    }

    /// Gives a route other rules.
    pub(super) async fn edit_route(&self, number: usize, rules: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": {"rules": rules}}));
        self.routes().patch(&format!("r{number}"), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Makes a Service; its endpoint comes by [`Api::create_slice`].
    pub(super) async fn create_service(&self, name: &str) -> anyhow::Result<()> {
        let service = json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
        self.apply(&resource("", "v1", "Service", "services"), name, service).await
    }

    /// Makes a Service's EndpointSlice of one endpoint.
    pub(super) async fn create_slice(&self, service: &str, node: IpAddr, port: u16) -> anyhow::Result<()> {
        let slice = json!({
            "labels": {"kubernetes.io/service-name": service},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [node.to_string()], "conditions": {"ready": true}}],
        });
        let slices = resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
        self.apply(&slices, &format!("{service}-1"), slice).await
    }

    /// Makes many, as fast as the API server takes them.
    pub(super) async fn create_routes(&self, count: usize) -> anyhow::Result<()> {
        let all = futures_util::stream::iter((0..count).map(|number| self.create_route(number)));
        let done: Vec<anyhow::Result<()>> = all.buffer_unordered(AT_A_TIME).collect().await;
        done.into_iter().collect()
    }

    /// Removes many.
    pub(super) async fn delete_routes(&self, count: usize) -> anyhow::Result<()> {
        let routes = self.routes();
        let delete = |number: usize| {
            let routes = routes.clone();
            async move { routes.delete(&format!("r{number}"), &DeleteParams::default()).await.map(drop) }
        };
        let all = futures_util::stream::iter((0..count).map(delete));
        let done: Vec<kube::Result<()>> = all.buffer_unordered(AT_A_TIME).collect().await;
        Ok(done.into_iter().collect::<kube::Result<()>>()?)
    }

    /// Host of a route.
    pub(super) fn host(number: usize) -> String {
        host(number)
    }
}
