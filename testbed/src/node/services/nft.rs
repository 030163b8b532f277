//! The rules as text for `nft -f`, which takes all of it or nothing: pure.
//!
//! A map leads from address, protocol and port to a chain for each frontend, which picks an endpoint at random. So a
//! change costs what it changes, with a thousand Services as with one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::model::{Frontend, Ruleset};
use crate::node::args::Args;

/// Name of the one table that the node has.
pub(super) const TABLE: &str = "testbed";

/// The whole table, in place of one that is there.
///
/// What goes to a Service and was not forwarded is refused, as is what would go to the bridge without being for a pod.
pub(super) fn full(rules: &Ruleset, args: &Args) -> String {
    let (bridge, pods, balancers) = (&args.bridge, args.pod_cidr, args.vip_cidr);
    let head = format!(
        "table ip {TABLE} {{}}
delete table ip {TABLE}
table ip {TABLE} {{
  map frontends {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  set addresses {{ type ipv4_addr; }}
  set hairpins {{ type ipv4_addr . ipv4_addr; }}
  chain forward_services {{
    ip daddr . meta l4proto . th dport vmap @frontends
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    jump forward_services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump forward_services
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr . ip daddr @hairpins masquerade
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain refuse_services {{
    ip daddr @addresses goto refuse
    ip daddr {balancers} goto refuse
  }}
  chain refuse_strangers {{
    oifname \"{bridge}\" ip daddr != {pods} goto refuse
  }}
  chain filter_input {{
    type filter hook input priority 0; policy accept;
    jump refuse_services
  }}
  chain filter_output {{
    type filter hook output priority 0; policy accept;
    jump refuse_services
    jump refuse_strangers
  }}
  chain filter_forward {{
    type filter hook forward priority 0; policy accept;
    jump refuse_services
    jump refuse_strangers
  }}
}}
"
    );
    head + &difference(&Ruleset::default(), rules)
}

/// What leads from one state of the table to another; empty if there is no difference.
pub(super) fn difference(old: &Ruleset, new: &Ruleset) -> String {
    let mut text = String::new();
    for frontend in old.frontends.keys().filter(|frontend| !new.frontends.contains_key(frontend)) {
        let chain = chain(frontend);
        put(&mut text, "delete", "frontends", &format!("{} : goto {chain}", key(frontend)));
        let _ = writeln!(text, "flush chain ip {TABLE} {chain}\ndelete chain ip {TABLE} {chain}");
    }
    for (frontend, endpoints) in &new.frontends {
        let before = old.frontends.get(frontend);
        if before == Some(endpoints) {
            continue;
        }
        let chain = chain(frontend);
        let _ = match before {
            None => writeln!(text, "add chain ip {TABLE} {chain}"),
            Some(_) => writeln!(text, "flush chain ip {TABLE} {chain}"),
        };
        let _ = writeln!(text, "add rule ip {TABLE} {chain} {}", rule(frontend, endpoints));
        if before.is_none() {
            put(&mut text, "add", "frontends", &format!("{} : goto {chain}", key(frontend)));
        }
    }
    change_set(&mut text, "addresses", &old.addresses, &new.addresses, |address| address.to_string());
    let (before, after) = (old.endpoints(), new.endpoints());
    change_set(&mut text, "hairpins", &before, &after, |address| format!("{address} . {address}"));
    text
}

fn change_set(
    text: &mut String,
    set: &str,
    old: &BTreeSet<Ipv4Addr>,
    new: &BTreeSet<Ipv4Addr>,
    element: impl Fn(&Ipv4Addr) -> String,
) {
    old.difference(new).for_each(|address| put(text, "delete", set, &element(address)));
    new.difference(old).for_each(|address| put(text, "add", set, &element(address)));
}

fn put(text: &mut String, verb: &str, set: &str, element: &str) {
    let _ = writeln!(text, "{verb} element ip {TABLE} {set} {{ {element} }}");
}

fn key(frontend: &Frontend) -> String {
    format!("{} . {} . {}", frontend.address, frontend.protocol, frontend.port)
}

fn chain(frontend: &Frontend) -> String {
    format!("f_{:08x}_{}_{}", u32::from(frontend.address), frontend.protocol, frontend.port)
}

fn rule(frontend: &Frontend, endpoints: &BTreeSet<SocketAddrV4>) -> String {
    let protocol = frontend.protocol;
    let mut all = endpoints.iter();
    if let (Some(only), None) = (all.next(), all.next()) {
        return format!("meta l4proto {protocol} dnat ip to {only}");
    }
    let choices: Vec<_> =
        endpoints.iter().enumerate().map(|(n, e)| format!("{n} : {} . {}", e.ip(), e.port())).collect();
    let count = endpoints.len();
    format!("meta l4proto {protocol} dnat ip to numgen random mod {count} map {{ {} }}", choices.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(all: &[(&str, u16, &[&str])]) -> Ruleset {
        let mut rules = Ruleset::default();
        for (address, port, endpoints) in all {
            let address = address.parse().unwrap();
            rules.addresses.insert(address);
            let frontend = Frontend { address, protocol: "tcp", port: *port };
            rules.frontends.insert(frontend, endpoints.iter().map(|e| e.parse().unwrap()).collect());
        }
        rules
    }

    #[test]
    fn a_difference_is_what_changed() {
        let one = rules(&[("10.96.0.1", 443, &["10.64.0.1:6443"]), ("10.96.0.2", 80, &["10.64.0.2:80"])]);
        assert_eq!(difference(&one, &one), "");
        let two = rules(&[
            ("10.96.0.1", 443, &["10.64.0.1:6443"]),
            ("10.96.0.2", 80, &["10.64.0.2:80", "10.64.0.3:81"]),
        ]);
        let grown = "flush chain ip testbed f_0a600002_tcp_80
add rule ip testbed f_0a600002_tcp_80 meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.64.0.2 . 80, 1 : 10.64.0.3 . 81 }
add element ip testbed hairpins { 10.64.0.3 . 10.64.0.3 }\n";
        assert_eq!(difference(&one, &two), grown);
        let gone = "delete element ip testbed frontends { 10.96.0.2 . tcp . 80 : goto f_0a600002_tcp_80 }
flush chain ip testbed f_0a600002_tcp_80
delete chain ip testbed f_0a600002_tcp_80
delete element ip testbed addresses { 10.96.0.2 }
delete element ip testbed hairpins { 10.64.0.2 . 10.64.0.2 }\n";
        assert_eq!(difference(&one, &rules(&[("10.96.0.1", 443, &["10.64.0.1:6443"])])), gone);
    }

    #[test]
    fn the_kernel_takes_it() {
        let args = Args {
            kubeconfig: "".into(),
            name: "n".into(),
            pod_cidr: "10.64.0.0/16".parse().unwrap(),
            bridge: "br0".into(),
            vip_cidr: "192.0.2.0/24".parse().unwrap(),
            images: "".into(),
            dir: "".into(),
        };
        let one = rules(&[
            ("10.96.0.1", 443, &["10.64.0.1:6443"]),
            ("10.96.0.2", 80, &["10.64.0.2:80", "10.64.0.3:81"]),
        ]);
        let two = rules(&[("10.96.0.2", 80, &["10.64.0.4:80"]), ("192.0.2.1", 80, &["10.64.0.4:80"])]);
        let steps = [
            full(&one, &args),
            difference(&one, &two),
            difference(&two, &one),
            difference(&one, &Ruleset::default()),
            full(&two, &args),
            full(&two, &args),
        ];
        let dir = tempfile::tempdir().unwrap();
        let mut script = String::from("ip link set lo up && ");
        for (number, step) in steps.iter().enumerate() {
            let file = dir.path().join(number.to_string());
            std::fs::write(&file, step).unwrap();
            script.push_str(&format!("nft -f {} && ", file.display()));
        }
        script.push_str("nft list table ip testbed");
        let run = |words: &[&str]| std::process::Command::new(words[0]).args(&words[1..]).output();
        if needs::root().and_then(|()| needs::system("nft")).is_none() {
            return;
        }
        let output = run(&["unshare", "-n", "sh", "-c", &script]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(table.contains("192.0.2.1 . tcp . 80 : goto f_c0000201_tcp_80"), "{table}");
        assert!(!table.contains("f_0a600001"), "{table}");
    }
}
