//! What the cluster has made of a Gateway's proxies: their addresses, or why there are none.

use proto::{ArcStr, Condition, ObjectStatus, literal};

/// The Deployment and Service of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// IP addresses or hostnames by which the Gateway is reached.
    pub(crate) addresses: Vec<ArcStr>,
    /// What is wrong, if something is.
    pub(crate) problem: Option<Problem>,
}

/// Why a Gateway cannot be reached as it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The condition that does not hold: `Accepted` or `Programmed`.
    pub(crate) condition: ArcStr,
    /// Its reason, from the Gateway API.
    pub(crate) reason: ArcStr,
    /// A sentence.
    pub(crate) message: String,
}

impl Deployed {
    /// Takes it into the Gateway's status.
    pub(super) fn join(&self, status: &mut ObjectStatus) {
        status.addresses.clone_from(&self.addresses);
        let unassigned = || Problem {
            condition: literal!("Programmed"),
            reason: literal!("AddressNotAssigned"),
            message: "waiting for the Service of the proxies to get an address".to_owned(),
        };
        let problem = self.problem.clone().or_else(|| self.addresses.is_empty().then(unassigned));
        let Some(problem) = problem else { return };
        let lower = |kind: &ArcStr, conditions: &mut [Condition]| {
            for one in conditions.iter_mut().filter(|one| one.kind == *kind && one.holds()) {
                *one = Condition::new(kind.clone(), false, problem.reason.clone(), problem.message.as_str());
            }
        };
        lower(&problem.condition, &mut status.conditions);
        if problem.condition == "Accepted" {
            // What is not accepted is not programmed either.
            lower(&literal!("Programmed"), &mut status.conditions);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{Condition, ObjectStatus};

    use super::{Deployed, Problem};

    fn joined(deployed: &Deployed) -> Vec<String> {
        let conditions = ["Accepted", "Programmed"].map(|kind| Condition::new(kind, true, kind, "")).to_vec();
        let mut status = ObjectStatus { conditions, ..ObjectStatus::default() };
        deployed.join(&mut status);
        assert_eq!(status.addresses, deployed.addresses);
        status.conditions.iter().map(|one| format!("{}={}/{}", one.kind, one.status, one.reason)).collect()
    }

    #[test]
    fn a_gateway_without_an_address_is_not_programmed() {
        let mut deployed = Deployed::default();
        assert_eq!(joined(&deployed), ["Accepted=True/Accepted", "Programmed=False/AddressNotAssigned"]);
        deployed.addresses = vec!["192.0.2.1".into()];
        assert_eq!(joined(&deployed), ["Accepted=True/Accepted", "Programmed=True/Programmed"]);
        deployed.problem = Some(Problem {
            condition: "Accepted".into(),
            reason: "InvalidParameters".into(),
            message: "no such parameters".into(),
        });
        assert_eq!(
            joined(&deployed),
            ["Accepted=False/InvalidParameters", "Programmed=False/InvalidParameters"]
        );
    }
}
