//! Who is who on the xDS port: an authority of our own, a certificate for the server, one for each Gateway's proxies.

mod authority;
mod identity;
mod replica;
mod secret;
mod tls;

pub(crate) use authority::{Authority, Issued, LEAF};
pub(crate) use identity::gateway_of;
pub(crate) use replica::{ReplicaTls, Sides};
pub(crate) use secret::{NAME as AUTHORITY, open as open_authority};
pub(crate) use tls::ServerTls;
