//! What Envoy's words say about a refused push: whom they name, where they point to, and whether the reason may pass.

use proto::{ArcStr, XdsKey};

use crate::{resource::ResourceType, scope::Scope};

/// An Envoy quotes its configuration in its message; more characters than this of it are not looked at.
const LIMIT: usize = 4096;

/// Characters of a reason that is reported.
const REPORTED: usize = 512;

/// What comes before the chain of causes if a message breaks a rule of its type. Beside it Envoy puts the whole message,
/// which is to say all that tenants wrote.
const BROKEN_RULE: &str = "Proto constraint validation failed (";

/// What comes between the causes of the chain.
const CAUSED_BY: &str = "caused by ";

/// Reasons of the machine that Envoy runs on, as its operating system words them. Envoy puts them at the end.
const PASSING: [&str; 9] = [
    "Address already in use",
    "Cannot assign requested address",
    "Address not available",
    "Permission denied",
    "Too many open files",
    "Too many open files in system",
    "No buffer space available",
    "Cannot allocate memory",
    "No such device",
];

/// What a message says, in one line, without the configuration that is beside it as a whole; only the beginning and
/// the end if that is too long.
pub(super) fn words(message: &str) -> String {
    clipped(causes(message).unwrap_or(message), LIMIT)
}

/// The same for people: the last cause, which is the one that they can do something about.
pub(super) fn told(message: &str) -> String {
    let last = |causes: &'_ str| causes.rsplit_once(CAUSED_BY).map_or(causes, |(_, last)| last).len();
    match causes(message) {
        Some(causes) => clipped(&causes[causes.len() - last(causes)..], REPORTED),
        None => clipped(message, REPORTED),
    }
}

/// The chain of causes, if a rule is broken.
fn causes(message: &str) -> Option<&str> {
    let (_, rest) = message.rsplit_once(BROKEN_RULE)?;
    let chain = rest.split("): ").next()?.lines().next()?;
    Some(chain.strip_suffix(')').unwrap_or(chain)).filter(|chain| !chain.is_empty())
}

/// A text in one line, with the middle left out if it is longer than the limit.
fn clipped(text: &str, limit: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join("; ");
    let mut starts = line.char_indices().map(|(at, _)| at);
    let Some(head) = starts.clone().nth(limit / 2).filter(|_| starts.clone().nth(limit).is_some()) else {
        return line;
    };
    let tail = starts.nth_back(limit / 2 - 1).unwrap_or(head);
    format!("{} … {}", &line[..head], &line[tail..])
}

/// True if the configuration may be right: what it needs is not there at the moment.
pub(super) fn may_pass(kind: ResourceType, reason: &str) -> bool {
    // The others bind and open nothing, and their words are made of what tenants write.
    let opens = [ResourceType::Listener, ResourceType::ScopedListener, ResourceType::Cluster];
    opens.contains(&kind) && PASSING.iter().any(|passing| reason.trim_end().ends_with(passing))
}

/// The reason that is given for a resource: `Error adding/updating listener(s) NAME: reason\nNAME: reason`. Only
/// CDS and LDS give one; the good resources of the same push are applied then.
pub(super) fn reason<'a>(
    kind: ResourceType,
    message: &'a str,
    names: &[&ArcStr],
    name: &ArcStr,
) -> Option<&'a str> {
    let (_, entries) = match kind {
        ResourceType::Cluster => message.split_once("cluster(s) ")?,
        ResourceType::Listener | ResourceType::ScopedListener => message.split_once("listener(s) ")?,
        _ => return None,
    };
    let (_, start) = entry(entries, name, 0)?;
    let end = names.iter().filter_map(|other| entry(entries, other, start)).map(|(at, _)| at).min();
    Some(
        entries[start..end.unwrap_or(entries.len())]
            .trim_matches(|one: char| one.is_whitespace() || one == ','),
    )
}

/// Where the first entry of a name at or after `from` is, and where its reason begins.
fn entry(entries: &str, name: &ArcStr, from: usize) -> Option<(usize, usize)> {
    let is_entry = |at: usize| {
        let before = entries[..at].trim_end_matches(' ');
        (at == 0 || before.ends_with(['\n', ','])) && entries[at + name.len()..].starts_with(": ")
    };
    let mut found = entries.match_indices(name.as_str()).map(|(at, _)| at);
    let at = found.find(|&at| at >= from && !name.is_empty() && is_entry(at))?;
    Some((at, at + name.len() + 2))
}

/// Those of the suspects that the message points to: by the position of a virtual host in one of the tables, or by
/// text, such as an invalid regex, that they contain. All of them if it points to none.
pub(super) fn pointed_to<'a>(
    message: &str,
    tables: impl Iterator<Item = &'a ArcStr>,
    suspects: Vec<XdsKey>,
    scope: &Scope,
) -> Vec<XdsKey> {
    let at = position(message);
    let domains: Vec<ArcStr> =
        tables.filter_map(|table| at.and_then(|index| scope.domain_at(table, index))).collect();
    let hints = hints(message);
    let points_to = |key: &&XdsKey| {
        (!key.domain.is_empty() && domains.contains(&key.domain))
            || hints.iter().any(|hint| scope.piece_contains(key, hint))
    };
    let pointed: Vec<XdsKey> = suspects.iter().filter(points_to).cloned().collect();
    if pointed.is_empty() { suspects } else { pointed }
}

/// The index in `…VirtualHosts[3]…`.
fn position(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("VirtualHosts[")?;
    rest.split_once(']')?.0.parse().ok()
}

/// Texts that may be parts of the refused message: what is in quotes, and what follows a colon up to the
/// end, as in `missing ): REGEX`.
fn hints(message: &str) -> Vec<&str> {
    let quotes = ['\'', '"', '`'].into_iter().flat_map(|quote| message.split(quote).skip(1).step_by(2));
    let ends = message.match_indices(": ").map(|(at, colon)| message[at + colon.len()..].trim());
    quotes.chain(ends).filter(|text| text.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use proto::ArcStr;

    use super::{LIMIT, REPORTED, hints, may_pass, position, reason, told, words};
    use crate::resource::ResourceType::{Cluster, Endpoints, Listener, Route};

    #[test]
    fn a_reason_belongs_to_the_name_that_it_follows() {
        let names: Vec<ArcStr> = ["web-2", "other", "web"].map(ArcStr::from).into();
        let names: Vec<&ArcStr> = names.iter().collect();
        let of = |message, name: &str| reason(Cluster, message, &names, &name.into());
        let message = "Error adding/updating cluster(s) web-2: bad ttl, other: bad";
        assert_eq!((of(message, "web-2"), of(message, "other")), (Some("bad ttl"), Some("bad")));
        for none in ["web", "2", "ttl", ""] {
            assert_eq!(of(message, none), None, "{none}");
        }
        assert_eq!(reason(Endpoints, message, &names, &"other".into()), None);
        // What a reason quotes names nobody.
        assert_eq!(of("Error adding/updating cluster(s) other: no web: there", "web"), None);
        let message = "Error adding/updating listener(s) web: cannot bind '[::]:80': Address already in use\nother: no\n";
        let of = |name: &str| reason(Listener, message, &names, &name.into());
        assert_eq!(of("web"), Some("cannot bind '[::]:80': Address already in use"));
        assert_eq!(of("other"), Some("no"));
    }

    #[test]
    fn only_reasons_of_the_machine_may_pass() {
        assert!(may_pass(Listener, "cannot bind '0.0.0.0:80': Address already in use\n"));
        assert!(!may_pass(Listener, "Proto constraint validation failed: Address already in use: no"));
        assert!(!may_pass(Route, "missing ): Address already in use"));
    }

    #[test]
    fn a_message_is_one_line_and_not_too_long() {
        assert_eq!(told("l: no: \n m: not\n"), "l: no:; m: not");
        let long = format!("no {}'ü' is bad", "ü\n".repeat(100_000));
        for (short, limit) in [(told(&long), REPORTED), (words(&long), LIMIT)] {
            assert!(short.chars().count() <= limit + 3, "{short}");
            assert!(
                short.starts_with("no ü; ü;") && short.ends_with("; 'ü' is bad") && !short.contains('\n')
            );
        }
        assert_eq!((told(""), words("\n")), (String::new(), String::new()));
        let just = "ü".repeat(REPORTED);
        assert_eq!(told(&just), just);
    }

    /// As Envoy 1.40 words it, with the dump on either side.
    #[test]
    fn a_broken_rule_is_told_by_its_last_cause_and_never_with_the_dump() {
        let chain = "RouteConfigurationValidationError.VirtualHosts[42]: embedded message failed validation | caused by \
                     VirtualHostValidationError.Routes[0]: embedded message failed validation | caused by \
                     RegexMatcherValidationError.Regex: value length must be at least 1 characters";
        let dump = "name: \"t\"\nvirtual_hosts { name: \"innocent\" VirtualHosts[1] 'h' }\n".repeat(1000);
        let last = "RegexMatcherValidationError.Regex: value length must be at least 1 characters";
        for message in [
            format!("{dump}: Proto constraint validation failed ({chain})"),
            format!("Proto constraint validation failed ({chain}): {dump}"),
            format!("Proto constraint validation failed ({chain}"),
        ] {
            assert_eq!((told(&message).as_str(), words(&message).as_str()), (last, chain));
            assert_eq!(position(&words(&message)), Some(42));
        }
        assert_eq!(told("Proto constraint validation failed ("), "Proto constraint validation failed (");
    }

    #[test]
    fn hints_are_positions_quotes_and_ends() {
        assert_eq!(position("RouteConfigurationValidationError.VirtualHosts[12]: embedded"), Some(12));
        assert_eq!(position("VirtualHosts[x]"), None);
        assert_eq!(hints("missing ): /(bad"), ["/(bad"]);
        assert_eq!(hints("invalid regex 'a(b' is bad"), ["a(b"]);
    }
}
