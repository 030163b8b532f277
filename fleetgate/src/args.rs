//! The command line. Every flag of a server is also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::{ArcStr, Kind, ResourceKey};

use crate::kubernetes::installation::{CONTROLLER, Installation, controller_name};
use crate::listen::{Listen, loopback};

mod check;
mod server;
mod watched;

pub(crate) use check::{Check, Version};
pub(crate) use server::Server;
use watched::Watched;

const ADMIN: &str = "127.0.0.1:19000";
const XDS: &str = "127.0.0.1:18000";

/// Event-sourced control plane for Envoy gateways.
#[derive(Debug, Parser)]
#[command(
    name = "fleetgate",
    version,
    propagate_version = false,
    after_help = "Examples:
  fleetgate standalone --config examples/quickstart
  fleetgate translate --config examples/quickstart -o yaml
  fleetgate get routes -o wide
  fleetgate log -f
  fleetgate diff --from 12 --to 15"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: watch a directory of YAML or a cluster, serve xDS, keep Envoys running
    Standalone(Box<Standalone>),
    /// Print the xDS resources and statuses of a directory, without a server
    Translate(Translate),
    /// Print a bootstrap for an Envoy of your own
    Bootstrap(Bootstrap),
    /// Show gateways, routes or proxies of a running fleetgate
    Get(Get),
    /// Print the events in the log of a running fleetgate
    Log(Log),
    /// Show how the xDS resources differ between two revisions
    Diff(Diff),
    /// Print completions for a shell
    #[command(after_help = "Examples:
  source <(fleetgate completions bash)
  fleetgate completions fish > ~/.config/fish/completions/fleetgate.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Look whether a cluster has what fleetgate needs, and grants it
    Check(Check),
    /// Print the version
    Version(Version),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate standalone --config ./gateways
  fleetgate standalone --config ./gateways --envoy /usr/bin/envoy --state-dir /var/lib/fleetgate
  fleetgate standalone --config ./gateways --envoy none --xds unix:/run/fleetgate/xds.sock

Ready (http://ADMIN/readyz) means that each accepted Gateway's newest revision is ACKed by its Envoys and
that they refuse nothing of it. With --envoy none a Gateway without a connected Envoy counts as ready.")]
pub(crate) struct Standalone {
    /// Directory of YAML files, read with its subdirectories and watched
    #[arg(
        long,
        value_name = "DIR",
        env = "FLEETGATE_CONFIG",
        required_unless_present = "kubernetes",
        conflicts_with = "kubernetes"
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kubernetes: Kubernetes,
    /// Directory for the log, snapshots and Envoys' files
    /// [default: $XDG_STATE_HOME/fleetgate/NAME-HASH, with name and hash of --config's DIR; with --kubernetes
    /// kubernetes-HASH]
    #[arg(long, value_name = "DIR", env = "FLEETGATE_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where to serve xDS: a loopback IP:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", env = "FLEETGATE_XDS", default_value = XDS)]
    pub(crate) xds: Listen,
    /// Where to serve /readyz, /livez, /metrics, /status, /hints, /deltas, /log and /resources: a loopback IP:PORT
    #[arg(long, value_name = "ADDR", env = "FLEETGATE_ADMIN", default_value = ADMIN, value_parser = loopback)]
    pub(crate) admin: SocketAddr,
    /// The Envoy to run for each Gateway: auto (.tools/envoy-*/envoy, then PATH), a path, or none
    #[arg(long, value_name = "auto|PATH|none", env = "FLEETGATE_ENVOY", default_value = "auto")]
    pub(crate) envoy: EnvoyChoice,
    /// Worker threads of each managed Envoy
    #[arg(long, value_name = "N", env = "FLEETGATE_ENVOY_CONCURRENCY", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) envoy_concurrency: u32,
    /// The module by which managed Envoys walk small route tables: auto (libfleetgate_proxy.so beside this program,
    /// if it is there), a path, or none: whole route tables
    #[arg(long, value_name = "auto|PATH|none", env = "FLEETGATE_PROXY_MODULE", default_value = "auto")]
    pub(crate) proxy_module: ModuleChoice,
    /// Routes that one small table has at the most, where host or path tell them apart
    #[arg(long, value_name = "N", env = "FLEETGATE_ROUTE_TABLE_SIZE", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) route_table_size: u32,
    /// Leave the managed Envoys running when fleetgate is told to stop; the next start adopts them
    #[arg(long, env = "FLEETGATE_KEEP_ENVOYS")]
    pub(crate) keep_envoys: bool,
    /// Seconds that files which are gone with their directory (it is empty, or another one stands in its place) stay in
    /// effect
    #[arg(long, value_name = "SECONDS", env = "FLEETGATE_DIRECTORY_GRACE", default_value_t = 30)]
    pub(crate) directory_grace: u32,
    /// Versions of each object to keep in the log, the newest included
    #[arg(long, value_name = "N", env = "FLEETGATE_HISTORY", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) history: u32,
    /// Least severe messages to log
    #[arg(long, value_name = "LEVEL", env = "FLEETGATE_LOG", default_value = "info")]
    pub(crate) log: LogLevel,
}

/// Our image of Envoy, with the module for small route tables.
const PROXY_IMAGE: &str = concat!("fleetgate/envoy:", env!("CARGO_PKG_VERSION"));

/// A Kubernetes API server instead of a directory.
#[derive(Args, Debug)]
#[command(next_help_heading = "With --kubernetes")]
pub(crate) struct Kubernetes {
    /// Watch the objects of a Kubernetes cluster, write their status, and deploy the Envoys of its Gateways
    #[arg(long, env = "FLEETGATE_KUBERNETES")]
    pub(crate) kubernetes: bool,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) watched: Watched,
    /// The controllerName of the GatewayClasses that are its own: another one for each installation in a cluster
    #[arg(long, value_name = "NAME", env = "FLEETGATE_CONTROLLER_NAME", default_value = CONTROLLER,
          value_parser = controller_name)]
    pub(crate) controller_name: ArcStr,
    /// What this installation is called: the name of its Deployment, the same for all replicas
    #[arg(long, value_name = "NAME", env = "FLEETGATE_INSTALLATION", default_value = "fleetgate")]
    pub(crate) installation: String,
    /// The pod that it runs in, if it does
    #[arg(long, value_name = "NAME", env = "FLEETGATE_POD")]
    pub(crate) pod: Option<String>,
    /// Image of the proxies, for which GatewayParameters name no other
    #[arg(long, value_name = "IMAGE", env = "FLEETGATE_PROXY_IMAGE", default_value = PROXY_IMAGE)]
    pub(crate) proxy_image: String,
    /// Where xDS is served, with mutual TLS
    #[arg(long, value_name = "IP:PORT", env = "FLEETGATE_XDS_LISTEN", default_value = "0.0.0.0:18000")]
    pub(crate) xds_listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served for everybody
    #[arg(long, value_name = "IP:PORT", env = "FLEETGATE_HEALTH", default_value = "0.0.0.0:8081")]
    pub(crate) health: SocketAddr,
    /// Where other replicas ask what hangs on this one, with mutual TLS; they are told the address by a Lease
    #[arg(long, value_name = "IP:PORT", env = "FLEETGATE_REPLICA_LISTEN", default_value = "0.0.0.0:18005")]
    pub(crate) replica_listen: SocketAddr,
}

impl Kubernetes {
    /// Which installation it is.
    pub(crate) fn installation(&self) -> Installation {
        Installation {
            namespace: self.cluster.namespace.clone(),
            name: self.installation.clone(),
            controller: self.controller_name.clone(),
        }
    }
}

/// A cluster, and fleetgate's place in it.
#[derive(Args, Debug)]
pub(crate) struct Cluster {
    /// The cluster to use from outside of it [default: $KUBECONFIG, ~/.kube/config, then the ServiceAccount of the pod]
    #[arg(long, value_name = "FILE", requires = "kubernetes")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    pub(crate) context: Option<String>,
    /// The namespace that fleetgate itself is in: for its authority and its lease
    #[arg(long, value_name = "NS", env = "FLEETGATE_NAMESPACE", default_value = "fleetgate-system")]
    pub(crate) namespace: String,
    /// Where proxies find it, HOST:PORT [default: fleetgate.NAMESPACE.svc:18000]
    #[arg(long, value_name = "HOST:PORT", env = "FLEETGATE_XDS_SERVICE")]
    pub(crate) xds_service: Option<String>,
}

impl Cluster {
    /// Host and port by which proxies find the xDS server.
    ///
    /// # Errors
    /// A sentence, if it is not HOST:PORT.
    pub(crate) fn xds_service(&self) -> anyhow::Result<(String, u16)> {
        let given = match &self.xds_service {
            Some(given) => given.clone(),
            None => format!("fleetgate.{}.svc:18000", self.namespace),
        };
        let parts =
            given.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        parts.ok_or_else(|| anyhow::anyhow!("--xds-service {given}: write HOST:PORT"))
    }
}

/// Which Envoy to run for each Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvoyChoice {
    /// The fetched one or the one on PATH.
    Auto,
    /// This program.
    Path(PathBuf),
    /// None: people start their own.
    None,
}

impl FromStr for EnvoyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => return Err("is empty: say auto, none or the path of an Envoy".into()),
            "auto" => EnvoyChoice::Auto,
            "none" => EnvoyChoice::None,
            path => EnvoyChoice::Path(path.into()),
        })
    }
}

/// Which module managed Envoys load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModuleChoice {
    /// The one beside this program, if there is one.
    Auto,
    /// This file.
    Path(PathBuf),
    /// None.
    None,
}

impl FromStr for ModuleChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" => return Err("is empty: say auto, none or the path of libfleetgate_proxy.so".into()),
            "auto" => ModuleChoice::Auto,
            "none" => ModuleChoice::None,
            path => ModuleChoice::Path(path.into()),
        })
    }
}

/// Severity of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[allow(missing_docs)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate translate --config ./gateways
  fleetgate translate --config ./gateways -o json --gateway default/web | jq '.resources[].name'

Exits with 1, and lists the faults, if any object is refused.")]
pub(crate) struct Translate {
    /// Directory of YAML files
    #[arg(long, value_name = "DIR", env = "FLEETGATE_CONFIG")]
    pub(crate) config: PathBuf,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: Form,
    /// Only the resources of this Gateway
    #[arg(long, value_name = "NS/NAME", value_parser = gateway)]
    pub(crate) gateway: Option<ResourceKey>,
}

/// JSON or YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub(crate) enum Form {
    Yaml,
    Json,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate bootstrap --gateway default/web --config ./gateways > envoy.json
  envoy -c envoy.json --disable-hot-restart")]
pub(crate) struct Bootstrap {
    /// For a fleetgate in a cluster: with a certificate of its authority, valid 30 days, instead of a token
    #[arg(long, conflicts_with_all = ["config", "state_dir"])]
    pub(crate) kubernetes: bool,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    /// The Gateway that the Envoy serves
    #[arg(long, value_name = "NS/NAME", value_parser = gateway)]
    pub(crate) gateway: ResourceKey,
    /// The config directory of the running fleetgate, to find its state directory
    #[arg(long, value_name = "DIR", env = "FLEETGATE_CONFIG",
          required_unless_present_any = ["state_dir", "kubernetes"])]
    pub(crate) config: Option<PathBuf>,
    /// The state directory of the running fleetgate
    #[arg(long, value_name = "DIR", env = "FLEETGATE_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the running fleetgate serves xDS
    #[arg(long, value_name = "ADDR", env = "FLEETGATE_XDS", default_value = XDS)]
    pub(crate) xds: Listen,
    /// Say that the Envoy has the module for small route tables, in a folder that its environment names in
    /// ENVOY_DYNAMIC_MODULES_SEARCH_PATH
    #[arg(long)]
    pub(crate) proxy_module: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate get gateways
  fleetgate get routes -o wide
  fleetgate get proxies -o json
  fleetgate get proxies --kubernetes")]
pub(crate) struct Get {
    /// What to show
    #[arg(value_enum)]
    pub(crate) what: What,
    /// Form of the output [default: a table]
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<GetForm>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// What `get` can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Gateways and whether they are accepted and programmed
    #[value(alias = "gateway", alias = "gtw")]
    Gateways,
    /// Routes and whether their parents accept them
    #[value(
        alias = "route",
        alias = "httproutes",
        alias = "grpcroutes",
        alias = "tlsroutes",
        alias = "tcproutes"
    )]
    Routes,
    /// Envoys and the revision each has ACKed
    #[value(alias = "proxy", alias = "envoys")]
    Proxies,
}

/// Forms of `get`'s output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GetForm {
    /// A table with the messages of what is wrong
    Wide,
    /// The objects as JSON
    Json,
    /// The objects as YAML
    Yaml,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate log
  fleetgate log --since 120 -f
  fleetgate log --kubernetes --context staging")]
pub(crate) struct Log {
    /// Only events after this revision
    #[arg(long, value_name = "REV", default_value_t = 0)]
    pub(crate) since: u64,
    /// Wait for more
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Whole events as JSON lines, objects included
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<LogForm>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Forms of `log`'s output besides one line an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// JSON lines
    Json,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  fleetgate diff --from 12 --to 15
  fleetgate diff --from 12 --to 15 --gateway default/web")]
pub(crate) struct Diff {
    /// The older revision
    #[arg(long, value_name = "REV")]
    pub(crate) from: u64,
    /// The newer revision
    #[arg(long, value_name = "REV")]
    pub(crate) to: u64,
    /// Only the resources of this Gateway
    #[arg(long, value_name = "NS/NAME", value_parser = gateway)]
    pub(crate) gateway: Option<ResourceKey>,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// Reads `NAMESPACE/NAME` of a Gateway.
///
/// # Errors
/// If there is no slash, or nothing beside it.
pub(crate) fn gateway(text: &str) -> Result<ResourceKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ResourceKey::local(Kind::GATEWAY, namespace, name))
        }
        _ => Err("write NAMESPACE/NAME, e.g. default/web".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command, EnvoyChoice};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn standalone_has_its_documented_defaults() {
        // The environment may name an Envoy, so its default is given.
        let cli =
            Cli::try_parse_from(["fleetgate", "standalone", "--config", "d", "--envoy", "auto"]).unwrap();
        let Command::Standalone(args) = cli.command else { panic!("not standalone") };
        assert_eq!(args.xds.to_string(), "127.0.0.1:18000");
        assert_eq!(args.admin.to_string(), "127.0.0.1:19000");
        assert_eq!((args.envoy, args.history, args.state_dir), (EnvoyChoice::Auto, 10, None));
    }

    #[test]
    fn an_address_that_others_reach_is_refused_with_a_sentence() {
        let flags = ["fleetgate", "standalone", "--config", "d", "--xds", "0.0.0.0:1"];
        let error = Cli::try_parse_from(flags).unwrap_err().to_string();
        assert!(error.contains("--xds") && error.contains("mutual TLS"), "{error}");
    }

    #[test]
    fn a_gateway_is_namespace_and_name() {
        assert_eq!(super::gateway("a/b").unwrap().namespaced_name(), "a/b");
        for bad in ["a", "/b", "a/", "a/b/c"] {
            assert!(super::gateway(bad).is_err(), "{bad}");
        }
    }
}
