//! Envoy's dynamic module of fleetgate, `libfleetgate_proxy.so`.
//!
//! Its HTTP filter runs for requests whose route is a step to another route table ([`lookup::Step`]): it puts
//! the next table's name into the header by which Envoy selects the scope, and has the route looked up
//! anew, until the route is none such.

#[cfg(not(test))]
mod abi;
mod walk;
