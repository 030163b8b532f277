//! `echo`: one echo backend as a process.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use loadtest::backend::{Backend, Options, TlsOptions};
use tokio::signal::unix::{SignalKind, signal};

/// An HTTP backend that answers with what it was asked.
#[derive(Parser)]
#[command(version, after_help = "Example: echo --listen 127.0.0.1:18081 --name blue")]
struct Args {
    /// Address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Shown as `pod` in each answer.
    #[arg(long, default_value = "echo")]
    name: String,
    /// Shown as `namespace` in each answer.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// Shown as `service` in each answer.
    #[arg(long, default_value = "")]
    service: String,
    /// Certificate chain (PEM): speak TLS only.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA for client certificates (PEM); clients without one are served too.
    #[arg(long, requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// At SIGTERM close the port, but serve on the connections that are there until their clients close them.
    #[arg(long)]
    finish: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsOptions {
            certificate: read(certificate)?,
            private_key: read(key)?,
            client_ca: args.client_ca.as_ref().map(read).transpose()?,
        }),
        _ => None,
    };
    let options = Options {
        listen: args.listen,
        namespace: args.namespace,
        service: args.service,
        tls,
        ..Options::named(args.name)
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let backend = Backend::start(options).await?;
    println!("listening on {}", backend.addr);
    tokio::select! {
        _ = terminate.recv() => if args.finish {
            backend.finish().await;
        },
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
