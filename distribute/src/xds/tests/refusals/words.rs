//! What an Envoy says when it refuses a table by the rules of its messages, and what it might as well say.

use proto::ContentHash;

/// A dump of the table, then where in it the rule is broken.
pub(super) fn dump(hosts: &[&[u8]], bad: usize) -> String {
    let quoted: Vec<String> =
        hosts.iter().map(|host| format!("virtual_hosts {{ name: \"{}\" }}", text(host))).collect();
    format!(
        "Error: {}\n: Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[{bad}]: \
         embedded message failed validation | caused by VirtualHostValidationError.Routes[0]: embedded message \
         failed validation | caused by RegexMatcherValidationError.Regex: value length must be at least 1 characters)",
        quoted.join("\n")
    )
}

/// One of many messages that say nothing, or what is wrong.
pub(super) fn noise(hosts: &[&[u8]], seed: u64) -> String {
    let number = |of: &str| ContentHash::of(format!("{of} {seed}").as_bytes()).0 as usize;
    let any = hosts.get(number("host") % hosts.len().max(1)).map_or_else(String::new, |host| text(host));
    let index = number("index") % 9;
    match number("kind") % 8 {
        0 => String::new(),
        1 => "no".into(),
        2 => dump(hosts, index),
        3 => format!("VirtualHosts[{}]: ' \" ü: `", usize::MAX),
        4 => format!("Invalid regex '{any}': no"),
        5 => format!("VirtualHosts[{index}]: \"{any}\": missing ): {any}"),
        6 => "Proto constraint validation failed (".into(),
        _ => format!("{} VirtualHosts[{index}]", "x: 't' \n".repeat(1000)),
    }
}

fn text(host: &[u8]) -> String {
    String::from_utf8_lossy(host).into_owned()
}
