//! What request and response header modifiers share.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use crate::attach::RuleCx;
use crate::model::HeaderFilter;

/// Headers to add (or overwrite) and to remove, in Envoy's form.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Headers {
    pub(super) add: Vec<HeaderValueOption>,
    pub(super) remove: Vec<String>,
}

/// Reads a modifier. `set` overwrites, `add` appends.
pub(super) fn resolve(cx: &mut RuleCx<'_, '_>, field: &str, filter: &HeaderFilter) -> Headers {
    let mut headers = Headers::default();
    for (list, name, action) in [
        (&filter.set, "set", HeaderAppendAction::OverwriteIfExistsOrAdd),
        (&filter.add, "add", HeaderAppendAction::AppendIfExistsOrAdd),
    ] {
        for (index, header) in list.iter().enumerate() {
            let field = format!("{field}.{name}[{index}]");
            if check_name(cx, format!("{field}.name"), &header.name) && check_value(cx, &field, &header.value)
            {
                headers.add.push(option(&header.name, &header.value, action));
            }
        }
    }
    for (index, name) in filter.remove.iter().enumerate() {
        let host = name.eq_ignore_ascii_case("host");
        if host {
            cx.refuse(
                format!("{field}.remove[{index}]"),
                "the Host header cannot be removed",
                "remove the entry",
            );
        } else if check_name(cx, format!("{field}.remove[{index}]"), name) {
            headers.remove.push(name.to_string());
        }
    }
    headers
}

fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        // A percent sign would begin a command of Envoy's formatter.
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.replace('%', "%%"),
            ..Default::default()
        }),
        append_action: action.into(),
        ..Default::default()
    }
}

/// RFC 9110 token.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn check_name(cx: &mut RuleCx<'_, '_>, field: String, name: &str) -> bool {
    let good = is_token(name);
    if !good {
        cx.refuse(field, format!("{name:?} is not a header name"), "use letters, digits and '-'");
    }
    good
}

fn check_value(cx: &mut RuleCx<'_, '_>, field: &str, value: &str) -> bool {
    let good = value.len() <= 4096 && !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if !good {
        let problem = "has a line break or is longer than 4096 bytes";
        cx.refuse(format!("{field}.value"), problem, "shorten it to one line");
    }
    good
}
