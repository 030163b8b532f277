//! As whom a container runs: `setpriv`'s arguments.

use k8s_openapi::api::core::v1::{Container, Pod};

/// What container runtimes leave to root.
const DEFAULT: &[&str] = &[
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_bind_service",
    "net_raw",
    "sys_chroot",
    "mknod",
    "audit_write",
    "setfcap",
];

/// User, groups and capabilities.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Security {
    pub(crate) user: u32,
    group: u32,
    groups: Vec<u32>,
    /// None: all.
    capabilities: Option<Vec<String>>,
    no_new_privileges: bool,
    pub(crate) read_only_root: bool,
}

impl Security {
    /// The container's security context over the pod's.
    ///
    /// # Errors
    /// `runAsNonRoot` without a user.
    pub(crate) fn of(pod: &Pod, container: &Container) -> Result<Security, String> {
        let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
        let own = container.security_context.clone().unwrap_or_default();
        let id = |own: Option<i64>, shared: Option<i64>| own.or(shared).and_then(|id| u32::try_from(id).ok());
        let user = id(own.run_as_user, shared.run_as_user).unwrap_or(0);
        if user == 0 && own.run_as_non_root.or(shared.run_as_non_root) == Some(true) {
            return Err(
                "container has runAsNonRoot, and runAsUser is missing or 0: images have no user here".into(),
            );
        }
        let group = id(own.run_as_group, shared.run_as_group).unwrap_or(0);
        let groups = shared.supplemental_groups.iter().flatten().chain(&shared.fs_group);
        let privileged = own.privileged == Some(true);
        let change = own.capabilities.unwrap_or_default();
        Ok(Security {
            user,
            group,
            groups: groups.filter_map(|id| u32::try_from(*id).ok()).collect(),
            capabilities: (!privileged).then(|| {
                capabilities(
                    change.drop.as_deref().unwrap_or_default(),
                    change.add.as_deref().unwrap_or_default(),
                )
            }),
            no_new_privileges: own.allow_privilege_escalation == Some(false),
            read_only_root: own.read_only_root_filesystem == Some(true),
        })
    }

    /// `setpriv` and its arguments, up to the program.
    pub(crate) fn setpriv(&self) -> Vec<String> {
        let mut words: Vec<String> = ["setpriv", "--pdeathsig", "SIGKILL"].map(str::to_owned).into();
        words.extend([format!("--reuid={}", self.user), format!("--regid={}", self.group)]);
        if self.groups.is_empty() {
            words.push("--clear-groups".into());
        } else {
            let groups: Vec<_> = self.groups.iter().map(u32::to_string).collect();
            words.push(format!("--groups={}", groups.join(",")));
        }
        if let Some(kept) = &self.capabilities {
            let kept: String = kept.iter().map(|name| format!(",+{name}")).collect();
            words.push(format!("--bounding-set=-all{kept}"));
            words.push("--inh-caps=-all".into());
        }
        if self.no_new_privileges {
            words.push("--no-new-privs".into());
        }
        words.push("--".into());
        words
    }
}

fn capabilities(drop: &[String], add: &[String]) -> Vec<String> {
    let name = |name: &String| name.to_lowercase().trim_start_matches("cap_").to_owned();
    let (drop, add): (Vec<_>, Vec<_>) = (drop.iter().map(name).collect(), add.iter().map(name).collect());
    let all = drop.iter().any(|name| name == "all");
    let kept = DEFAULT.iter().map(|name| (*name).to_owned()).filter(|name| !all && !drop.contains(name));
    let mut kept: Vec<_> = kept.filter(|name| !add.contains(name)).collect();
    kept.extend(add);
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(shared: serde_json::Value, own: serde_json::Value) -> Result<String, String> {
        let container = json!({ "name": "c", "securityContext": own });
        let pod = json!({ "spec": { "securityContext": shared, "containers": [container] } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        Security::of(&pod, &pod.spec.as_ref().unwrap().containers[0])
            .map(|security| security.setpriv().join(" "))
    }

    #[test]
    fn arguments() {
        let all = of(json!({}), json!({ "privileged": true })).unwrap();
        assert_eq!(all, "setpriv --pdeathsig SIGKILL --reuid=0 --regid=0 --clear-groups --");
        let hardened = of(
            json!({ "runAsUser": 5, "runAsGroup": 6, "fsGroup": 7, "runAsNonRoot": true }),
            json!({
                "runAsUser": 65532,
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] },
            }),
        );
        let expected = "setpriv --pdeathsig SIGKILL --reuid=65532 --regid=6 --groups=7 \
             --bounding-set=-all,+net_bind_service --inh-caps=-all --no-new-privs --";
        assert_eq!(hardened.unwrap(), expected);
        let some = of(json!({}), json!({ "capabilities": { "drop": ["CHOWN", "CAP_KILL"] } })).unwrap();
        assert!(!some.contains("chown") && !some.contains("+kill") && some.contains(",+net_raw"), "{some}");
        assert!(of(json!({ "runAsNonRoot": true }), json!({})).unwrap_err().contains("runAsUser"));
    }
}
