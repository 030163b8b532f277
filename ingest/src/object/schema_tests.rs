//! A schema refuses objects before they become events.

use proto::{ClusterId, Fault};

use super::parse;
use crate::Limits;

#[test]
fn what_the_schema_refuses_is_a_fault_and_no_object() {
    let limits = Limits {
        schema: |key, value| {
            let good = value["spec"]["good"] == true;
            let fault = Fault {
                object: key.clone(),
                field: "spec.good".to_owned(),
                problem: "is not true".to_owned(),
                remedy: "make it true".to_owned(),
            };
            if good { Vec::new() } else { vec![fault] }
        },
        ..Limits::default()
    };
    let text = |good: bool| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: a}}\nspec:\n  good: {good}\n"
        )
    };
    assert_eq!(parse(&text(true), false, &ClusterId::LOCAL, &limits).objects.len(), 1);
    let refused = parse(&text(false), false, &ClusterId::LOCAL, &limits);
    assert!(refused.objects.is_empty() && refused.broken, "its last good version stays");
    assert_eq!((refused.faults[0].line, refused.faults[0].problem.as_str()), (4, "is not true"));
}
