//! The command line.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

pub(crate) const HELP: &str = "\
Real Kubernetes control planes without containers, each in network namespaces of its own.

  testbed up     [--name BED] [--clusters N] [--channel standard|experimental] [--definitions DIR] [--audit] [-o json]
  testbed down   [--name BED]
  testbed status [--name BED] [-o json]
  testbed shell  [--name BED] [--cluster K] [-- CMD ...]   kubectl and helm inside a cluster's namespaces

  --dir DIR          where beds keep their state  [target/testbed]
  --tools DIR        where the programs are       [.tools]
  --images FILE      which program each image is, see the README
  --definitions DIR  the Gateway API's definitions, a folder for each channel  [those of the pinned version]
  --audit            note each request to the API server in audit.log of the cluster's state
";

/// The most clusters of a bed: each has a /16 of its own from 10.64.0.0.
const MOST_CLUSTERS: usize = 64;

/// What all commands take.
pub(crate) struct Options {
    /// The name of the bed.
    pub(crate) name: String,
    /// Where beds keep their state.
    pub(crate) dir: PathBuf,
    /// Where the programs are.
    pub(crate) tools: PathBuf,
    /// JSON that says which program an image is.
    pub(crate) images: Option<PathBuf>,
    /// Clusters to start.
    pub(crate) clusters: usize,
    /// The cluster to enter, from 0.
    pub(crate) cluster: usize,
    /// Release channel of the Gateway API's definitions.
    pub(crate) channel: String,
    /// The Gateway API's definitions, a folder for each channel; none for the pinned ones.
    pub(crate) definitions: Option<PathBuf>,
    /// The API server notes each request.
    pub(crate) audit: bool,
    /// Output for machines.
    pub(crate) json: bool,
    /// What follows `--`.
    pub(crate) command: Vec<std::ffi::OsString>,
}

impl Options {
    /// Reads what is left of the command line.
    ///
    /// # Errors
    /// A sentence, if something is not understood.
    pub(crate) fn parse(arguments: pico_args::Arguments) -> anyhow::Result<Options> {
        let mut all = arguments.finish();
        let command = match all.iter().position(|argument| argument == "--") {
            Some(at) => all.split_off(at).split_off(1),
            None => Vec::new(),
        };
        let mut arguments = pico_args::Arguments::from_vec(all);
        let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
        let dir = arguments.opt_value_from_os_str("--dir", path)?.unwrap_or_else(|| "target/testbed".into());
        let tools = arguments.opt_value_from_os_str("--tools", path)?.unwrap_or_else(|| ".tools".into());
        let options = Options {
            name: arguments.opt_value_from_str("--name")?.unwrap_or_else(|| "default".to_owned()),
            dir: std::path::absolute(dir)?,
            tools: std::path::absolute(tools)?,
            images: arguments
                .opt_value_from_os_str("--images", path)?
                .map(std::path::absolute)
                .transpose()?,
            clusters: arguments.opt_value_from_str("--clusters")?.unwrap_or(1),
            cluster: arguments.opt_value_from_str("--cluster")?.unwrap_or(0),
            channel: arguments.opt_value_from_str("--channel")?.unwrap_or_else(|| "standard".to_owned()),
            definitions: arguments
                .opt_value_from_os_str("--definitions", path)?
                .map(std::path::absolute)
                .transpose()?,
            audit: arguments.contains("--audit"),
            json: output_is_json(arguments.opt_value_from_str(["-o", "--output"])?)?,
            command,
        };
        let rest = arguments.finish();
        ensure!(rest.is_empty(), "{rest:?} is not understood\n\n{HELP}");
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> anyhow::Result<()> {
        let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !self.name.is_empty() && self.name.len() <= 32 && self.name.chars().all(is_label),
            "--name {}: use at most 32 lower-case letters, digits and '-'",
            self.name
        );
        ensure!(
            (1..=MOST_CLUSTERS).contains(&self.clusters) && self.cluster < MOST_CLUSTERS,
            "a bed has 1 to {MOST_CLUSTERS} clusters, counted from 0"
        );
        ensure!(
            ["standard", "experimental"].contains(&self.channel.as_str()),
            "--channel {}: say standard or experimental",
            self.channel
        );
        Ok(())
    }
}

fn output_is_json(output: Option<String>) -> anyhow::Result<bool> {
    match output.as_deref() {
        None => Ok(false),
        Some("json") => Ok(true),
        Some(other) => bail!("-o {other}: only json is known"),
    }
}

/// A value that must be there; for the hidden commands.
///
/// # Errors
/// If it is not.
pub(crate) fn required(arguments: &mut pico_args::Arguments, name: &'static str) -> anyhow::Result<PathBuf> {
    let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
    arguments.value_from_os_str(name, path).with_context(|| format!("{name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(line: &str) -> anyhow::Result<Options> {
        Options::parse(pico_args::Arguments::from_vec(line.split_whitespace().map(Into::into).collect()))
    }

    #[test]
    fn what_follows_two_dashes_is_the_command() {
        let options = parse("--name a --cluster 1 -- kubectl get pods -o json").unwrap();
        assert_eq!((options.name.as_str(), options.cluster, options.json), ("a", 1, false));
        assert_eq!(options.command.len(), 5);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--clusters 0", "--name A", "--channel x", "-o yaml", "--frob", "--clusters x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
