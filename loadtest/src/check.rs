//! Targets, and whether they were reached.

/// A target, and what was reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) target: f64,
    pub(crate) reached: f64,
    pub(crate) ok: bool,
}

impl Check {
    /// Nothing if there is no figure or no target.
    pub(crate) fn at_most(what: &'static str, reached: Option<f64>, target: Option<f64>) -> Option<Check> {
        let (target, reached) = (target?, reached?);
        Some(Check { what, target, reached, ok: reached <= target })
    }

    /// Nothing if there is no figure or no target.
    pub(crate) fn at_least(what: &'static str, reached: Option<f64>, target: Option<f64>) -> Option<Check> {
        let (target, reached) = (target?, reached?);
        Some(Check { what, target, reached, ok: reached >= target })
    }

    /// Nothing if there is no figure.
    pub(crate) fn exactly(what: &'static str, reached: Option<f64>, target: f64) -> Option<Check> {
        Some(Check { what, target, reached: reached?, ok: (reached? - target).abs() < 1e-9 })
    }
}

#[cfg(test)]
mod tests {
    use super::Check;

    #[test]
    fn a_target_is_met_from_its_own_side() {
        let ok = |check: Option<Check>| check.map(|check| check.ok);
        assert_eq!(ok(Check::at_most("", Some(2.0), Some(2.0))), Some(true));
        assert_eq!(ok(Check::at_most("", Some(2.1), Some(2.0))), Some(false));
        assert_eq!(ok(Check::at_least("", Some(2.1), Some(2.0))), Some(true));
        assert_eq!(ok(Check::at_least("", Some(1.9), Some(2.0))), Some(false));
        assert_eq!(ok(Check::exactly("", Some(1.0), 0.0)), Some(false));
        assert_eq!(ok(Check::at_least("", None, Some(2.0))), None);
        assert_eq!(ok(Check::at_most("", Some(1.0), None)), None);
    }
}
