//! A configuration: listeners and HTTPRoutes as data, and as YAML.

use std::fmt::Write;

use super::pattern::Pattern;

/// Ports that a configuration can use; each instance has its own numbers for them.
pub(super) const PORTS: usize = 3;
/// Names of the backends, each with a Service in every namespace of routes.
pub(super) const BACKENDS: [&str; 2] = ["left", "right"];
/// Namespaces of routes.
pub(super) const NAMESPACES: [&str; 2] = ["blue", "green"];

#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) listeners: Vec<Listener>,
    pub(super) routes: Vec<HttpRoute>,
}

/// A listener of protocol HTTP.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    /// Index of its port.
    pub(super) port: usize,
    pub(super) hostname: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct HttpRoute {
    pub(super) namespace: &'static str,
    pub(super) name: String,
    /// RFC 3339, all of one length.
    pub(super) created: String,
    /// Listeners that it names; empty: the whole Gateway.
    pub(super) sections: Vec<String>,
    pub(super) hostnames: Vec<String>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Tells the rule in its answers; a DNS label.
    pub(super) id: String,
    /// Empty: all requests.
    pub(super) matches: Vec<Match>,
    /// Weights of the backends; none: a redirect to the host of the rule's name.
    pub(super) weights: Option<[u32; 2]>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Match {
    pub(super) path: Option<PathMatch>,
    pub(super) method: Option<&'static str>,
    pub(super) headers: Vec<Condition>,
    pub(super) query_params: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(super) enum PathMatch {
    Exact(String),
    Prefix(String),
    Regex(Pattern),
}

/// A header or query parameter and what its value must be.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Exact(String),
    Regex(Pattern),
}

impl Config {
    /// Listeners as entries of a Gateway in YAML's flow style.
    pub(super) fn listeners(&self, ports: &[u16; PORTS]) -> Vec<String> {
        self.listeners
            .iter()
            .map(|listener| {
                let hostname = listener
                    .hostname
                    .as_ref()
                    .map(|name| format!(", hostname: '{name}'"))
                    .unwrap_or_default();
                format!(
                    "{{name: {}, port: {}, protocol: HTTP{hostname}, \
                     allowedRoutes: {{namespaces: {{from: All}}}}}}",
                    listener.name, ports[listener.port]
                )
            })
            .collect()
    }
}

impl HttpRoute {
    pub(super) fn yaml(&self) -> String {
        let parents: Vec<String> = if self.sections.is_empty() {
            vec!["{name: shared, namespace: infra}".to_owned()]
        } else {
            let named = |name| format!("{{name: shared, namespace: infra, sectionName: {name}}}");
            self.sections.iter().map(named).collect()
        };
        let hostnames: Vec<String> = self.hostnames.iter().map(|name| format!("'{name}'")).collect();
        let mut text = format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: {}, namespace: {}, creationTimestamp: '{}'}}\nspec:\n  parentRefs: [{}]\n  \
             hostnames: [{}]\n  rules:\n",
            self.name,
            self.namespace,
            self.created,
            parents.join(", "),
            hostnames.join(", "),
        );
        for rule in &self.rules {
            text += &rule.yaml();
        }
        text
    }
}

impl Rule {
    fn yaml(&self) -> String {
        let mut text = format!("  - name: {}\n", self.id);
        if !self.matches.is_empty() {
            text += "    matches:\n";
        }
        for matched in &self.matches {
            let _ = writeln!(text, "    - {}", matched.yaml());
        }
        match self.weights {
            None => {
                let _ = writeln!(
                    text,
                    "    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {}.rule, port: 80}}}}]",
                    self.id
                );
            }
            Some([left, right]) => {
                let _ = writeln!(
                    text,
                    "    filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: \
                     {{set: [{{name: x-rule, value: {}}}]}}}}]",
                    self.id
                );
                let _ = writeln!(
                    text,
                    "    backendRefs: [{{name: {}, port: 80, weight: {left}}}, \
                     {{name: {}, port: 80, weight: {right}}}]",
                    BACKENDS[0], BACKENDS[1]
                );
            }
        }
        text
    }
}

impl Match {
    fn yaml(&self) -> String {
        let mut fields = Vec::new();
        if let Some(path) = &self.path {
            let (kind, value) = match path {
                PathMatch::Exact(path) => ("Exact", path.clone()),
                PathMatch::Prefix(path) => ("PathPrefix", path.clone()),
                PathMatch::Regex(pattern) => ("RegularExpression", pattern.text()),
            };
            fields.push(format!("path: {{type: {kind}, value: '{value}'}}"));
        }
        fields.extend(self.method.map(|method| format!("method: {method}")));
        for (name, conditions) in [("headers", &self.headers), ("queryParams", &self.query_params)] {
            if !conditions.is_empty() {
                let all: Vec<String> = conditions.iter().map(Condition::yaml).collect();
                fields.push(format!("{name}: [{}]", all.join(", ")));
            }
        }
        format!("{{{}}}", fields.join(", "))
    }
}

impl Condition {
    fn yaml(&self) -> String {
        let (kind, value) = match &self.value {
            Value::Exact(value) => ("Exact", value.clone()),
            Value::Regex(pattern) => ("RegularExpression", pattern.text()),
        };
        format!("{{type: {kind}, name: {}, value: '{value}'}}", self.name)
    }
}
