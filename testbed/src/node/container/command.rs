//! What a container runs: image and container each have a say.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Container;

use super::env::expand;
use crate::node::images::Image;

/// The words of the container's command, as Kubernetes has it: `command` replaces the image's program and arguments,
/// `args` alone its arguments.
///
/// A command that names the image's program by another path (`envoy`, `/usr/local/bin/envoy`) means that program.
pub(crate) fn words(container: &Container, image: &Image, env: &BTreeMap<String, String>) -> Vec<String> {
    let program = image.program.to_string_lossy().into_owned();
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, env)).collect()
    };
    let (mut command, mut args) = (expanded(&container.command), expanded(&container.args));
    if let Some(first) = command.first_mut() {
        let same_name = Path::new(&*first).file_name() == image.program.file_name();
        if same_name && !(first.contains('/') && Path::new(&*first).exists()) {
            *first = program;
        }
    } else {
        command = vec![program];
        if args.is_empty() {
            args.clone_from(&image.args);
        }
    }
    command.append(&mut args);
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_a_say() {
        let image = Image { program: "/opt/x/envoy".into(), args: vec!["-c".into()], env: BTreeMap::new() };
        let env = BTreeMap::from([("ID".to_owned(), "7".to_owned())]);
        let words = |container: serde_json::Value| {
            let mut all = json!({ "name": "c" });
            all.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
            words(&serde_json::from_value(all).unwrap(), &image, &env).join(" ")
        };
        assert_eq!(words(json!({})), "/opt/x/envoy -c");
        assert_eq!(words(json!({ "args": ["a", "$(ID)"] })), "/opt/x/envoy a 7");
        assert_eq!(words(json!({ "command": ["sh"] })), "sh");
        assert_eq!(words(json!({ "command": ["sh", "-c"], "args": ["$$(ID)"] })), "sh -c $(ID)");
        assert_eq!(words(json!({ "command": ["/usr/local/bin/envoy", "-l"] })), "/opt/x/envoy -l");
        assert_eq!(words(json!({ "command": ["envoy"], "args": ["x"] })), "/opt/x/envoy x");
    }
}
