//! What request and response header modifiers share.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

use super::header_names::{Message, Refusal, Writing, refusal, value_refusal};
use crate::model::HeaderFilter;
use crate::resolve::RuleCx;

/// Headers to add (or overwrite) and to remove, in Envoy's form.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Headers {
    pub(super) add: Vec<HeaderValueOption>,
    pub(super) remove: Vec<String>,
}

impl Headers {
    /// Writes them behind what is written: of that, what they remove is not added any more.
    pub(super) fn write(&self, add: &mut Vec<HeaderValueOption>, remove: &mut Vec<String>) {
        let removes = |name: &str| self.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name));
        add.retain(|option| !option.header.as_ref().is_some_and(|header| removes(&header.key)));
        add.extend(self.add.iter().cloned());
        remove.extend(self.remove.iter().cloned());
    }
}

/// Reads a modifier of requests or responses. `set` overwrites, `add` appends.
pub(super) fn resolve(
    cx: &mut RuleCx<'_, '_>,
    field: &str,
    filter: &HeaderFilter,
    message: Message,
) -> Headers {
    let mut headers = Headers::default();
    for (list, name, writing, action) in [
        (&filter.set, "set", Writing::Set, HeaderAppendAction::OverwriteIfExistsOrAdd),
        (&filter.add, "add", Writing::Add, HeaderAppendAction::AppendIfExistsOrAdd),
    ] {
        for (index, header) in list.iter().enumerate() {
            let field = format!("{field}.{name}[{index}]");
            let of_name = refusal(&header.name, writing, message);
            let of_value = value_refusal(&header.value);
            if good(cx, format!("{field}.name"), of_name) && good(cx, format!("{field}.value"), of_value) {
                headers.add.push(option(&header.name, &header.value, action));
            }
        }
    }
    for (index, name) in filter.remove.iter().enumerate() {
        if good(cx, format!("{field}.remove[{index}]"), refusal(name, Writing::Remove, message)) {
            headers.remove.push(name.to_string());
        }
    }
    headers
}

/// Tells what is wrong; true if nothing is.
pub(super) fn good(cx: &mut RuleCx<'_, '_>, field: String, refusal: Option<Refusal>) -> bool {
    let Some((problem, remedy)) = refusal else { return true };
    cx.refuse(field, problem, remedy);
    false
}

pub(super) fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
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
