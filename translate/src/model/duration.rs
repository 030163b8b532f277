//! Durations as the Gateway API writes them (GEP-2257).

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration such as `1h30m`, `10s` or `250ms`; `0s` means "none" where a limit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct GepDuration(pub(crate) Duration);

impl GepDuration {
    fn parse(text: &str) -> Option<Self> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 || parts == 4 {
                return None;
            }
            let count: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let (unit, length) = if rest.starts_with("ms") {
                (Duration::from_millis(1), 2)
            } else {
                match rest.bytes().next()? {
                    b'h' => (Duration::from_secs(3600), 1),
                    b'm' => (Duration::from_secs(60), 1),
                    b's' => (Duration::from_secs(1), 1),
                    _ => return None,
                }
            };
            total += unit * u32::try_from(count).ok()?;
            rest = &rest[length..];
            parts += 1;
        }
        (parts > 0).then_some(GepDuration(total))
    }
}

impl<'de> Deserialize<'de> for GepDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        GepDuration::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is not a duration such as 10s or 1m30s or 250ms"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::GepDuration;
    use std::time::Duration;

    #[test]
    fn durations_of_gep_2257() {
        let parse = |text| GepDuration::parse(text).map(|duration| duration.0);
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("10s500ms"), Some(Duration::from_millis(10_500)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        for wrong in ["", "10", "-1s", "1.5s", "123456s", "1s1s1s1s1s", "1d", "s"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
