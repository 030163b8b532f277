//! The proxies of each Gateway: Deployment, Service and what belongs to them.
