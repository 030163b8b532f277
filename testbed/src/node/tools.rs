//! Commands of the system: `ip`, `nft`, `nsenter`, `unshare`, `setpriv`.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Runs a command with this standard input.
///
/// # Errors
/// It is missing or failed: the sentence has its standard error.
pub(super) async fn run(command: &[&str], input: &str) -> anyhow::Result<String> {
    let (program, arguments) = command.split_first().context("invariant: a command has a name")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} can't be started; is it installed?"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that fails early does not read everything: its exit code tells more than the broken pipe.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", command.join(" "), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Quotes a word for `sh`.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_survive_the_shell() {
        let word = "a'b\"c $(id) `id` \\ \n*";
        let output = run(&["sh", "-c", &format!("printf %s {}", quote(word))], "").await.unwrap();
        assert_eq!(output, word);
    }

    #[tokio::test]
    async fn failures_say_what_the_command_said() {
        let error = run(&["sh", "-c", "cat; echo no luck >&2; exit 3"], "x").await.unwrap_err().to_string();
        assert!(error.contains("no luck") && error.contains("exit status: 3"), "{error}");
        assert!(run(&["no-such-tool"], "").await.unwrap_err().to_string().contains("is it installed?"));
    }
}
