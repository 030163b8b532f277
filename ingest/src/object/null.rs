//! Fields without a value, as templates leave them behind: `filters:` and nothing more.

use serde_json::Value;

/// Removes fields that are null, at all depths: API servers take them for absent, of custom resources as "Nulling"
/// of their structural schemas says. A null in a list stays, and is refused by whoever reads the list.
pub(super) fn remove(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove);
        }
        Value::Array(items) => items.iter_mut().for_each(remove),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn null_fields_go_and_null_items_stay() {
        let mut value = json!({"a": null, "b": {"c": null}, "d": [null, {"e": null, "f": 0}], "g": ""});
        super::remove(&mut value);
        assert_eq!(value, json!({"b": {}, "d": [null, {"f": 0}], "g": ""}));
    }
}
