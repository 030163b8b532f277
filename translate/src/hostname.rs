//! Hostnames of listeners and routes: exact, `*.suffix`, or `*` for any.

use proto::{ArcStr, literal};

/// Matches every host: a listener or route without a hostname.
pub(crate) const ANY: ArcStr = literal!("*");

/// True if every host that `narrow` matches is matched by `wide` too.
pub(crate) fn covers(wide: &str, narrow: &str) -> bool {
    if wide == "*" || wide == narrow {
        return true;
    }
    // "*.example.com" matches at least one more label; it does not match "example.com".
    wide.strip_prefix('*').is_some_and(|suffix| {
        let host = narrow.strip_prefix('*').unwrap_or(narrow);
        host.len() > suffix.len() && host.ends_with(suffix)
    })
}

/// The hosts that both match, if any: the narrower of the two.
pub(crate) fn intersection<'a>(a: &'a ArcStr, b: &'a ArcStr) -> Option<&'a ArcStr> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

/// Orders hostnames by precedence: exact before wildcard, then more characters first
/// (`HTTPRouteSpec.hostnames`). Greater is more specific; `*` is the least.
pub(crate) fn specificity(hostname: &str) -> (usize, usize) {
    match hostname {
        "*" => (0, 0),
        wildcard if wildcard.starts_with('*') => (0, wildcard.len()),
        exact => (exact.len(), exact.len()),
    }
}

/// [`specificity`] as one number.
pub(crate) fn rank(hostname: &str) -> u16 {
    let (exact, length) = specificity(hostname);
    // A hostname has at most 253 characters.
    u16::try_from(length.min(255)).unwrap_or(u16::MAX) | u16::from(exact > 0) << 8
}

/// What is wrong with a hostname, if anything (RFC 1123, with an optional first label `*`).
pub(crate) fn problem(hostname: &str) -> Option<&'static str> {
    let labels = hostname.strip_prefix("*.").unwrap_or(hostname);
    if hostname.len() > 253 {
        return Some("is longer than 253 characters");
    }
    if labels.contains('*') {
        return Some("has a wildcard elsewhere than as its whole first label");
    }
    let label_is_good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if !labels.split('.').all(label_is_good) {
        return Some("is not made of labels of lower-case letters, digits and '-'");
    }
    let is_address =
        labels.split('.').count() == 4 && labels.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_address.then_some("is an IP address")
}

/// What is wrong with a host that requests or answers are given, if anything (`PreciseHostname`). An IP address is
/// taken, as by the API server's schema.
pub(crate) fn precise_problem(hostname: &str) -> Option<&'static str> {
    if hostname.parse::<core::net::Ipv4Addr>().is_ok() {
        return None;
    }
    hostname.starts_with('*').then_some("is a wildcard").or_else(|| problem(hostname))
}

#[cfg(test)]
mod tests {
    use super::{covers, intersection, precise_problem, problem, rank, specificity};
    use proto::ArcStr;

    #[test]
    fn wildcards_cover_deeper_names_only() {
        assert!(covers("*.example.com", "a.example.com"));
        assert!(covers("*.example.com", "a.b.example.com"));
        assert!(covers("*.example.com", "*.b.example.com"));
        assert!(covers("*", "*.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "aexample.com"));
        assert!(!covers("a.example.com", "*.example.com"));
        assert!(!covers("*.b.example.com", "*.example.com"));
    }

    #[test]
    fn the_intersection_is_the_narrower_one() {
        let (wide, exact): (ArcStr, ArcStr) = ("*.example.com".into(), "a.example.com".into());
        assert_eq!(intersection(&wide, &exact), Some(&exact));
        assert_eq!(intersection(&exact, &wide), Some(&exact));
        assert_eq!(intersection(&exact, &"b.example.com".into()), None);
    }

    #[test]
    fn exact_names_come_before_wildcards() {
        let mut names = ["*", "*.long.example.com", "b.com", "*.com", "aa.b.com"];
        names.sort_by_key(|name| std::cmp::Reverse(specificity(name)));
        assert_eq!(names, ["aa.b.com", "b.com", "*.long.example.com", "*.com", "*"]);
        assert!(names.is_sorted_by_key(|name| std::cmp::Reverse(rank(name))));
    }

    #[test]
    fn bad_hostnames_are_told() {
        for good in ["a", "a.example.com", "*.example.com", "a-1.b"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in ["", "*", "a.*.com", "A.com", "a..b", "-a.com", "1.2.3.4", "a_b.com", "a.com:80"] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn hosts_that_messages_are_given() {
        for bad in ["", "*.a.com", "a b", "a\r\nx: y", "a.com:80", "a/b", "A.com"] {
            assert!(precise_problem(bad).is_some(), "{bad:?}");
        }
        assert_eq!((precise_problem("a.com"), precise_problem("192.0.2.1")), (None, None));
    }
}
