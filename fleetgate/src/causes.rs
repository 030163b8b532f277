//! An error as a sentence.

/// The error with its causes. Some libraries' errors say their causes themselves: each is said once.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::causes;

    #[test]
    fn each_is_said_once() {
        let error =
            anyhow::anyhow!("No such file").context("cannot read a: No such file").context("cannot start");
        assert_eq!(causes(&error), "cannot start: cannot read a: No such file");
        let error = Err::<(), _>(std::io::Error::other("b")).context("a").unwrap_err();
        assert_eq!(causes(&error), "a: b");
    }
}
